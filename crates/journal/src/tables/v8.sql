-- Version 8: the connector of which an action waits for a worker. None when it waits for none any more.
ALTER TABLE actions ADD COLUMN waits_for TEXT;
-- What left each site in a month is asked at every start: of the transfers, and not of all that ever ran.
CREATE INDEX actions_moved ON actions(finished_at) WHERE kind = 8;
