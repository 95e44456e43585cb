use pinyto_core::{
    assembly::{AssemblyName, AssemblyRef, JobName, Schedule},
    clock::Timestamp,
    document::DocumentId,
    id::{AssemblyId, JobEntryId, UserId},
    job::{Claim, ClaimedJob, JobEntry, JobFailure, JobRef, Lease, LeaseId, Trigger, Turn},
    run::RunId,
    user::UserName,
};

use super::{Corrupt, assembly::hosts, corrupt, run::run_error, user::user};

#[derive(sqlx::FromRow)]
pub(crate) struct EntryRow {
    cause: String,
    document_id: Option<Vec<u8>>,
    schedule: i64,
    planned_at: i64,
    due_at: Option<i64>,
    held_by: Option<Vec<u8>>,
    attempts: i64,
    lease: Option<Vec<u8>>,
    started_at: Option<i64>,
    parked: bool,
    failure_kind: Option<String>,
    failure_message: Option<String>,
    failure_line: Option<i64>,
    failed_at: Option<i64>,
}

impl TryFrom<EntryRow> for JobEntry {
    type Error = Corrupt;

    fn try_from(row: EntryRow) -> Result<Self, Corrupt> {
        let moment = Timestamp::from_unix_millis;
        let trigger = match (row.cause.as_str(), row.document_id) {
            ("schedule", None) => Trigger::Schedule,
            ("run_now", None) => Trigger::RunNow,
            ("document", Some(id)) => {
                let id = <[u8; 12]>::try_from(id.as_slice());
                let id = id.map_err(corrupt("pinyto_job_entries.document_id"))?;
                Trigger::Document(DocumentId::from_bytes(id))
            }
            _ => return Err(corrupt("pinyto_job_entries.cause")("unknown")),
        };
        let schedule = u64::try_from(row.schedule).ok();
        let schedule = schedule.and_then(Schedule::from_minutes).ok_or("too long");
        let lease = row.lease.as_deref().map(<[u8; 16]>::try_from).transpose();
        let lease = lease.map_err(corrupt("pinyto_job_entries.lease"))?;
        let held_by = row.held_by.as_deref().map(<[u8; 12]>::try_from);
        let held_by = held_by.transpose();
        let held_by = held_by.map_err(corrupt("pinyto_job_entries.held_by"))?;
        let failure = match (&row.failure_kind, row.failed_at) {
            (Some(kind), Some(at)) => {
                let message = row.failure_message.as_deref();
                let error = run_error(kind, message, row.failure_line)?;
                Some(JobFailure::new(error, moment(at)))
            }
            _ => None,
        };
        let schedule = schedule.map_err(corrupt("pinyto_job_entries.schedule"))?;
        let mut entry = Self::new(trigger, schedule, moment(row.planned_at));
        entry.due_at = row.due_at.map(moment);
        entry.held_by = held_by.map(RunId::from_bytes);
        entry.attempts =
            u32::try_from(row.attempts).map_err(corrupt("pinyto_job_entries.attempts"))?;
        entry.lease = lease.map(LeaseId::from_bytes);
        entry.started_at = row.started_at.map(moment);
        entry.parked = row.parked;
        entry.failure = failure;
        Ok(entry)
    }
}

/// What a job is called.
#[derive(sqlx::FromRow)]
pub(crate) struct NameRow {
    author: String,
    assembly: String,
    job: String,
}

impl TryFrom<NameRow> for JobRef {
    type Error = Corrupt;

    fn try_from(row: NameRow) -> Result<Self, Corrupt> {
        Ok(Self {
            assembly: AssemblyRef {
                author: UserName::parse(&row.author).map_err(corrupt("pinyto_users.name"))?,
                name: AssemblyName::parse(&row.assembly)
                    .map_err(corrupt("pinyto_assemblies.name"))?,
            },
            name: JobName::parse(&row.job).map_err(corrupt("pinyto_job_entries.job"))?,
        })
    }
}

/// An entry that is to be claimed.
#[derive(sqlx::FromRow)]
pub(crate) struct DueRow {
    id: i64,
    pub(crate) user_id: i64,
    user_name: String,
    assembly_id: i64,
    only_own_data: bool,
    http_hosts: Option<String>,
    code: String,
    #[sqlx(flatten)]
    name: NameRow,
    #[sqlx(flatten)]
    entry: EntryRow,
}

impl DueRow {
    /// The entry after the claim, and the job unless it isn't to be run.
    pub(crate) fn claimed(self, claim: &Claim) -> Result<(JobEntry, Option<ClaimedJob>), Corrupt> {
        let user = user(self.user_id, &self.user_name)?;
        let job = JobRef::try_from(self.name)?;
        let mut entry = JobEntry::try_from(self.entry)?;
        let http_hosts = hosts(self.http_hosts.as_deref())?;
        let lost = entry.lost(claim.now);
        let is_to_run = entry.claim(claim.lease, claim.now, claim.until);
        let claimed = is_to_run.then(|| {
            let lease = Lease {
                entry: JobEntryId::new(self.id),
                id: claim.lease,
            };
            let job = (AssemblyId::new(self.assembly_id), job);
            let mut claimed = ClaimedJob::new(lease, user, job, self.code, &entry);
            claimed.only_own_data = self.only_own_data;
            claimed.http_hosts = http_hosts;
            claimed.lost = lost;
            claimed
        });
        Ok((entry, claimed))
    }
}

/// A user who has something that can be claimed.
#[derive(sqlx::FromRow)]
pub(crate) struct TurnRow {
    pub(crate) user_id: i64,
    since: i64,
    turn: i64,
}

impl TurnRow {
    /// With so many of her jobs running.
    pub(crate) const fn turn(&self, running: usize) -> Turn {
        Turn {
            running,
            since: Timestamp::from_unix_millis(self.since),
            last: self.turn,
            user: UserId::new(self.user_id),
        }
    }
}
