-- Version 2: lists of runs find what they look for without looking through all runs. What runs has an index of its own in version 1, and of
-- runs that ended well there are so many that the next one is never far.
CREATE INDEX runs_workflow ON runs(workflow);
CREATE INDEX runs_troubled ON runs(phase) WHERE phase > 4;
