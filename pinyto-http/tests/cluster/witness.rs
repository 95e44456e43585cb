//! A witness in the database: triggers that note what happens to jobs, in the same transactions.
//! All of a user's changes lock her row first, so her notes are in the order of the commits.

use serde_json::Value;

/// What `Ran` is known by: the type of the document that the job's code inserts.
pub(crate) const RAN: &str = "ran";

/// Comes after Pinyto's own tables.
pub(crate) const CREATE: &str = r#"
    CREATE SCHEMA witness;
    CREATE TABLE witness.events (
        number     bigserial PRIMARY KEY,
        what       text      NOT NULL,
        user_id    bigint    NOT NULL,
        job        text      NOT NULL,
        entry      bigint    NOT NULL,
        planned_at bigint    NOT NULL,
        lease      text      NOT NULL,
        at         bigint    NOT NULL,
        expires    bigint    NOT NULL,
        document   text
    );
    CREATE FUNCTION witness.entry_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        what text;
        entry pinyto.job_entries;
        lease bytea;
    BEGIN
        IF TG_OP = 'INSERT' THEN
            what := 'planned';
            entry := NEW;
        ELSIF TG_OP = 'DELETE' THEN
            what := CASE WHEN OLD.lease IS NULL THEN 'removed' ELSE 'completed' END;
            entry := OLD;
            lease := OLD.lease;
        ELSIF NEW.lease IS DISTINCT FROM OLD.lease THEN
            entry := NEW;
            IF NEW.lease IS NOT NULL THEN
                what := 'claimed';
                lease := NEW.lease;
            ELSE
                what := CASE WHEN NEW.attempts = 0 AND NEW.failed_at IS NULL
                    AND (NEW.due_at IS NULL OR NEW.planned_at <> OLD.planned_at)
                    THEN 'completed' ELSE 'failed' END;
                -- What it was claimed for, also if the next time is planned already.
                entry := OLD;
                lease := OLD.lease;
            END IF;
        ELSIF NEW.lease IS NOT NULL AND NEW.due_at IS DISTINCT FROM OLD.due_at THEN
            what := 'extended';
            entry := NEW;
            lease := NEW.lease;
        ELSE
            RETURN NULL;
        END IF;
        INSERT INTO witness.events
            (what, user_id, job, entry, planned_at, lease, at, expires, document)
        VALUES (what, entry.user_id, entry.job, entry.id, entry.planned_at,
            coalesce(encode(lease, 'hex'), ''), coalesce(entry.started_at, 0),
            coalesce(entry.due_at, 0), encode(entry.document_id, 'hex'));
        RETURN NULL;
    END $$;
    CREATE TRIGGER witness AFTER INSERT OR UPDATE OR DELETE ON pinyto.job_entries
    FOR EACH ROW EXECUTE FUNCTION witness.entry_changed();
    -- As text: no operator of json likes the U+0000 that other documents have.
    CREATE FUNCTION witness.document_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO witness.events (what, user_id, job, entry, planned_at, lease, at, expires)
        VALUES ('ran', NEW.user_id, substring(NEW.body::text FROM '"job" ?: ?"([a-z_]+)"'), 0, 0, '', 0, 0);
        RETURN NULL;
    END $$;
    CREATE TRIGGER witness AFTER INSERT ON pinyto.documents
    FOR EACH ROW WHEN (NEW.body::text LIKE '%"ran"%')
    EXECUTE FUNCTION witness.document_inserted();"#;

/// One JSON text a row, for [`Event::parse`].
pub(crate) const READ: &str = "SELECT row_to_json(e)::text FROM witness.events e ORDER BY number";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// There is a new entry.
    Planned,
    /// The entry was removed without a claim.
    Removed,
    Claimed,
    Extended,
    Completed,
    /// The run failed or was put back: the entry is to be tried again.
    Failed,
    /// The code of the job has written something.
    Ran,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) user: i64,
    pub(crate) job: String,
    pub(crate) entry: i64,
    pub(crate) planned_at: i64,
    pub(crate) lease: String,
    /// When the claim was made.
    pub(crate) at: i64,
    /// When the lease expires.
    pub(crate) expires: i64,
    /// Which document has queued it.
    pub(crate) document: Option<String>,
}

impl Event {
    pub(crate) fn parse(text: &str) -> Self {
        let row: Value = serde_json::from_str(text).unwrap();
        let number = |name: &str| row[name].as_i64().unwrap();
        let word = |name: &str| row[name].as_str().unwrap().to_owned();
        Self {
            what: match word("what").as_str() {
                "planned" => What::Planned,
                "removed" => What::Removed,
                "claimed" => What::Claimed,
                "extended" => What::Extended,
                "completed" => What::Completed,
                "failed" => What::Failed,
                RAN => What::Ran,
                other => panic!("{other} is no event"),
            },
            user: number("user_id"),
            job: word("job"),
            entry: number("entry"),
            planned_at: number("planned_at"),
            lease: word("lease"),
            at: number("at"),
            expires: number("expires"),
            document: row["document"].as_str().map(str::to_owned),
        }
    }
}
