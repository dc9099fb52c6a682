-- Version 4: names that somebody chose and that a later run could be given by its number, to be found without looking at all runs.
CREATE INDEX runs_ahead ON runs(id) WHERE CAST(substr(name, length(rtrim(name, '0123456789')) + 1) AS INTEGER) > id;
