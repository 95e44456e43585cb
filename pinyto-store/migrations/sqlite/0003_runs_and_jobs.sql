-- What became of calls and jobs, and what is to be run.

-- The hour (since 1970-01-01T00:00:00Z) of the last booking, and the CPU time booked for it.
ALTER TABLE pinyto_users ADD COLUMN hour INTEGER;
ALTER TABLE pinyto_users ADD COLUMN hour_cpu_nanos INTEGER NOT NULL DEFAULT 0;

CREATE TABLE pinyto_runs (
    user_id         INTEGER NOT NULL REFERENCES pinyto_users (id) ON DELETE CASCADE,
    -- Time-ordered.
    id              BLOB    NOT NULL CHECK (length(id) = 12),
    -- No foreign key: the user keeps her runs when the assembly goes.
    assembly_id     INTEGER NOT NULL,
    -- author/name when it ran.
    assembly        TEXT    NOT NULL,
    part_kind       TEXT    NOT NULL,
    part            TEXT    NOT NULL,
    started_at      INTEGER NOT NULL,
    duration_nanos  INTEGER NOT NULL,
    cpu_nanos       INTEGER NOT NULL,
    -- All NULL if it succeeded.
    failure_kind    TEXT,
    failure_message TEXT,
    failure_line    INTEGER,
    output          TEXT    NOT NULL,
    truncated       INTEGER NOT NULL CHECK (truncated IN (0, 1)),
    attempt         INTEGER NOT NULL,
    PRIMARY KEY (user_id, id)
) STRICT;

CREATE INDEX pinyto_runs_of_assembly ON pinyto_runs (assembly_id, id);
CREATE INDEX pinyto_runs_of_user_by_start ON pinyto_runs (user_id, started_at);
CREATE INDEX pinyto_runs_by_start ON pinyto_runs (started_at);

CREATE TABLE pinyto_job_entries (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id         INTEGER NOT NULL,
    assembly_id     INTEGER NOT NULL,
    -- A name in pinyto_jobs, whose rows are replaced with each save.
    job             TEXT    NOT NULL,
    cause           TEXT    NOT NULL CHECK (cause IN ('schedule', 'document', 'run_now')),
    document_id     BLOB,
    -- Minutes from one run to the next; 0: runs once.
    schedule        INTEGER NOT NULL CHECK (schedule >= 0),
    planned_at      INTEGER NOT NULL,
    -- When it can be claimed: when it is due, or when the lease on it expires. NULL: never.
    due_at          INTEGER,
    attempts        INTEGER NOT NULL DEFAULT 0,
    lease           BLOB    CHECK (length(lease) = 16),
    started_at      INTEGER,
    parked          INTEGER NOT NULL DEFAULT 0 CHECK (parked IN (0, 1)),
    -- Why the last try failed; all NULL if it didn't.
    failure_kind    TEXT,
    failure_message TEXT,
    failure_line    INTEGER,
    failed_at       INTEGER,
    FOREIGN KEY (user_id, assembly_id) REFERENCES pinyto_installations (user_id, assembly_id)
        ON DELETE CASCADE,
    FOREIGN KEY (user_id, document_id) REFERENCES pinyto_documents (user_id, id)
        ON DELETE CASCADE,
    CHECK ((cause = 'document') = (document_id IS NOT NULL))
) STRICT;

CREATE INDEX pinyto_job_entries_of_user ON pinyto_job_entries (user_id, assembly_id, job);
CREATE INDEX pinyto_job_entries_of_assembly ON pinyto_job_entries (assembly_id, job);
CREATE INDEX pinyto_job_entries_of_document ON pinyto_job_entries (document_id, user_id)
    WHERE document_id IS NOT NULL;
CREATE UNIQUE INDEX pinyto_scheduled_jobs ON pinyto_job_entries (user_id, assembly_id, job)
    WHERE cause = 'schedule';
CREATE INDEX pinyto_queued_jobs ON pinyto_job_entries (user_id) WHERE cause <> 'schedule';
CREATE INDEX pinyto_due_jobs ON pinyto_job_entries (due_at) WHERE due_at IS NOT NULL;
-- Small: as many as run, on all servers together.
CREATE INDEX pinyto_running_jobs ON pinyto_job_entries (user_id, assembly_id, job, due_at)
    WHERE lease IS NOT NULL;

-- Who had her last turn longest ago has the next.
CREATE TABLE pinyto_job_turns (
    user_id INTEGER PRIMARY KEY REFERENCES pinyto_users (id) ON DELETE CASCADE,
    turn    INTEGER NOT NULL UNIQUE
) STRICT;

-- What is installed already was never run.
INSERT INTO pinyto_job_entries
    (user_id, assembly_id, job, cause, schedule, planned_at, due_at)
SELECT i.user_id, i.assembly_id, j.name, 'schedule', j.schedule, i.installed_at, i.installed_at
FROM pinyto_installations i JOIN pinyto_jobs j ON j.assembly_id = i.assembly_id;
