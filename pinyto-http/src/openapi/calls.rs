//! Every call with what it takes, gives and how it fails.

use utoipa::{
    ToSchema,
    openapi::{ComponentsBuilder, Ref, RefOr, Schema, schema::ArrayBuilder},
};

use crate::{
    error::{ERRORS, ErrorKind},
    wire::{
        OnlyToken, Success,
        assembly::{
            AnyAssembly, AssemblyData, ListAllAssemblies, OwnAssembly, SaveAssembly, SourceAnswer,
            SummaryAnswer,
        },
        document::{StatisticsAnswer, StoreDocument, StoredAnswer},
        job::{JobStateAnswer, ListJobs, RunJob},
        key::{DeleteKey, KeyEntry, ProveOpenPgpKey, RegisterNewKey, Registered, SetKeyActive},
        keyserver::{
            ChangePassword, KeyserverAuthenticate, KeyserverRegister, SetPasswordLogin, TokenAnswer,
        },
        run::{AuthorRunAnswer, GetRun, ListAssemblyRuns, ListRuns, RunAnswer},
        server::{PublicKeyAnswer, StatusAnswer},
        user::{Authenticate, ChallengeAnswer, IssueTicket, Register, TicketAnswer, WhoAmIAnswer},
    },
};

/// The groups, in the order in which a reader needs them.
pub(super) const TAGS: &[(&str, &str)] = &[
    ("users", "Registration and sessions."),
    ("keys", "The public keys of a user, one per device."),
    ("keyserver", "Logging in with a password."),
    ("assemblies", "Writing, finding and installing assemblies."),
    (
        "documents",
        "Storing documents and calling functions of assemblies.",
    ),
    ("runs", "What became of function calls and jobs."),
    ("jobs", "Code that runs on its own."),
    ("server", "What the server says about itself."),
];

/// How every call that has a body can fail.
const BODY: &[&str] = &[
    "malformed_json",
    "missing_field",
    "invalid_field",
    "body_incomplete",
    "body_too_slow",
    "body_too_large",
    "busy",
];
/// How every call that needs a session can fail.
const SESSION: &[&str] = &["unknown_token", "throttled", "busy"];
/// How every call can fail that asks the database.
const STORE: &[&str] = &[
    "database_unavailable",
    "shutting_down",
    "timeout",
    "database_inconsistent",
    "internal",
];

/// How every call can fail that runs an assembly's code.
const CODE: &[&str] = &[
    "code_exception",
    "code_invalid",
    "code_limit_reached",
    "code_crashed",
    "code_answer_invalid",
    "code_runtime_unavailable",
];

type AddSchema = fn(ComponentsBuilder) -> ComponentsBuilder;

/// Adds the schema of `T` and those it refers to.
fn add_schema<T: ToSchema>(components: ComponentsBuilder) -> ComponentsBuilder {
    let mut inner = Vec::new();
    T::schemas(&mut inner);
    components.schemas_from_iter(inner).schema_from::<T>()
}

/// One call.
pub(super) struct Call {
    pub(super) path: &'static str,
    pub(super) is_read: bool,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) details: &'static str,
    pub(super) request: Option<String>,
    pub(super) answer: Option<RefOr<Schema>>,
    pub(super) answer_meaning: &'static str,
    pub(super) answer_type: &'static str,
    pub(super) needs_session: bool,
    pub(super) schemas: Vec<AddSchema>,
    groups: Vec<&'static [&'static str]>,
}

impl Call {
    fn read(path: &'static str, summary: &'static str) -> Self {
        Self {
            path,
            is_read: true,
            tag: "server",
            summary,
            details: "",
            request: None,
            answer: None,
            answer_meaning: "Done.",
            answer_type: super::JSON,
            needs_session: false,
            schemas: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// A call without session.
    fn open<T: ToSchema>(tag: &'static str, path: &'static str, summary: &'static str) -> Self {
        Self {
            is_read: false,
            tag,
            request: Some(T::name().into_owned()),
            schemas: vec![add_schema::<T>],
            groups: vec![BODY, STORE],
            ..Self::read(path, summary)
        }
        .gives::<Success>("Done.")
    }

    /// A call of somebody with a session.
    fn session<T: ToSchema>(tag: &'static str, path: &'static str, summary: &'static str) -> Self {
        let mut call = Self::open::<T>(tag, path, summary);
        call.needs_session = true;
        call.groups.push(SESSION);
        call
    }

    fn details(mut self, details: &'static str) -> Self {
        self.details = details;
        self
    }

    fn gives<T: ToSchema>(mut self, meaning: &'static str) -> Self {
        self.answer = Some(Ref::from_schema_name(T::name()).into());
        self.answer_meaning = meaning;
        self.schemas.push(add_schema::<T>);
        self
    }

    fn gives_list_of<T: ToSchema>(mut self, meaning: &'static str) -> Self {
        let items = Ref::from_schema_name(T::name());
        self.answer = Some(ArrayBuilder::new().items(items).into());
        self.answer_meaning = meaning;
        self.schemas.push(add_schema::<T>);
        self
    }

    fn gives_other(mut self, content_type: &'static str, meaning: &'static str) -> Self {
        self.answer = None;
        self.answer_type = content_type;
        self.answer_meaning = meaning;
        self
    }

    fn fails(mut self, codes: &'static [&'static str]) -> Self {
        self.groups.push(codes);
        self
    }

    /// The kinds of errors it can answer with, in the order of [`ERRORS`].
    pub(super) fn errors(&self) -> impl Iterator<Item = &'static ErrorKind> {
        let fails = |kind: &&ErrorKind| self.groups.iter().any(|codes| codes.contains(&kind.code));
        ERRORS.iter().filter(fails)
    }

    /// A name for generated clients: the path's words.
    pub(super) fn operation_id(&self) -> String {
        let words = self.path.split(|c: char| !c.is_ascii_alphanumeric());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            "front_page".to_owned()
        } else {
            words.join("_")
        }
    }
}

/// All calls, each path once.
pub(super) fn calls() -> Vec<Call> {
    [
        users(),
        keys(),
        keyserver(),
        assemblies(),
        documents(),
        runs(),
        jobs(),
        server(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn users() -> Vec<Call> {
    vec![
        Call::open::<Register>("users", "/register", "Registers a user with her first key.").fails(
            &[
                "invalid_user_name",
                "reserved_user_name",
                "invalid_public_key",
                "user_name_taken",
            ],
        ),
        Call::open::<Authenticate>("users", "/authenticate", "Poses the challenge that opens a session.")
            .details("The key's former session ends. An unknown user, an unknown key and a deactivated key have the same answer.")
            .gives::<ChallengeAnswer>("The challenge.")
            .fails(&["invalid_key_hash", "authentication_failed", "ambiguous_key_hash", "throttled", "busy"]),
        Call::session::<OnlyToken>("users", "/whoami", "Tells whose session it is.")
            .gives::<WhoAmIAnswer<'static>>("Who asks."),
        Call::session::<IssueTicket>("users", "/ticket", "Issues a ticket by which another service learns whose session it is.")
            .details("Instead of the request token, which would give that service the whole account. A ticket is good for that audience only and for a few minutes; at this server it opens nothing. The service checks it with the server's public key.")
            .gives::<TicketAnswer<'static>>("The ticket.")
            .fails(&["invalid_audience"]),
        Call::session::<OnlyToken>("users", "/logout", "Ends the session."),
    ]
}

fn keys() -> Vec<Call> {
    vec![
        Call::session::<OnlyToken>("keys", "/list_keys", "Lists the user's keys, oldest first.")
            .gives_list_of::<KeyEntry<'static>>("The keys."),
        Call::session::<RegisterNewKey>("keys", "/register_new_key", "Registers another key of the user.")
            .details("A device's key is active at once. An OpenPGP key is when its holder has proved to have it; a certificate of a key that the user has takes the place of the former one, unless that is valid longer. A user has at most 256 keys.")
            .gives::<Registered<'static>>("It is registered.")
            .fails(&["invalid_public_key", "invalid_openpgp_key", "gpgauth_disabled", "invalid_key_label", "key_already_registered", "older_openpgp_key", "limit_reached"]),
        Call::session::<ProveOpenPgpKey>("keys", "/prove_openpgp_key", "Makes an OpenPGP key active whose holder has decrypted the challenge that registering it gave.")
            .details("Whatever comes of it, the answer is worth nothing from then on. Registering the key again gives another challenge.")
            .fails(&["invalid_key_hash", "unknown_key", "ambiguous_key_hash", "gpgauth_invalid_token", "gpgauth_disabled", "throttled"]),
        Call::session::<SetKeyActive>("keys", "/set_key_active", "Activates or deactivates one of the user's keys.")
            .details("Deactivating a key ends its session at once.")
            .fails(&["invalid_key_hash", "unknown_key", "ambiguous_key_hash", "last_active_key", "unproven_key"]),
        Call::session::<DeleteKey>("keys", "/delete_key", "Deletes one of the user's keys.")
            .details("Its session ends at once. If it is the keyserver's key, the account's password opens nothing any more.")
            .fails(&["invalid_key_hash", "unknown_key", "ambiguous_key_hash", "last_active_key"]),
    ]
}

fn keyserver() -> Vec<Call> {
    vec![
        Call::open::<KeyserverRegister>("keyserver", "/keyserver/register", "Registers a user who has a password instead of a device.")
            .details("Makes a key pair of 4096 bits and keeps its private half under the password.")
            .fails(&["invalid_user_name", "reserved_user_name", "invalid_password", "user_name_taken", "busy"]),
        Call::open::<KeyserverAuthenticate>("keyserver", "/keyserver/authenticate", "Opens a session with a password.")
            .details("An unknown account and a wrong password have the same answer. Failed tries are throttled, by account and by address.")
            .gives::<TokenAnswer<'static>>("The session is open.")
            .fails(&["wrong_password", "throttled", "busy"]),
        Call::session::<ChangePassword>("keyserver", "/keyserver/change_password", "Gives the account another password.")
            .details("The account gets a fresh key pair; the old key and its other session end, the session in use goes on. Device keys are untouched.")
            .fails(&["invalid_password", "no_keyserver_account"]),
        Call::session::<SetPasswordLogin>("keyserver", "/keyserver/set_password_login", "Allows or forbids that the password opens the account.")
            .details("Forbidden, the right password has the answer of a wrong one, the session that it has opened ends at once, and only the user's other keys open the account; a session of theirs can allow it again. Only a session of another key can forbid it, and only if there is one that is active and has not expired.")
            .fails(&["no_keyserver_account", "last_active_key", "password_session"]),
        Call::session::<OnlyToken>("keyserver", "/keyserver/logout", "Ends the session, as /logout does."),
    ]
}

fn assemblies() -> Vec<Call> {
    vec![
        Call::session::<SaveAssembly>("assemblies", "/save_assembly", "Saves an assembly of the user.")
            .details("All or nothing. Whoever has installed the replaced assembly keeps it, also under a new name. Code that can never be run is refused with its line.")
            .fails(&["invalid_assembly_name", "invalid_assembly", "assembly_name_taken", "limit_reached", "quota_exceeded", "code_runtime_unavailable"]),
        Call::session::<OwnAssembly>("assemblies", "/delete_assembly", "Deletes an assembly of the user and uninstalls it everywhere.")
            .fails(&["unknown_assembly"]),
        Call::session::<OnlyToken>("assemblies", "/list_own_assemblies", "Lists the user's assemblies with their code, oldest first.")
            .gives_list_of::<AssemblyData>("The assemblies."),
        Call::session::<ListAllAssemblies>("assemblies", "/list_all_assemblies", "Lists all assemblies of the server, oldest first.")
            .gives_list_of::<SummaryAnswer>("The assemblies."),
        Call::session::<OnlyToken>("assemblies", "/list_installed_assemblies", "Lists the assemblies that the user has installed, oldest first.")
            .gives_list_of::<SummaryAnswer>("The assemblies."),
        Call::session::<AnyAssembly>("assemblies", "/get_assembly_source", "Shows an assembly's code, which everybody may read.")
            .gives::<SourceAnswer<'static>>("The code.")
            .fails(&["unknown_assembly"]),
        Call::session::<AnyAssembly>("assemblies", "/install_assembly", "Installs an assembly for the user.")
            .details("Installing it again changes nothing.")
            .fails(&["unknown_assembly", "limit_reached"]),
        Call::session::<AnyAssembly>("assemblies", "/uninstall_assembly", "Uninstalls an assembly.")
            .details("The user's documents stay.")
            .fails(&["assembly_not_installed"]),
    ]
}

fn documents() -> Vec<Call> {
    vec![
        Call::session::<StoreDocument>("documents", "/{author}/{assembly}/store", "Stores a document in the name of an assembly that the user has installed.")
            .details("Kept are the type, the present time (UTC), the tags, the assembly and the data. No function of an assembly is reachable under this name. A document of the type `job` whose data has `assembly_user`, `assembly_name` and `job_name` queues that job, and is deleted when it is done.")
            .gives::<StoredAnswer>("The document is stored.")
            .fails(&["invalid_document_type", "document_too_deep", "too_many_values", "assembly_not_installed", "unknown_job", "limit_reached", "storage_full"]),
        Call::session::<OnlyToken>("documents", "/{author}/{assembly}/{function}", "Calls a function of an assembly that the user has installed.")
            .details("The function gets the whole body but the token. What it returns is the answer: a text as it is, any other value as its JSON. A value with the member `error` has the status 400.")
            .gives_other(super::JSON, "What the function returns.")
            .fails(&["assembly_not_installed", "unknown_function", "code_execution_disabled", "quota_exceeded"])
            .fails(CODE),
        Call::session::<OnlyToken>("documents", "/statistics", "Tells what the user has used, and how many assemblies there are.")
            .gives::<StatisticsAnswer>("The figures."),
    ]
}

fn runs() -> Vec<Call> {
    vec![
        Call::session::<ListRuns>("runs", "/list_runs", "Lists what became of the user's function calls and jobs, newest first.")
            .details("Runs are kept for a while only. With `author` and `name` only those of that assembly are listed.")
            .gives_list_of::<RunAnswer<'static>>("The runs."),
        Call::session::<GetRun>("runs", "/get_run", "Shows one run of the user.")
            .gives::<RunAnswer<'static>>("The run.")
            .fails(&["unknown_run"]),
        Call::session::<ListAssemblyRuns>("runs", "/list_assembly_runs", "Lists the runs of an assembly that the user has written, whoever they were for, newest first.")
            .details("Neither for whom they ran is told nor anything that may contain other users' data.")
            .gives_list_of::<AuthorRunAnswer<'static>>("The runs.")
            .fails(&["unknown_assembly"]),
    ]
}

fn jobs() -> Vec<Call> {
    vec![
        Call::session::<ListJobs>("jobs", "/list_jobs", "Tells how it stands with the user's jobs.")
            .details("Listed are the jobs of installed assemblies, in the order in which the assemblies were made, and the runs that are queued.")
            .gives_list_of::<JobStateAnswer<'static>>("The jobs."),
        Call::session::<RunJob>("jobs", "/run_job", "Lets a job of an installed assembly run now.")
            .details("A job that is parked is tried again; any other runs once more beside its schedule. Asking again while that waits for its turn changes nothing. What becomes of it is told by /list_runs.")
            .fails(&["assembly_not_installed", "unknown_job", "limit_reached", "code_execution_disabled"]),
    ]
}

fn server() -> Vec<Call> {
    vec![
        Call::read("/public_key", "The server's public key, which clients pin.")
            .gives::<PublicKeyAnswer<'static>>("The key."),
        Call::read("/healthz", "Whether the process lives.").gives::<StatusAnswer>("It does."),
        Call::read("/readyz", "Whether the database can be reached.")
            .gives::<StatusAnswer>("It can.")
            .fails(&["database_unavailable", "database_inconsistent"]),
        Call::read("/openapi.json", "This description for programs.")
            .gives_other(super::JSON, "An OpenAPI document."),
        Call::read("/docs", "This description for people.").gives_other("text/html", "A page."),
        Call::read("/", "What this server is.")
            .details(
                "Every GET that asks for HTML and belongs to no other call has the same answer.",
            )
            .gives_other("text/html", "A page."),
    ]
}
