//! Assemblies.

use pinyto_core::{
    Error,
    assembly::{
        AssemblyName, AssemblySource, DataAccess, Function, FunctionName, InvalidAssembly,
        InvalidAssemblyName, Job, JobName,
    },
    egress::HostPattern,
    query::Path,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ANY_NAME, COUNT, Minutes, NAME, Object, Request, decode};
use crate::error::ApiError;

const LIST: &str = "a list of objects";
const PART: &str = "an object with the strings name and code";

/// Saves an assembly of the user.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SaveAssembly {
    /// Which of the user's assemblies is replaced; if she has none of that name, a new one is made.
    pub original_name: String,
    /// The assembly. What it doesn't list is gone afterwards.
    #[cfg_attr(feature = "openapi", schema(value_type = AssemblyData))]
    pub data: Object<AssemblyData>,
}

impl Request for SaveAssembly {
    const FIELDS: &'static [(&'static str, &'static str)] = &[
        ("original_name", ANY_NAME),
        (
            "data",
            "an object with name, description, api_functions, jobs and only_own_data",
        ),
        ("data.name", NAME),
        ("data.description", "a string"),
        ("data.api_functions", LIST),
        ("data.api_functions[]", PART),
        ("data.api_functions[].name", NAME),
        ("data.api_functions[].code", "a string"),
        ("data.jobs", LIST),
        ("data.jobs[]", PART),
        ("data.jobs[].name", NAME),
        ("data.jobs[].code", "a string"),
        (
            "data.jobs[].schedule",
            "a whole number of minutes from 0 to 5270400",
        ),
        ("data.only_own_data", "true or false"),
        ("data.indexes", "a list of strings"),
        ("data.indexes[]", "a dotted path such as data.isbn"),
        ("data.http_hosts", "a list of strings"),
        (
            "data.http_hosts[]",
            "a host such as example.org or *.example.org",
        ),
    ];
}

/// An assembly as its author writes it.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AssemblyData {
    /// 1 to 42 ASCII letters, digits and `_`, unique among the author's assemblies.
    pub name: String,
    /// What users read before they install it; at most 4096 bytes.
    pub description: String,
    /// What answers requests; at most 256.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<FunctionData>, required = false))]
    pub api_functions: Vec<Object<FunctionData>>,
    /// What runs on a schedule or when queued; at most 256.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<JobData>, required = false))]
    pub jobs: Vec<Object<JobData>>,
    /// Whether its code sees only the documents it stored itself. Default: true.
    #[serde(default = "yes")]
    #[cfg_attr(feature = "openapi", schema(required = false, default = true))]
    pub only_own_data: bool,
    /// Dotted paths, such as `data.isbn`, that its code looks documents up or sorts them by, so that
    /// this is fast; at most 16.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub indexes: Vec<String>,
    /// The only hosts that its code fetches from: `example.org` is that name alone,
    /// `*.example.org` all names below it; at most 64. Left out: all that the operator allows.
    pub http_hosts: Option<Vec<String>>,
}

/// A function of an assembly.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FunctionData {
    /// 1 to 42 ASCII letters, digits and `_`, unique among the assembly's functions.
    pub name: String,
    /// The Python source of its body; at most 262144 bytes.
    pub code: String,
}

/// A job of an assembly.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobData {
    /// 1 to 42 ASCII letters, digits and `_`, unique among the assembly's jobs.
    pub name: String,
    /// The Python source of its body; at most 262144 bytes.
    pub code: String,
    /// Minutes until it runs again, at most ten years; 0 (the default): it runs once.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = u32, required = false, maximum = 5_270_400))]
    pub schedule: Minutes,
}

const fn yes() -> bool {
    true
}

/// Why what was sent is no assembly.
#[derive(Debug)]
pub enum NoAssembly {
    /// A name is none.
    Name(InvalidAssemblyName),
    /// What belongs together doesn't fit.
    Whole(InvalidAssembly),
}

impl From<NoAssembly> for Error {
    fn from(reason: NoAssembly) -> Self {
        match reason {
            NoAssembly::Name(reason) => reason.into(),
            NoAssembly::Whole(reason) => reason.into(),
        }
    }
}

/// An assembly from the JSON that `/save_assembly` takes in its field `data`, for tools that check or
/// pack assemblies without a server.
///
/// ```
/// use serde_json::json;
///
/// let source = pinyto_http::assembly_from_json(&json!({
///     "name": "Notes",
///     "description": "Short texts.",
///     "api_functions": [{"name": "hello", "code": "return 'hello'"}],
/// }))?;
/// assert_eq!(source.name().as_str(), "Notes");
/// # Ok::<_, pinyto_http::ApiError>(())
/// ```
///
/// # Errors
///
/// What a server would answer: `missing_field` and the like with the field's path, which begins with
/// `data.`, or the rule that the assembly breaks.
pub fn assembly_from_json(data: &Value) -> Result<AssemblySource, ApiError> {
    let request = json!({"original_name": "", "data": data}).to_string();
    let SaveAssembly { data, .. } = decode(request.as_bytes())?;
    Ok(data.0.into_source().map_err(Error::from)?)
}

impl AssemblyData {
    /// Checks the assembly.
    ///
    /// # Errors
    ///
    /// [`NoAssembly`] tells which rule it breaks.
    pub fn into_source(self) -> Result<AssemblySource, NoAssembly> {
        let function = |Object(data): Object<FunctionData>| {
            let name = FunctionName::parse(&data.name).map_err(NoAssembly::Name)?;
            Ok(Function::new(name, data.code))
        };
        let job = |Object(data): Object<JobData>| {
            let name = JobName::parse(&data.name).map_err(NoAssembly::Name)?;
            Ok(Job::new(name, data.code).every(data.schedule.0))
        };
        let index = |text: &String| {
            let path = Path::parse(text).map_err(InvalidAssembly::from);
            path.map_err(NoAssembly::Whole)
        };
        let indexes = self.indexes.iter().map(index);
        let indexes = indexes.collect::<Result<Vec<_>, NoAssembly>>()?;
        let host = |text: &String| {
            let host = HostPattern::parse(text).map_err(InvalidAssembly::from);
            host.map_err(NoAssembly::Whole)
        };
        let http_hosts = match &self.http_hosts {
            Some(hosts) => Some(
                hosts
                    .iter()
                    .map(host)
                    .collect::<Result<Vec<_>, NoAssembly>>()?,
            ),
            None => None,
        };
        let functions = self.api_functions.into_iter().map(function);
        let jobs = self.jobs.into_iter().map(job);
        AssemblySource::builder(AssemblyName::parse(&self.name).map_err(NoAssembly::Name)?)
            .description(self.description)
            .functions(functions.collect::<Result<Vec<_>, NoAssembly>>()?)
            .jobs(jobs.collect::<Result<Vec<_>, NoAssembly>>()?)
            .access(DataAccess::from_only_own_data(self.only_own_data))
            .indexes(indexes)
            .http_hosts(http_hosts)
            .build()
            .map_err(NoAssembly::Whole)
    }
}

/// Names one of the user's own assemblies.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OwnAssembly {
    /// The assembly's name.
    pub name: String,
}

impl Request for OwnAssembly {
    const FIELDS: &'static [(&'static str, &'static str)] = &[("name", ANY_NAME)];
}

/// Names an assembly.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnyAssembly {
    /// Who wrote it.
    pub author: String,
    /// Its name.
    pub name: String,
}

impl Request for AnyAssembly {
    const FIELDS: &'static [(&'static str, &'static str)] =
        &[("author", ANY_NAME), ("name", ANY_NAME)];
}

/// Asks for a part of the list of all assemblies.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListAllAssemblies {
    /// How many of the oldest are left out. Default: 0.
    pub skip: Option<u64>,
    /// How many are listed at the most; never more than 1000, which is the default.
    pub count: Option<u64>,
}

impl Request for ListAllAssemblies {
    const FIELDS: &'static [(&'static str, &'static str)] = &[("skip", COUNT), ("count", COUNT)];
}

/// The source of an assembly.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SourceAnswer<'a> {
    /// What answers requests.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<FunctionData>))]
    pub api_functions: &'a [Function],
    /// What runs on a schedule or when queued.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<JobData>))]
    pub jobs: &'a [Job],
    /// What its code looks documents up or sorts them by. Left out if there are none.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, required = false))]
    pub indexes: &'a [String],
}

/// What a list says about an assembly.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
#[expect(
    dead_code,
    reason = "describes the core's AssemblySummary, which is sent as it is"
)]
pub(crate) struct SummaryAnswer {
    /// Its name.
    name: String,
    /// Who wrote it.
    author: String,
    /// What the author says about it.
    description: String,
}
