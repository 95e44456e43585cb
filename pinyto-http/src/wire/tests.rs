//! Every field is described twice, for people and for sentences: that both know the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Request, assembly, document, job, key, keyserver, run, user};
use crate::{HttpSettings, openapi};

/// Every call that takes more than a token, with what its request is.
fn calls() -> Vec<(&'static str, &'static [(&'static str, &'static str)])> {
    vec![
        ("/register", user::Register::FIELDS),
        ("/authenticate", user::Authenticate::FIELDS),
        ("/ticket", user::IssueTicket::FIELDS),
        ("/register_new_key", key::RegisterNewKey::FIELDS),
        ("/prove_openpgp_key", key::ProveOpenPgpKey::FIELDS),
        ("/set_key_active", key::SetKeyActive::FIELDS),
        ("/delete_key", key::DeleteKey::FIELDS),
        ("/keyserver/register", keyserver::KeyserverRegister::FIELDS),
        (
            "/keyserver/authenticate",
            keyserver::KeyserverAuthenticate::FIELDS,
        ),
        (
            "/keyserver/change_password",
            keyserver::ChangePassword::FIELDS,
        ),
        (
            "/keyserver/set_password_login",
            keyserver::SetPasswordLogin::FIELDS,
        ),
        ("/save_assembly", assembly::SaveAssembly::FIELDS),
        ("/delete_assembly", assembly::OwnAssembly::FIELDS),
        ("/list_all_assemblies", assembly::ListAllAssemblies::FIELDS),
        ("/get_assembly_source", assembly::AnyAssembly::FIELDS),
        ("/install_assembly", assembly::AnyAssembly::FIELDS),
        ("/uninstall_assembly", assembly::AnyAssembly::FIELDS),
        ("/list_runs", run::ListRuns::FIELDS),
        ("/get_run", run::GetRun::FIELDS),
        ("/list_assembly_runs", run::ListAssemblyRuns::FIELDS),
        ("/list_jobs", job::ListJobs::FIELDS),
        ("/run_job", job::RunJob::FIELDS),
        (
            "/{author}/{assembly}/store",
            document::StoreDocument::FIELDS,
        ),
    ]
}

/// The paths of the fields that a schema has, without the token.
fn described(document: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str()
        && let Some(schema) = document.pointer(reference.trim_start_matches('#'))
    {
        described(document, schema, path, found);
    }
    for either in schema["oneOf"].as_array().into_iter().flatten() {
        described(document, either, path, found);
    }
    if schema["items"].is_object() {
        let path = format!("{path}[]");
        found.insert(path.clone());
        described(document, &schema["items"], &path, found);
    }
    let properties = schema["properties"].as_object();
    for (name, schema) in properties.into_iter().flatten() {
        if name != "token" {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{name}");
            found.insert(path.clone());
            described(document, schema, &path, found);
        }
    }
}

#[test]
fn a_field_that_is_documented_has_a_sentence_and_the_other_way_round() {
    let document = openapi::document(&HttpSettings::default());
    let calls = calls();
    for (path, fields) in &calls {
        let body = &document["paths"][path]["post"]["requestBody"]["content"];
        let schema = &body["application/json"]["schema"];
        let mut documented = BTreeSet::new();
        described(&document, schema, "", &mut documented);
        let told: BTreeSet<String> = fields.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(told, documented, "{path}");
        assert!(!told.is_empty(), "{path}");
    }
    // No call is left out.
    for (path, item) in document["paths"].as_object().unwrap() {
        let body = &item["post"]["requestBody"]["content"]["application/json"]["schema"];
        let mut fields = BTreeSet::new();
        described(&document, body, "", &mut fields);
        let is_checked = calls.iter().any(|(checked, _)| checked == path);
        assert!(is_checked || fields.is_empty(), "{path}: {fields:?}");
    }
}
