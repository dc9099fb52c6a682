-- Version 5 of the tables: what artifacts carry.

CREATE TABLE artifact_labels (artifact BLOB NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (artifact, tag)) WITHOUT ROWID;
