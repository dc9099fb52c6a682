-- Version 10 of the tables: actions that were refused are found without looking through all, those of earlier versions too.
CREATE INDEX actions_refused ON actions(finished_at, run, no) WHERE finished_at IS NOT NULL AND json_extract(failure, '$.class') = 'refused';
