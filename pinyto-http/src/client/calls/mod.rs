//! The calls, one file per subject, and the table of them all.

mod assembly;
mod document;
mod job;
mod key;
mod keyserver;
mod run;
mod server;
mod user;

use serde::{Deserialize, Serialize};

use super::{
    error::{Error, Sentence},
    retry::Repeat::{Always, IfNotBegun, IfNotSent},
    session::Session,
    transport::{
        Body, Call,
        Method::{Get, Post},
        decode,
    },
};

macro_rules! calls {
    ($($name:ident: $method:ident $path:literal $repeat:ident;)+) => {
        $(pub(super) const $name: Call = Call { method: $method, path: $path, repeat: $repeat };)+

        /// Every call that a method makes; one that none makes is dead code.
        #[cfg(test)]
        const ALL: &[Call] = &[$($name),+];
    };
}

calls! {
    REGISTER: Post "/register" IfNotBegun;
    // Another session takes the place of the first, which nobody knows then.
    AUTHENTICATE: Post "/authenticate" Always;
    LOGOUT: Post "/logout" IfNotBegun;
    WHO_AM_I: Post "/whoami" Always;
    // A second one is as good as the first.
    ISSUE_TICKET: Post "/ticket" Always;

    LIST_KEYS: Post "/list_keys" Always;
    REGISTER_NEW_KEY: Post "/register_new_key" IfNotBegun;
    PROVE_OPENPGP_KEY: Post "/prove_openpgp_key" IfNotBegun;
    SET_KEY_ACTIVE: Post "/set_key_active" IfNotBegun;
    DELETE_KEY: Post "/delete_key" IfNotBegun;

    KEYSERVER_REGISTER: Post "/keyserver/register" IfNotBegun;
    KEYSERVER_AUTHENTICATE: Post "/keyserver/authenticate" Always;
    KEYSERVER_LOGOUT: Post "/keyserver/logout" IfNotBegun;
    CHANGE_PASSWORD: Post "/keyserver/change_password" IfNotBegun;
    SET_PASSWORD_LOGIN: Post "/keyserver/set_password_login" IfNotBegun;

    SAVE_ASSEMBLY: Post "/save_assembly" IfNotBegun;
    DELETE_ASSEMBLY: Post "/delete_assembly" IfNotBegun;
    LIST_OWN_ASSEMBLIES: Post "/list_own_assemblies" Always;
    LIST_ALL_ASSEMBLIES: Post "/list_all_assemblies" Always;
    LIST_INSTALLED_ASSEMBLIES: Post "/list_installed_assemblies" Always;
    GET_ASSEMBLY_SOURCE: Post "/get_assembly_source" Always;
    INSTALL_ASSEMBLY: Post "/install_assembly" IfNotBegun;
    UNINSTALL_ASSEMBLY: Post "/uninstall_assembly" IfNotBegun;

    STORE: Post "/{author}/{assembly}/store" IfNotBegun;
    CALL_FUNCTION: Post "/{author}/{assembly}/{function}" IfNotSent;
    STATISTICS: Post "/statistics" Always;

    LIST_JOBS: Post "/list_jobs" Always;
    RUN_JOB: Post "/run_job" IfNotBegun;

    LIST_RUNS: Post "/list_runs" Always;
    GET_RUN: Post "/get_run" Always;
    LIST_ASSEMBLY_RUNS: Post "/list_assembly_runs" Always;

    PUBLIC_KEY: Get "/public_key" Always;
    OPENAPI: Get "/openapi.json" Always;
    HEALTHZ: Get "/healthz" Always;
    READYZ: Get "/readyz" Always;
}

/// The answer of calls that have nothing else to tell.
#[derive(Deserialize)]
struct Success {
    success: bool,
}

impl Success {
    fn check(self) -> Result<(), Error> {
        match self.success {
            true => Ok(()),
            false => Err(Error::unexpected(Sentence("no success, but no error"))),
        }
    }
}

impl Session {
    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        call: Call,
        request: &(impl Serialize + Sync),
    ) -> Result<T, Error> {
        self.call(call, &Body::json(request)?).await
    }

    async fn change(&self, call: Call, request: &(impl Serialize + Sync)) -> Result<(), Error> {
        let done: Success = self.read(call, request).await?;
        done.check()
    }
}

/// A request that says nothing but who asks.
#[derive(Serialize)]
struct Nothing {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Pages for people, which have no type.
    const FOR_PEOPLE: [&str; 2] = ["/", "/docs"];

    #[test]
    fn every_route_of_the_server_has_its_call_and_no_call_has_none() {
        let mut served = BTreeSet::new();
        for (path, methods) in crate::routes::served() {
            if FOR_PEOPLE.contains(&&*path) {
                continue;
            }
            for method in methods {
                served.insert(format!("{method} {path}"));
            }
        }
        // Served with the feature `openapi` only.
        served.insert("get /openapi.json".to_owned());
        let called = ALL.iter().map(|call| match call.method {
            Get => format!("get {}", call.path),
            Post => format!("post {}", call.path),
        });
        let called: BTreeSet<String> = called.collect();
        assert_eq!(called.len(), ALL.len(), "a call is listed twice");
        let missing: Vec<_> = served.difference(&called).collect();
        assert!(missing.is_empty(), "the client has no call for {missing:?}");
        let unserved: Vec<_> = called.difference(&served).collect();
        assert!(unserved.is_empty(), "the server has no {unserved:?}");
    }

    #[test]
    fn what_changes_something_is_never_simply_repeated() {
        let reads = |path: &str| {
            [
                "list_",
                "get_",
                "statistics",
                "authenticate",
                "whoami",
                "ticket",
            ]
            .iter()
            .any(|part| path.contains(part))
        };
        for call in ALL {
            let is_read = call.method == Get || reads(call.path);
            assert_eq!(call.repeat == Always, is_read, "{}", call.path);
        }
    }
}
