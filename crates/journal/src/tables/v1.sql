-- Version 1 of the tables. What was released is never edited: a change is the file of the next version.

-- When this file came to which version of the tables, by which version of the program.
CREATE TABLE migrations (version INTEGER PRIMARY KEY, at INTEGER NOT NULL, program TEXT NOT NULL);

-- The truth: what happened, in order, without gaps. `leaf` is the hash over `at` and `bytes`.
CREATE TABLE journal (
  seq INTEGER PRIMARY KEY, shard INTEGER NOT NULL, run INTEGER NOT NULL, at INTEGER NOT NULL, kind INTEGER NOT NULL,
  bytes BLOB NOT NULL, leaf BLOB NOT NULL);
CREATE INDEX journal_fleet ON journal(seq) WHERE run = 0;
-- The values beside it, by entry and by their place in it; -1 is the salt of a run, beside its submission.
CREATE TABLE bodies (seq INTEGER NOT NULL, n INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (seq, n)) WITHOUT ROWID;
-- The right edge of the Merkle tree over the leaves.
CREATE TABLE tree (id INTEGER PRIMARY KEY CHECK (id = 0), size INTEGER NOT NULL, edge BLOB NOT NULL);
INSERT INTO tree VALUES (0, 0, x'0000000000000000');
-- What runs, by digest.
CREATE TABLE graphs (digest BLOB PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
-- From here on: read models, made from the above and made anew from it when they change (`rebuild.rs` names them).
-- `pruned`: 0 when bodies are kept, -N when entry N says that they are to be destroyed, 1 when they are.
CREATE TABLE runs (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, project TEXT NOT NULL, domain TEXT NOT NULL, workflow TEXT NOT NULL,
  graph BLOB NOT NULL, principal TEXT NOT NULL, origin TEXT NOT NULL, idempotency_key TEXT, phase INTEGER NOT NULL,
  paused INTEGER NOT NULL DEFAULT 0, submitted_at INTEGER NOT NULL, finished_at INTEGER, finished_seq INTEGER, cost INTEGER NOT NULL DEFAULT 0,
  failure TEXT, outputs_seq INTEGER, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
  actions_total INTEGER NOT NULL DEFAULT 0, actions_done INTEGER NOT NULL DEFAULT 0, pruned INTEGER NOT NULL DEFAULT 0);
CREATE INDEX runs_name ON runs(name, project, domain);
CREATE UNIQUE INDEX runs_key ON runs(idempotency_key, project) WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_open ON runs(id) WHERE finished_at IS NULL;
CREATE INDEX runs_unswept ON runs(id) WHERE pruned < 0;
CREATE TABLE actions (
  run INTEGER NOT NULL, no INTEGER NOT NULL, path TEXT, kind INTEGER, scope INTEGER, node INTEGER, phase INTEGER, site TEXT, host TEXT,
  opened_at INTEGER, started_at INTEGER, finished_at INTEGER, attempt INTEGER, cost INTEGER NOT NULL DEFAULT 0,
  wall_us INTEGER, cpu_us INTEGER, memory_peak INTEGER, bytes_in INTEGER, bytes_out INTEGER, failure TEXT,
  input_seq INTEGER, input_n INTEGER, output_seq INTEGER, reused INTEGER, explanation INTEGER, first_by TEXT, escalated INTEGER,
  PRIMARY KEY (run, no)) WITHOUT ROWID;
CREATE INDEX actions_human ON actions(run, no) WHERE kind = 4 AND finished_at IS NULL;
CREATE TABLE skipped (run INTEGER NOT NULL, path TEXT NOT NULL, kind INTEGER NOT NULL, why INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (run, path)) WITHOUT ROWID;
CREATE TABLE attempts (
  run INTEGER NOT NULL, no INTEGER NOT NULL, attempt INTEGER NOT NULL, site TEXT, phase INTEGER NOT NULL, finished_at INTEGER NOT NULL,
  cost INTEGER NOT NULL, wall_us INTEGER NOT NULL, failure TEXT, PRIMARY KEY (run, no, attempt)) WITHOUT ROWID;
CREATE TABLE explanations (id INTEGER PRIMARY KEY, json TEXT NOT NULL);
CREATE TABLE resources (kind TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, at INTEGER NOT NULL, principal TEXT NOT NULL,
  body TEXT, seq INTEGER NOT NULL, PRIMARY KEY (kind, name, version)) WITHOUT ROWID;
CREATE TABLE sites (name TEXT PRIMARY KEY, spec TEXT NOT NULL, cordoned INTEGER NOT NULL, drained INTEGER NOT NULL, healthy INTEGER NOT NULL,
  reason TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE firings (seq INTEGER PRIMARY KEY, name TEXT NOT NULL, due INTEGER NOT NULL, at INTEGER NOT NULL, run INTEGER, missed INTEGER NOT NULL);
CREATE INDEX firings_name ON firings(name, due);
CREATE TABLE recalls (project TEXT NOT NULL, kind INTEGER NOT NULL, key BLOB NOT NULL, seq INTEGER NOT NULL, run INTEGER NOT NULL,
  at INTEGER NOT NULL, locations TEXT NOT NULL, PRIMARY KEY (project, kind, key)) WITHOUT ROWID;
