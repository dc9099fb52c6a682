-- Version 3 of the tables: work that a running action asked for.

-- By the number of the action: who asked, what it runs, and why somebody stopped it.
CREATE TABLE children (run INTEGER NOT NULL, no INTEGER NOT NULL, parent INTEGER NOT NULL, work TEXT NOT NULL, stopped TEXT,
  PRIMARY KEY (run, no)) WITHOUT ROWID;
CREATE INDEX children_parent ON children(run, parent);
CREATE INDEX actions_path ON actions(run, path);
