-- Version 6: why a firing of a trigger started no run.
ALTER TABLE firings ADD COLUMN left_out TEXT;
