-- Never edit a migration that was released: add another one.

-- Which batch of runs and CPU time was the last of each process that records them, so that one
-- whose commit seemed to fail can come again.
CREATE TABLE pinyto_run_writers (
    id          BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 12),
    batch       INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX pinyto_run_writers_by_time ON pinyto_run_writers (recorded_at);
