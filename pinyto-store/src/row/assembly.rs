use pinyto_core::{
    assembly::{
        Assembly, AssemblyName, AssemblySource, AssemblySummary, DataAccess, Function,
        FunctionName, InstalledFunction, Job, JobName, Schedule,
    },
    egress::HostPattern,
    id::AssemblyId,
    query::Path,
    user::UserName,
};
use serde::Deserialize;

use super::{Corrupt, corrupt};

#[derive(sqlx::FromRow)]
pub(crate) struct SummaryRow {
    author: String,
    name: String,
    description: String,
}

impl TryFrom<SummaryRow> for AssemblySummary {
    type Error = Corrupt;

    fn try_from(row: SummaryRow) -> Result<Self, Corrupt> {
        let name = AssemblyName::parse(&row.name).map_err(corrupt("pinyto_assemblies.name"))?;
        let author = UserName::parse(&row.author).map_err(corrupt("pinyto_users.name"))?;
        Ok(Self::new(name, author, row.description))
    }
}

#[derive(sqlx::FromRow)]
pub(crate) struct AssemblyRow {
    id: i64,
    only_own_data: bool,
    #[sqlx(flatten)]
    summary: SummaryRow,
    functions: String,
    jobs: String,
    indexes: String,
    http_hosts: Option<String>,
}

/// The hosts in a JSON array, if there is one.
pub(crate) fn hosts(column: Option<&str>) -> Result<Option<Vec<HostPattern>>, Corrupt> {
    column
        .map(serde_json::from_str)
        .transpose()
        .map_err(corrupt("pinyto_assemblies.http_hosts"))
}

/// What there is of a function of an assembly that the user has installed.
#[derive(sqlx::FromRow)]
pub(crate) struct InstalledRow {
    assembly_id: i64,
    only_own_data: bool,
    http_hosts: Option<String>,
    code: Option<String>,
}

impl TryFrom<InstalledRow> for InstalledFunction {
    type Error = Corrupt;

    fn try_from(row: InstalledRow) -> Result<Self, Corrupt> {
        let assembly = AssemblyId::new(row.assembly_id);
        let mut found = Self::new(assembly, row.code.map(Into::into));
        found.only_own_data = row.only_own_data;
        found.http_hosts = hosts(row.http_hosts.as_deref())?;
        Ok(found)
    }
}

#[derive(Deserialize)]
struct FunctionRow(String, String);

impl TryFrom<FunctionRow> for Function {
    type Error = Corrupt;

    fn try_from(FunctionRow(name, code): FunctionRow) -> Result<Self, Corrupt> {
        let name = FunctionName::parse(&name).map_err(corrupt("pinyto_functions.name"))?;
        Ok(Self::new(name, code))
    }
}

#[derive(Deserialize)]
struct JobRow(String, String, u64);

impl TryFrom<JobRow> for Job {
    type Error = Corrupt;

    fn try_from(JobRow(name, code, schedule): JobRow) -> Result<Self, Corrupt> {
        let schedule = Schedule::from_minutes(schedule).ok_or("too long");
        let schedule = schedule.map_err(corrupt("pinyto_jobs.schedule"))?;
        let name = JobName::parse(&name).map_err(corrupt("pinyto_jobs.name"))?;
        Ok(Self::new(name, code).every(schedule))
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct IndexRow(String);

impl TryFrom<IndexRow> for Path {
    type Error = Corrupt;

    fn try_from(IndexRow(path): IndexRow) -> Result<Self, Corrupt> {
        Self::parse(&path).map_err(corrupt("pinyto_assembly_indexes.path"))
    }
}

/// The rows that a query has gathered in a JSON array, each with its position before it.
fn gathered<R, T>(place: &'static str, rows: &str) -> Result<Vec<T>, Corrupt>
where
    R: for<'de> Deserialize<'de>,
    T: TryFrom<R, Error = Corrupt>,
{
    let mut rows: Vec<(i64, R)> = serde_json::from_str(rows).map_err(corrupt(place))?;
    rows.sort_by_key(|(position, _)| *position);
    rows.into_iter().map(|(_, row)| T::try_from(row)).collect()
}

impl TryFrom<AssemblyRow> for Assembly {
    type Error = Corrupt;

    fn try_from(row: AssemblyRow) -> Result<Self, Corrupt> {
        let AssemblySummary {
            name,
            author,
            description,
            ..
        } = row.summary.try_into()?;
        let functions = gathered::<FunctionRow, _>("pinyto_functions", &row.functions)?;
        let jobs = gathered::<JobRow, _>("pinyto_jobs", &row.jobs)?;
        let indexes = gathered::<IndexRow, _>("pinyto_assembly_indexes", &row.indexes)?;
        let hosts = hosts(row.http_hosts.as_deref())?;
        let access = DataAccess::from_only_own_data(row.only_own_data);
        let source = AssemblySource::builder(name)
            .description(description)
            .functions(functions)
            .jobs(jobs)
            .access(access)
            .indexes(indexes)
            .http_hosts(hosts);
        let source = source.build().map_err(corrupt("pinyto_assemblies"))?;
        Ok(Self::new(AssemblyId::new(row.id), author, source))
    }
}
