-- Version 7 of the tables: what people did about questions, and where artifacts came from. What was written before is not in them.

-- Entries about a human action, in order: who saw it, handed it on, decided.
CREATE TABLE people (run INTEGER NOT NULL, no INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (run, no, seq)) WITHOUT ROWID;
-- Which action of which run made an artifact; `no` is -1 of one that the run was given.
CREATE TABLE artifact_origins (artifact BLOB NOT NULL, run INTEGER NOT NULL, no INTEGER NOT NULL, size INTEGER NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY (artifact, run, no)) WITHOUT ROWID;
CREATE INDEX artifact_origins_seq ON artifact_origins(seq);
