-- Never edit a migration that was released: add another one.
--
-- Who can claim what, without looking at all that is due; and queued jobs that wait for the end
-- of the run that queued them.

-- The run (see pinyto_runs) that queued the entry and has not ended yet; due_at is when nobody
-- waits for it any longer.
ALTER TABLE pinyto_job_entries ADD COLUMN held_by BLOB CHECK (length(held_by) = 12);

CREATE INDEX pinyto_held_jobs ON pinyto_job_entries (user_id, held_by) WHERE held_by IS NOT NULL;

-- Instead of all that is due in one order: what is due of one job of a user.
DROP INDEX pinyto_due_jobs;

CREATE INDEX pinyto_due_jobs ON pinyto_job_entries (user_id, assembly_id, job, due_at)
    WHERE due_at IS NOT NULL;

-- The jobs of users that can be claimed at some time, and when. Kept by the triggers below, so
-- there are no foreign keys.
CREATE TABLE pinyto_claimable_jobs (
    user_id     INTEGER NOT NULL,
    assembly_id INTEGER NOT NULL,
    job         TEXT    NOT NULL,
    due_at      INTEGER NOT NULL,
    PRIMARY KEY (user_id, assembly_id, job)
) STRICT, WITHOUT ROWID;

CREATE INDEX pinyto_claimable_jobs_of_user ON pinyto_claimable_jobs (user_id, due_at);

-- Whose turn it is.
CREATE TABLE pinyto_job_users (
    user_id INTEGER PRIMARY KEY REFERENCES pinyto_users (id) ON DELETE CASCADE,
    -- When the first of her jobs can be claimed. NULL: there is none.
    due_at  INTEGER,
    -- When she had her last turn, and its number; 0 if she had none.
    turn_at INTEGER NOT NULL DEFAULT 0,
    turn    INTEGER NOT NULL DEFAULT 0,
    -- Since when she waits. NULL if due_at is.
    since   INTEGER GENERATED ALWAYS AS (max(due_at, turn_at)) VIRTUAL
) STRICT;

CREATE INDEX pinyto_job_users_by_wait ON pinyto_job_users (since, turn) WHERE since IS NOT NULL;
CREATE INDEX pinyto_job_users_by_due ON pinyto_job_users (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX pinyto_job_users_by_turn ON pinyto_job_users (turn);
CREATE INDEX pinyto_job_users_by_turn_at ON pinyto_job_users (turn_at);

-- When a job can be claimed: when the lease on one of its entries expires, otherwise when the
-- first is due.
INSERT INTO pinyto_claimable_jobs (user_id, assembly_id, job, due_at)
SELECT user_id, assembly_id, job,
       coalesce(max(CASE WHEN lease IS NOT NULL THEN due_at END), min(due_at))
FROM pinyto_job_entries WHERE due_at IS NOT NULL GROUP BY user_id, assembly_id, job;

INSERT INTO pinyto_job_users (user_id, due_at, turn)
SELECT u.user_id, (SELECT min(due_at) FROM pinyto_claimable_jobs c WHERE c.user_id = u.user_id),
       coalesce((SELECT turn FROM pinyto_job_turns t WHERE t.user_id = u.user_id), 0)
FROM (SELECT user_id FROM pinyto_job_entries UNION SELECT user_id FROM pinyto_job_turns) u;

DROP TABLE pinyto_job_turns;

-- A row that is inserted here says that something about entries of the job has changed.
CREATE VIEW pinyto_changed_jobs (user_id, assembly_id, job) AS
SELECT user_id, assembly_id, job FROM pinyto_claimable_jobs;

CREATE TRIGGER pinyto_job_changed INSTEAD OF INSERT ON pinyto_changed_jobs BEGIN
    DELETE FROM pinyto_claimable_jobs
    WHERE user_id = NEW.user_id AND assembly_id = NEW.assembly_id AND job = NEW.job;
    INSERT INTO pinyto_claimable_jobs (user_id, assembly_id, job, due_at)
    SELECT NEW.user_id, NEW.assembly_id, NEW.job, at FROM (
        SELECT coalesce(
            (SELECT max(due_at) FROM pinyto_job_entries INDEXED BY pinyto_running_jobs
             WHERE user_id = NEW.user_id AND assembly_id = NEW.assembly_id AND job = NEW.job
               AND lease IS NOT NULL),
            (SELECT min(due_at) FROM pinyto_job_entries INDEXED BY pinyto_due_jobs
             WHERE user_id = NEW.user_id AND assembly_id = NEW.assembly_id AND job = NEW.job
               AND due_at IS NOT NULL)) AS at)
    WHERE at IS NOT NULL;
    UPDATE pinyto_job_users
    SET due_at = (SELECT min(due_at) FROM pinyto_claimable_jobs WHERE user_id = NEW.user_id)
    WHERE user_id = NEW.user_id;
END;

CREATE TRIGGER pinyto_job_entry_added AFTER INSERT ON pinyto_job_entries BEGIN
    INSERT INTO pinyto_job_users (user_id) VALUES (NEW.user_id) ON CONFLICT DO NOTHING;
    INSERT INTO pinyto_changed_jobs VALUES (NEW.user_id, NEW.assembly_id, NEW.job);
END;

CREATE TRIGGER pinyto_job_entry_changed AFTER UPDATE OF due_at, lease ON pinyto_job_entries
WHEN OLD.due_at IS NOT NEW.due_at OR OLD.lease IS NOT NEW.lease BEGIN
    INSERT INTO pinyto_changed_jobs VALUES (NEW.user_id, NEW.assembly_id, NEW.job);
END;

CREATE TRIGGER pinyto_job_entry_removed AFTER DELETE ON pinyto_job_entries BEGIN
    INSERT INTO pinyto_changed_jobs VALUES (OLD.user_id, OLD.assembly_id, OLD.job);
END;
