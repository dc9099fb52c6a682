-- Version 9 of the tables: what people put on runs to find them again.
ALTER TABLE runs ADD COLUMN run_labels TEXT;
CREATE TABLE run_labels (key TEXT NOT NULL, value TEXT NOT NULL, run INTEGER NOT NULL, PRIMARY KEY (key, value, run)) WITHOUT ROWID;
