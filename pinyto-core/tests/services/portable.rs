//! One user's data out of one store and into another.

use std::sync::Arc;

use pinyto_core::{
    Settings,
    clock::Timestamp,
    document::{Document, Scope},
    key::{Key, KeyLabel, KeyState, NewKey},
    memory::MemoryStore,
    portable::{
        Counts, ImportError, ImportSettings, Imported, Needs, Preview, UserExport, UserImport,
    },
    store::Store,
    testing::{given, keys},
    user::User,
};
use serde_json::json;

const DOCUMENTS: u64 = 280;

fn now() -> Timestamp {
    given::at(10_000)
}

fn settings() -> ImportSettings {
    ImportSettings::new(&Settings::default())
}

/// The same, and whose it becomes is named.
fn for_ann() -> ImportSettings {
    settings().user(given::name("ann"))
}

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

async fn user(store: &Arc<dyn Store>, name: &str) -> User {
    let found = store.users().find(&given::name(name)).await.unwrap();
    found.unwrap()
}

async fn export(store: &Arc<dyn Store>, name: &str) -> Vec<String> {
    let begun = UserExport::begin(&**store, &given::name(name), now()).await;
    let mut export = begun.unwrap().unwrap();
    let mut lines = Vec::new();
    while let Some(line) = export.next().await.unwrap() {
        assert!(!line.contains('\n'));
        lines.push(line);
    }
    lines
}

async fn import(
    store: &Arc<dyn Store>,
    lines: &[String],
    settings: ImportSettings,
) -> Result<Imported, ImportError> {
    let mut import = UserImport::new(store.clone(), settings, now());
    for line in lines {
        import.line(line).await?;
    }
    import.finish().await
}

fn needs(lines: &[String], settings: &ImportSettings) -> Needs {
    let mut preview = Preview::new(settings.clone());
    for line in lines {
        preview.line(line).unwrap();
    }
    preview.finish().unwrap()
}

fn document(n: u64) -> Document {
    let assembly = given::assembly_ref(if n.is_multiple_of(2) {
        "ann/Notes"
    } else {
        "bob/Shared"
    });
    let data = json!({"n": n, "text": "\u{2028}\u{0}ü", "large": "x".repeat(n as usize * 130)});
    let mut document = given::document(n, &assembly, data);
    document.time = given::at(i64::try_from(n).unwrap());
    document.fields.insert("own".to_owned(), json!(-0.0));
    document
}

/// Ann, who has written and installed, and Bob.
async fn filled() -> Arc<dyn Store> {
    let store = store();
    let ann = given::user(&*store, "ann", 1).await;
    let bob = given::user(&*store, "bob", 2).await;
    let phone = NewKey::new(keys::synthetic(3)).labelled(KeyLabel::parse("phone").unwrap());
    let of_ann = ann.id.into();
    let added = store.keys().add(of_ann, &phone, 9, now()).await;
    added.unwrap();
    given::key(&*store, &ann, 4).await;
    let hash = given::hash_of(4);
    store
        .keys()
        .set_state(of_ann, &hash, KeyState::Inactive, given::at(0))
        .await
        .unwrap();
    let notes = given::source_with("Notes", "ü", &[("get", "return 1")]);
    let notes = notes.into_builder().indexes([given::path("data.n")]);
    let notes = notes.build().unwrap();
    let notes = given::saved(&*store, &ann, &notes).await;
    let shared = given::assembly(&*store, &bob, "Shared").await;
    given::installed(&*store, &ann, &notes).await;
    given::installed(&*store, &ann, &shared).await;
    for n in 1..=DOCUMENTS {
        given::stored(&*store, &ann, &document(n)).await;
    }
    store
}

/// Where Ann is not, but Bob.
async fn other() -> Arc<dyn Store> {
    let store = store();
    let bob = given::user(&*store, "bob", 2).await;
    given::assembly(&*store, &bob, "Shared").await;
    store
}

#[tokio::test]
async fn what_is_exported_can_be_imported_once_and_again() {
    let (from, to) = (filled().await, other().await);
    let lines = export(&from, "ann").await;
    let imported = import(&to, &lines, settings()).await.unwrap();
    let all = Counts {
        // Without the inactive one.
        keys: 2,
        assemblies: 1,
        installed: 2,
        documents: DOCUMENTS,
    };
    assert_eq!(imported.new, all);
    assert!(imported.made_user);
    assert_eq!(
        (imported.inactive_keys_left_out, imported.keys_left_out),
        (1, 0)
    );
    assert_eq!(imported.user, Some(given::name("ann")));
    assert_eq!(imported.installed, ["ann/Notes", "bob/Shared"]);
    let (old, new) = (user(&from, "ann").await, user(&to, "ann").await);
    let old_keys = from.keys().list(old.id).await.unwrap();
    let new_keys = to.keys().list(new.id).await.unwrap();
    let shown = |keys: &[pinyto_core::key::Key]| -> Vec<_> {
        let keys = keys.iter().filter(|key| key.active);
        keys.map(|key| (key.material.clone(), key.label.clone(), key.active))
            .collect()
    };
    assert_eq!(shown(&new_keys), shown(&old_keys));
    assert!(new_keys.iter().all(|key| key.active));
    let (notes, written) = (given::assembly_ref("ann/Notes"), from.assemblies());
    let old_source = written.find(&notes).await.unwrap().unwrap().source;
    let new_source = to.assemblies().find(&notes).await.unwrap().unwrap().source;
    assert_eq!(new_source, old_source);
    for n in 1..=DOCUMENTS {
        let id = given::document_id(n);
        let found = to
            .documents()
            .find(Scope::all_of(new.id), id)
            .await
            .unwrap();
        assert_eq!(found, Some(document(n)));
    }
    // All but the header, the keys and how many there are is the same again; assemblies come in the
    // order in which they were made.
    let sorted = |mut lines: Vec<String>| {
        let other = ["{\"pinyto_export", "{\"key", "{\"end"];
        lines.retain(|line| !other.iter().any(|start| line.starts_with(start)));
        lines.sort();
        lines
    };
    assert_eq!(sorted(export(&to, "ann").await), sorted(lines.clone()));

    let again = import(&to, &lines, for_ann()).await.unwrap();
    assert_eq!(again.new, Counts::default());
    assert_eq!(
        (again.known.documents, again.kept.documents),
        (DOCUMENTS, 0)
    );
    assert_eq!((again.keys_left_out, again.made_user), (3, false));
    assert_eq!(given::document_count(&*to, &new).await, DOCUMENTS);
}

#[tokio::test]
async fn keys_after_anything_else_are_refused_by_their_line() {
    let from = filled().await;
    let mut lines = export(&from, "ann").await;
    let key = lines.remove(1);
    assert!(key.starts_with("{\"key"));
    let end = lines.len() - 1;
    lines.insert(end, key);
    let refused = import(&other().await, &lines, settings())
        .await
        .unwrap_err();
    let said = refused.to_string();
    assert!(said.contains("keys come before everything else"), "{said}");
    assert!(said.contains(&(end + 1).to_string()), "{said}");
}

#[cfg(feature = "gpgauth")]
#[tokio::test]
async fn an_openpgp_key_goes_along_and_has_to_be_proven_anew() {
    use pinyto_core::{
        gpgauth::{OpenPgp as _, RPgp},
        key::AddKeyOutcome,
    };

    let (from, to) = (filled().await, other().await);
    let ann = user(&from, "ann").await;
    let gpg = RPgp::generate("Ann <ann@example.org>", now()).unwrap();
    let key = pinyto_core::gpgauth::read_key(gpg.public_key(), now());
    let key = NewKey::new(key.unwrap());
    let added = from.keys().add(ann.id.into(), &key, 9, now()).await;
    let AddKeyOutcome::Added(id) = added.unwrap() else {
        panic!("it is new");
    };
    from.keys().prove(ann.id.into(), id, now()).await.unwrap();
    let lines = export(&from, "ann").await;
    assert!(
        lines
            .iter()
            .any(|line| line.contains("BEGIN PGP PUBLIC KEY BLOCK"))
    );
    import(&to, &lines, settings()).await.unwrap();
    let found = to.keys().find_openpgp(&gpg.fingerprint()).await.unwrap();
    assert_eq!(found, None, "anybody can write a file");
    let ann = user(&to, "ann").await;
    let keys = to.keys().list(ann.id).await.unwrap();
    let found = keys.last().unwrap();
    assert_eq!(found.material, key.material);
    assert!(found.is_unproven() && !found.active);

    // Alone it lets nobody in.
    let mut without = lines.clone();
    without.retain(|line| !line.contains("BEGIN PUBLIC KEY"));
    let refused = import(&other().await, &without, settings()).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("no active key"), "{said}");
    // One that had expired before it was registered is left out.
    let long_ago = given::at(-10_000_000);
    let early = |line: &String| match line.contains("BEGIN PGP") {
        true => line.replace(&now().to_string(), &long_ago.to_string()),
        false => line.clone(),
    };
    let early: Vec<String> = lines.iter().map(early).collect();
    let to = other().await;
    let imported = import(&to, &early, settings()).await.unwrap();
    assert_eq!(imported.inactive_keys_left_out, 2, "with one of hers");
}

#[tokio::test]
async fn a_long_line_is_taken_when_all_before_it_is_stored() {
    let (from, to) = (filled().await, other().await);
    let mut lines = export(&from, "ann").await;
    lines.retain(|line| !line.starts_with("{\"document") && !line.starts_with("{\"end"));
    let line = |n: u64| json!({ "document": document(n).to_json() }).to_string();
    lines.extend((1..=10).map(line));
    let mut import = UserImport::new(to, settings(), now());
    for line in &lines {
        import.line(line).await.unwrap();
    }
    assert!(import.so_far().new.documents < 10);
    import.line(&line(2_100)).await.unwrap();
    assert_eq!(import.so_far().new.documents, 10);
}

#[tokio::test]
async fn storage_is_accounted_for_from_the_import_on() {
    let (from, to) = (filled().await, other().await);
    // Somebody whose account was last calculated long ago.
    let ann = given::user(&*to, "ann", 1).await;
    let mut lines = export(&from, "ann").await;
    let mut late = document(3);
    (late.id, late.time) = (given::document_id(90_000), given::at(99_999));
    lines.retain(|line| !line.starts_with("{\"end\""));
    lines.push(json!({ "document": late.to_json() }).to_string());
    let end = json!({"keys": 3, "assemblies": 1, "installed": 2, "documents": DOCUMENTS + 1});
    lines.push(json!({ "end": end }).to_string());
    import(&to, &lines, for_ann()).await.unwrap();
    let bytes: u64 = (1..=DOCUMENTS).map(|n| document(n).size()).sum();
    let usage = to.users().usage(ann.id).await.unwrap().unwrap().at(now());
    assert_eq!(usage.bytes, bytes + late.size());
    assert!(usage.byte_seconds < 1.0, "{usage:?}");
    assert_eq!(usage.calculated_at, now());
    let found = to.documents().find(Scope::all_of(ann.id), late.id).await;
    assert_eq!(found.unwrap(), Some(late));
}

/// The user's keys, documents and usage.
async fn content(store: &Arc<dyn Store>) -> (Vec<Key>, Vec<Option<Document>>, u64) {
    let ann = user(store, "ann").await;
    let keys = store.keys().list(ann.id).await.unwrap();
    let mut documents = Vec::new();
    for n in 1..=DOCUMENTS {
        let found = store
            .documents()
            .find(Scope::all_of(ann.id), document(n).id);
        documents.push(found.await.unwrap());
    }
    let usage = store.users().usage(ann.id).await.unwrap().unwrap();
    (keys, documents, usage.bytes)
}

#[tokio::test]
async fn an_import_that_stops_anywhere_can_be_repeated() {
    let from = filled().await;
    let lines = export(&from, "ann").await;
    let whole = other().await;
    import(&whole, &lines, settings()).await.unwrap();
    let expected = content(&whole).await;
    assert!(expected.0.len() > 1 && expected.1.iter().all(Option::is_some));
    for stops in (0..12).chain((12..lines.len()).step_by(60)) {
        let to = other().await;
        let mut import = UserImport::new(to.clone(), settings(), now());
        for line in &lines[..stops] {
            import.line(line).await.unwrap();
        }
        drop(import);
        let found = to.users().find(&given::name("ann")).await.unwrap();
        let Some(ann) = found else {
            continue;
        };
        // All of her keys are there, and of each document all or nothing.
        let (keys, documents, _) = content(&to).await;
        assert_eq!(keys.len(), expected.0.len());
        for (there, wanted) in documents.iter().zip(&expected.1) {
            assert!(there.is_none() || there == wanted, "{there:?}");
        }
        let mut again = UserImport::new(to.clone(), settings().user(ann.name), now());
        for line in &lines {
            again.line(line).await.unwrap();
        }
        assert_eq!(again.finish().await.unwrap().kept.documents, 0);
        let (_, documents, bytes) = content(&to).await;
        assert_eq!((documents, bytes), (expected.1.clone(), expected.2));
    }
}

#[tokio::test]
async fn a_user_can_get_another_name() {
    let (from, to) = (filled().await, other().await);
    let lines = export(&from, "ann").await;
    let renamed = settings().user(given::name("eve"));
    import(&to, &lines, renamed).await.unwrap();
    let eve = user(&to, "eve").await;
    let found = to
        .documents()
        .find(Scope::all_of(eve.id), given::document_id(2))
        .await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.assembly, given::assembly_ref("eve/Notes"));
    let found = to
        .documents()
        .find(Scope::all_of(eve.id), given::document_id(1))
        .await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.assembly, given::assembly_ref("bob/Shared"));
}

#[tokio::test]
async fn what_is_there_stays_as_it_is() {
    let (from, to) = (filled().await, other().await);
    let ann = given::user(&*to, "ann", 7).await;
    let notes = given::assembly(&*to, &ann, "Notes").await;
    given::installed(&*to, &ann, &notes).await;
    let mine = given::document(2, &notes, json!("mine"));
    given::stored(&*to, &ann, &mine).await;
    let lines = export(&from, "ann").await;
    let imported = import(&to, &lines, for_ann()).await.unwrap();
    assert_eq!((imported.kept.documents, imported.kept.assemblies), (1, 1));
    assert_eq!(imported.new.documents, DOCUMENTS - 1);
    let found = to.documents().find(Scope::all_of(ann.id), mine.id).await;
    assert_eq!(found.unwrap(), Some(mine));
    // Nobody gets into an account by a file.
    let keys = to.keys().list(ann.id).await.unwrap();
    assert_eq!((keys.len(), imported.keys_left_out), (1, 3));
}

#[tokio::test]
async fn a_file_does_not_choose_whose_account_is_changed() {
    let (from, to) = (filled().await, other().await);
    let ann = given::user(&*to, "ann", 7).await;
    let pinyto = given::user(&*to, "pinyto", 8).await;
    let lines = export(&from, "ann").await;
    let mut of_pinyto = lines.clone();
    of_pinyto[0] = lines[0].replace("\"ann\"", "\"pinyto\"");
    let named = settings().user(given::name("pinyto"));
    for (lines, settings, reason) in [
        (&lines, settings(), "(--user ann)"),
        (&of_pinyto, settings(), "have the name pinyto"),
        (&lines, named, "have the name pinyto"),
    ] {
        let unmet = needs(lines, &settings).unmet(&*to, &settings).await;
        let unmet = unmet.unwrap().unwrap();
        assert!(unmet.contains(reason), "{unmet}");
        let error = import(&to, lines, settings).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    for user in [&ann, &pinyto] {
        let installed = to.assemblies().list_installed(user.id).await;
        assert_eq!(installed.unwrap(), []);
        assert_eq!(given::document_count(&*to, user).await, 0);
    }
    // With her name it is taken.
    assert_eq!(
        needs(&lines, &for_ann())
            .unmet(&*to, &for_ann())
            .await
            .unwrap(),
        None
    );
    let imported = import(&to, &lines, for_ann()).await.unwrap();
    assert_eq!(imported.user, Some(ann.name));
}

#[tokio::test]
async fn documents_need_an_assembly_that_is_here() {
    let (from, to) = (filled().await, store());
    let lines = export(&from, "ann").await;
    let needs = needs(&lines, &settings());
    let unmet = needs.unmet(&*to, &settings()).await.unwrap().unwrap();
    assert!(unmet.contains("not here: bob/Shared."), "{unmet}");
    let error = import(&to, &lines, settings())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("there is no assembly bob/Shared"), "{error}");
    // Another one can take them, and what went before is not doubled.
    let to_notes = for_ann().assembly(given::assembly_ref("ann/Notes"));
    assert_eq!(needs.unmet(&*to, &to_notes).await.unwrap(), None);
    let imported = import(&to, &lines, to_notes).await.unwrap();
    assert_eq!(imported.missing, ["bob/Shared"]);
    let ann = user(&to, "ann").await;
    assert_eq!(given::document_count(&*to, &ann).await, DOCUMENTS);
}

#[tokio::test]
async fn a_keyserver_account_does_not_go_along() {
    let from = store();
    given::account(&*from, "ann", 1).await;
    let lines = export(&from, "ann").await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    let to = store();
    let error = import(&to, &lines, settings())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no active key"), "{error}");
    given::user(&*to, "ann", 2).await;
    import(&to, &lines, for_ann()).await.unwrap();
}

#[tokio::test]
async fn quotas_and_limits_hold() {
    let (from, to) = (filled().await, other().await);
    let lines = export(&from, "ann").await;
    let mut few = Settings::default();
    few.quotas.bytes = Some(100_000);
    let error = import(&to, &lines, ImportSettings::new(&few)).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("as much as she may store"), "{error}");
    let ann = user(&to, "ann").await;
    let usage = to.users().usage(ann.id).await.unwrap().unwrap();
    assert!(usage.bytes <= 100_000);
    let mut few = Settings::default();
    few.max_keys = 1;
    let few = ImportSettings::new(&few);
    let error = import(&store(), &lines, few.clone()).await;
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "Line 3 can't be taken: a user has at most 1 keys.");
    // Where they are left out, they may be more.
    let imported = import(&to, &lines, few.user(given::name("ann"))).await;
    assert_eq!(imported.unwrap().keys_left_out, 3);
}

#[tokio::test]
async fn what_cannot_be_taken_is_said_with_its_line() {
    let from = filled().await;
    let lines = export(&from, "ann").await;
    let check = |lines: &[String]| {
        let mut preview = Preview::new(settings());
        for line in lines {
            preview.line(line)?;
        }
        preview.finish().map(drop)
    };
    assert!(check(&lines).is_ok());
    let last = lines.len();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        lines[at] = line.to_owned();
        check(&lines).unwrap_err().to_string()
    };
    let deep = format!("{}1{}", "[".repeat(95), "]".repeat(95));
    let deep = format!(
        r#"{{"document":{{"_id":"{0}","assembly":"a/b","time":"2026-01-01T00:00:00Z","data":{deep}}}}}"#,
        "0".repeat(24)
    );
    for (at, line, reason) in [
        (
            0,
            r#"{"pinyto_export":{"version":2,"user":"a","exported":""}}"#,
            "version 2",
        ),
        (0, "[", "leave out --jsonArray"),
        (
            0,
            r#"{"_id":{"$oid":"507f1f77bcf86cd799439011"}}"#,
            "a user has to be named",
        ),
        (1, "{", "EOF"),
        (
            1,
            r#"{"key":{"public_key":"x","label":null,"active":true}}"#,
            "",
        ),
        (1, r#"{"pets":1}"#, "nothing called \"pets\""),
        (4, r#"{"assembly":{"name":"a b"}}"#, "missing field"),
        (5, r#"{"installed":"x"}"#, "not author/name"),
        (
            9,
            r#"{"document":{"_id":"x","assembly":"a/b","time":""}}"#,
            "_id",
        ),
        (9, &deep, "90 levels"),
        (
            last - 1,
            r#"{"end":{"keys":3,"assemblies":1,"installed":2,"documents":7}}"#,
            "7 documents",
        ),
    ] {
        let error = with(at, line);
        assert!(error.starts_with(&format!("Line {} ", at + 1)), "{error}");
        assert!(!error.ends_with(".."), "{error}");
        assert!(error.contains(reason), "{error}");
    }
    let error = check(&lines[..last - 1]).unwrap_err().to_string();
    assert!(error.contains("not complete"), "{error}");
    assert!(check(&[]).unwrap_err().to_string().contains("empty"));
}

#[tokio::test]
async fn documents_of_mongodb_become_documents_of_an_assembly() {
    let to = other().await;
    let settings = settings()
        .user(given::name("bob"))
        .assembly(given::assembly_ref("bob/Shared"))
        .kind("book");
    let lines = [
        json!({"_id": {"$oid": "507f1f77bcf86cd799439011"}, "title": "A", "pages": {"$numberInt": "7"}}),
        json!({"_id": {"$oid": "507f1f77bcf86cd799439012"}, "type": "job", "data": {}}),
    ];
    let lines = lines.map(|line| line.to_string());
    for expected in [2, 0] {
        let imported = import(&to, &lines, settings.clone()).await.unwrap();
        assert_eq!(imported.new.documents, expected);
    }
    let bob = user(&to, "bob").await;
    let id = "507f1f77bcf86cd799439011".parse().unwrap();
    let found = to.documents().find(Scope::all_of(bob.id), id).await;
    let fields = found.unwrap().unwrap().fields;
    assert_eq!(
        serde_json::Value::Object(fields),
        json!({"type": "book", "tags": [], "data": {"title": "A", "pages": 7}})
    );
}

#[tokio::test]
async fn nobody_is_made_with_a_name_that_the_program_reserves() {
    let lines = export(&filled().await, "ann").await;
    let mut reserving = Settings::default();
    reserving.reserved_user_names = vec![given::name("ANN")];
    let reserving = ImportSettings::new(&reserving);
    let to = other().await;
    let unmet = needs(&lines, &reserving).unmet(&*to, &reserving).await;
    assert_eq!(unmet.unwrap().unwrap(), "Nobody can have the name ann.");
    let refused = import(&to, &lines, reserving.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("nobody can have the name ann"));
    assert!(
        to.users()
            .find(&given::name("ann"))
            .await
            .unwrap()
            .is_none()
    );

    // Who is there keeps hers.
    given::user(&*to, "ann", 1).await;
    let named = reserving.user(given::name("ann"));
    let unmet = needs(&lines, &named).unmet(&*to, &named).await;
    assert_eq!(unmet.unwrap(), None);
    let imported = import(&to, &lines, named).await.unwrap();
    assert_eq!(imported.new.documents, DOCUMENTS);
}

#[tokio::test]
async fn nothing_becomes_a_keyless_authors() {
    let lines = export(&filled().await, "ann").await;
    let to = other().await;
    let app = given::name("app");
    let author = to.users().ensure_keyless(&app, now()).await.unwrap();
    given::assembly(&*to, &author, "Words").await;
    let named = ImportSettings::new(&Settings::default()).user(app);
    let unmet = needs(&lines, &named).unmet(&*to, &named).await;
    let unmet = unmet.unwrap().unwrap();
    assert!(unmet.contains("app is an account without keys"), "{unmet}");
    let refused = import(&to, &lines, named).await.unwrap_err().to_string();
    assert!(
        refused.contains("app is an account without keys"),
        "{refused}"
    );
    let assemblies = to.assemblies().list_of_author(author.id).await.unwrap();
    assert_eq!(assemblies.len(), 1);
    assert_eq!(given::document_count(&*to, &author).await, 0);
}
