//! What becomes of assemblies that their authors save, rename and delete.

use std::sync::Arc;

use super::race;
use crate::{
    Page,
    assembly::{
        Assembly, AssemblyName, AssemblyRef, AssemblySource, AssemblySummary, AuthorLimits,
        DataAccess, Function, Job, SaveOutcome, Schedule,
    },
    store::Store,
    testing::given,
    user::User,
};

async fn save(
    store: &dyn Store,
    author: &User,
    replaces: &str,
    source: &AssemblySource,
    assemblies: usize,
) -> SaveOutcome {
    let limits = AuthorLimits {
        assemblies,
        ..given::NO_LIMITS
    };
    let replaces = AssemblyName::parse(replaces).ok();
    let saved = store
        .assemblies()
        .save(author.id, replaces.as_ref(), source, limits, given::at(1))
        .await;
    saved.unwrap()
}

async fn found(store: &dyn Store, assembly: &str) -> Option<Assembly> {
    let assembly = given::assembly_ref(assembly);
    store.assemblies().find(&assembly).await.unwrap()
}

async fn names(store: &dyn Store, author: &User) -> Vec<String> {
    let own = store.assemblies().list_of_author(author.id).await.unwrap();
    own.iter().map(|source| source.name().to_string()).collect()
}

/// Everything an assembly can list, at its extremes.
fn full_source(name: &str) -> AssemblySource {
    let function = |name: &str, code: &str| Function::new(given::function_name(name), code);
    let job = |name: &str, code: &str, minutes| {
        let schedule = Schedule::from_minutes(minutes).unwrap();
        Job::new(given::job_name(name), code).every(schedule)
    };
    AssemblySource::builder(given::assembly_name(name))
        .description("Größe 'и' \"𝄞\" \\ %_ \r\n\t\u{1}\u{2028}")
        .functions([
            function("z_last_by_name", "return 'ä\u{1f600}'\r\n"),
            function("a", ""),
            function("A", "same letters, another name"),
            function("long", &"# π\n".repeat(AssemblySource::MAX_CODE / 5)),
        ])
        .jobs([
            job("z_last_by_name", "pass", u64::from(Schedule::MAX_MINUTES)),
            job("a", "", 0),
        ])
        .access(DataAccess::All)
        .indexes([given::path("z.'ä \"\\.0"), given::path("type")])
        .build()
        .unwrap()
}

pub async fn a_saved_assembly_comes_back_exactly(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let empty = AssemblySource::builder(given::assembly_name("Empty")).build();
    let empty = empty.unwrap();
    for source in [full_source("Full"), empty] {
        let name = source.name().as_str();
        let outcome = save(&*store, &hugo, name, &source, 10).await;
        assert_eq!(outcome, SaveOutcome::Created);
        let assembly = found(&*store, &format!("hugo/{name}")).await.unwrap();
        assert_eq!(assembly.author, hugo.name);
        assert_eq!(assembly.source, source);
        let own = store.assemblies().list_of_author(hugo.id).await.unwrap();
        assert_eq!(own.last(), Some(&source));
    }
}

pub async fn an_assembly_is_found_by_exactly_its_author_and_name(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    given::user(&*store, "erna", 2).await;
    given::assembly(&*store, &hugo, "Notes").await;
    assert!(found(&*store, "hugo/Notes").await.is_some());
    for other in [
        "hugo/notes",
        "Hugo/Notes",
        "hugo/Note",
        "erna/Notes",
        "x/Notes",
        "hugo/N_tes",
    ] {
        assert_eq!(found(&*store, other).await, None, "{other}");
    }
}

pub async fn a_replaced_assembly_keeps_its_identity_and_nothing_else(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    save(&*store, &hugo, "Notes", &full_source("Notes"), 10).await;
    let before = found(&*store, "hugo/Notes").await.unwrap();
    let source = given::source_with("Notes", "new", &[("a", "return 2")]);
    let outcome = save(&*store, &hugo, "Notes", &source, 10).await;
    assert_eq!(outcome, SaveOutcome::Replaced);
    let after = found(&*store, "hugo/Notes").await.unwrap();
    assert_eq!(after.id, before.id);
    assert_eq!(after.source, source);
    assert_eq!(names(&*store, &hugo).await, ["Notes"]);
}

pub async fn a_renamed_assembly_keeps_its_users_and_frees_its_name(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let old = given::assembly(&*store, &hugo, "Notes").await;
    given::installed(&*store, &erna, &old).await;
    let before = found(&*store, "hugo/Notes").await.unwrap();
    let outcome = save(&*store, &hugo, "Notes", &given::source("Papers"), 10).await;
    assert_eq!(outcome, SaveOutcome::Replaced);
    assert_eq!(found(&*store, "hugo/Notes").await, None);
    assert_eq!(found(&*store, "hugo/Papers").await.unwrap().id, before.id);
    let papers = given::assembly_ref("hugo/Papers");
    assert_eq!(
        given::installed_as(&*store, &erna, &papers).await,
        Some(before.id)
    );
    assert_eq!(given::installed_as(&*store, &erna, &old).await, None);
    // The free name can be given to another one, which nobody has.
    let outcome = save(&*store, &hugo, "", &given::source("Notes"), 10).await;
    assert_eq!(outcome, SaveOutcome::Created);
    assert_eq!(given::installed_as(&*store, &erna, &old).await, None);
    assert_ne!(found(&*store, "hugo/Notes").await.unwrap().id, before.id);
}

pub async fn a_save_under_the_name_of_another_assembly_changes_nothing(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    given::assembly(&*store, &hugo, "Notes").await;
    given::assembly(&*store, &hugo, "Todo").await;
    let before = store.assemblies().list_of_author(hugo.id).await.unwrap();
    let source = given::source_with("Todo", "other", &[("other", "other")]);
    for original_name in ["Notes", "", "Missing", "todo"] {
        let outcome = save(&*store, &hugo, original_name, &source, 10).await;
        assert_eq!(outcome, SaveOutcome::NameTaken, "{original_name:?}");
    }
    let after = store.assemblies().list_of_author(hugo.id).await.unwrap();
    assert_eq!(after, before);
}

pub async fn authors_use_the_same_names_without_meeting(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    given::assembly(&*store, &hugo, "Notes").await;
    let hers = given::source_with("Notes", "hers", &[]);
    let outcome = save(&*store, &erna, "Notes", &hers, 1).await;
    assert_eq!(outcome, SaveOutcome::Created);
    assert_eq!(found(&*store, "erna/Notes").await.unwrap().source, hers);
    let his = found(&*store, "hugo/Notes").await.unwrap();
    assert_eq!(his.source, given::source("Notes"));
    let deleted = store.assemblies().delete(erna.id, hers.name()).await;
    assert!(deleted.unwrap());
    assert_eq!(found(&*store, "hugo/Notes").await, Some(his));
}

pub async fn no_more_assemblies_are_made_than_the_limit(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    given::assembly(&*store, &erna, "Other").await;
    let save = async |original_name, name| {
        let source = given::source(name);
        save(&*store, &hugo, original_name, &source, 2).await
    };
    assert_eq!(save("", "One").await, SaveOutcome::Created);
    assert_eq!(save("", "Two").await, SaveOutcome::Created);
    assert_eq!(save("", "Three").await, SaveOutcome::LimitReached);
    assert_eq!(names(&*store, &hugo).await, ["One", "Two"]);
    assert_eq!(save("One", "One").await, SaveOutcome::Replaced);
    assert_eq!(save("One", "Three").await, SaveOutcome::Replaced);
    assert_eq!(names(&*store, &hugo).await, ["Three", "Two"]);
}

pub async fn assemblies_are_listed_in_the_order_they_were_made(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    for name in ["Zebra", "ant"] {
        given::assembly(&*store, &hugo, name).await;
    }
    given::assembly(&*store, &erna, "Middle").await;
    given::assembly(&*store, &hugo, "Bee").await;
    save(&*store, &hugo, "ant", &given::source("zzz"), 10).await;
    assert_eq!(names(&*store, &hugo).await, ["Zebra", "zzz", "Bee"]);
    let list = async |skip, count| {
        let page = store
            .assemblies()
            .list_all(Page::first(count).after(skip))
            .await
            .unwrap();
        page.iter()
            .map(|found| format!("{}/{}", found.author, found.name))
            .collect::<Vec<_>>()
    };
    let all = ["hugo/Zebra", "hugo/zzz", "erna/Middle", "hugo/Bee"];
    assert_eq!(list(0, 99).await, all);
    assert_eq!(list(0, u64::MAX).await, all);
    assert_eq!(list(1, 2).await, all[1..3]);
    assert_eq!(list(3, 5).await, all[3..]);
    assert!(list(0, 0).await.is_empty());
    assert!(list(4, 5).await.is_empty());
    assert!(list(u64::MAX, u64::MAX).await.is_empty());
}

pub async fn a_list_tells_name_author_and_description(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let source = full_source("Full");
    save(&*store, &hugo, "", &source, 10).await;
    let expected = AssemblySummary {
        name: source.name().clone(),
        author: hugo.name.clone(),
        description: source.description().to_owned(),
    };
    let all = store.assemblies().list_all(Page::first(10)).await.unwrap();
    assert_eq!(all, std::slice::from_ref(&expected));
    given::installed(&*store, &hugo, &given::assembly_ref("hugo/Full")).await;
    let installed = store.assemblies().list_installed(hugo.id).await.unwrap();
    assert_eq!(installed, [expected]);
}

pub async fn deleting_an_assembly_uninstalls_it_everywhere(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let notes = given::assembly(&*store, &hugo, "Notes").await;
    let other = given::assembly(&*store, &hugo, "Other").await;
    for user in [&hugo, &erna] {
        given::installed(&*store, user, &notes).await;
        given::installed(&*store, user, &other).await;
    }
    let assemblies = store.assemblies();
    assert!(!assemblies.delete(erna.id, &notes.name).await.unwrap());
    assert!(assemblies.delete(hugo.id, &notes.name).await.unwrap());
    assert!(!assemblies.delete(hugo.id, &notes.name).await.unwrap());
    assert_eq!(assemblies.find(&notes).await.unwrap(), None);
    assert_eq!(names(&*store, &hugo).await, ["Other"]);
    for user in [&hugo, &erna] {
        let installed = assemblies.list_installed(user.id).await.unwrap();
        assert_eq!(installed.len(), 1);
        assert_eq!(installed[0].name, other.name);
        assert_eq!(given::installed_as(&*store, user, &notes).await, None);
    }
}

pub async fn a_new_assembly_of_a_deleted_ones_name_starts_without_users(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let notes = given::assembly(&*store, &hugo, "Notes").await;
    given::installed(&*store, &erna, &notes).await;
    let before = found(&*store, "hugo/Notes").await.unwrap();
    let assemblies = store.assemblies();
    assert!(assemblies.delete(hugo.id, &notes.name).await.unwrap());
    given::assembly(&*store, &hugo, "Notes").await;
    let after = found(&*store, "hugo/Notes").await.unwrap();
    assert_ne!(after.id, before.id, "identifiers are never given twice");
    assert_eq!(given::installed_as(&*store, &erna, &notes).await, None);
    assert_eq!(assemblies.list_installed(erna.id).await.unwrap(), []);
    assert_eq!(assemblies.counts(erna.id).await.unwrap().installed, 0);
}

pub async fn of_new_assemblies_saved_at_once_under_one_name_one_is_made(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    for round in 0..3 {
        let name = format!("Notes{round}");
        let outcomes = race((0..6).map(|_| {
            let (store, hugo, source) = (store.clone(), hugo.clone(), given::source(&name));
            async move { save(&*store, &hugo, "", &source, 99).await }
        }))
        .await;
        let made = SaveOutcome::Created;
        assert_eq!(outcomes.iter().filter(|o| **o == made).count(), 1);
        let taken = SaveOutcome::NameTaken;
        assert_eq!(outcomes.iter().filter(|o| **o == taken).count(), 5);
    }
    assert_eq!(names(&*store, &hugo).await.len(), 3);
}

pub async fn of_assemblies_renamed_at_once_to_one_name_one_gets_it(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    for n in 0..5 {
        given::assembly(&*store, &hugo, &format!("Notes{n}")).await;
    }
    let outcomes = race((0..5).map(|n| {
        let (store, hugo) = (store.clone(), hugo.clone());
        let (old, source) = (format!("Notes{n}"), given::source("Wanted"));
        async move { save(&*store, &hugo, &old, &source, 99).await }
    }))
    .await;
    let taken = SaveOutcome::NameTaken;
    assert_eq!(outcomes.iter().filter(|o| **o == taken).count(), 4);
    let winner = outcomes.iter().position(|o| *o == SaveOutcome::Replaced);
    let mut expected: Vec<_> = (0..5).map(|n| format!("Notes{n}")).collect();
    expected[winner.unwrap()] = "Wanted".to_owned();
    assert_eq!(names(&*store, &hugo).await, expected);
}

pub async fn an_authors_assemblies_take_no_more_bytes_than_the_limit(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    given::assembly(&*store, &erna, "Other").await;
    let (small, large) = (
        given::source_with("Notes", "", &[("a", "x")]),
        given::source_with("Notes", "about notes", &[("a", "x"), ("b", "yyy")]),
    );
    let save = async |replaces, source: &AssemblySource, bytes| {
        let limits = AuthorLimits {
            assemblies: 9,
            bytes,
        };
        let assemblies = store.assemblies();
        let replaces = AssemblyName::parse(replaces).ok();
        let saved = assemblies.save(hugo.id, replaces.as_ref(), source, limits, given::at(1));
        saved.await.unwrap()
    };
    let refused = save("", &large, large.size() - 1).await;
    assert_eq!(refused, SaveOutcome::TooManyBytes);
    assert!(found(&*store, "hugo/Notes").await.is_none());
    assert_eq!(save("", &large, large.size()).await, SaveOutcome::Created);
    // What is replaced doesn't count, the others do.
    assert_eq!(
        save("Notes", &large, large.size()).await,
        SaveOutcome::Replaced
    );
    let second = given::source_with("Second", "", &[("a", "x")]);
    let both = large.size() + second.size();
    assert_eq!(save("", &second, both - 1).await, SaveOutcome::TooManyBytes);
    assert_eq!(save("", &second, both).await, SaveOutcome::Created);
    assert_eq!(save("Notes", &small, both).await, SaveOutcome::Replaced);
    assert_eq!(
        save("Notes", &large, both - 1).await,
        SaveOutcome::TooManyBytes
    );
    let kept = found(&*store, "hugo/Notes").await.unwrap().source;
    assert_eq!(kept, small, "a refused save changes nothing");
}

pub async fn assemblies_saved_by_many_at_once_stop_at_the_limit(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let outcomes = race((0..6).map(|n| {
        let (store, hugo) = (store.clone(), hugo.clone());
        let source = given::source(&format!("Notes{n}"));
        async move { save(&*store, &hugo, "", &source, 2).await }
    }))
    .await;
    let refused = SaveOutcome::LimitReached;
    assert_eq!(outcomes.iter().filter(|o| **o == refused).count(), 4);
    assert_eq!(names(&*store, &hugo).await.len(), 2);
}

pub async fn readers_see_a_save_as_a_whole_or_not_at_all(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let versions = [
        given::source_with("Notes", "one", &[("a", "one"), ("b", "one"), ("c", "one")]),
        given::source_with("Notes", "two", &[("a", "two"), ("c", "two")]),
    ];
    save(&*store, &hugo, "", &versions[0], 9).await;
    let notes: AssemblyRef = given::assembly_ref("hugo/Notes");
    given::installed(&*store, &hugo, &notes).await;
    race((0..4).map(|task| {
        let (store, hugo, notes) = (store.clone(), hugo.clone(), notes.clone());
        let versions = versions.clone();
        async move {
            for turn in 0..10 {
                let assemblies = store.assemblies();
                let seen = match task {
                    0 => {
                        save(&*store, &hugo, "Notes", &versions[turn % 2], 9).await;
                        continue;
                    }
                    1 => assemblies.find(&notes).await.unwrap().unwrap().source,
                    2 => {
                        let (a, b) = (given::function_name("a"), given::function_name("b"));
                        let found = assemblies.find_function(hugo.id, &notes, &a).await;
                        let code = found.unwrap().unwrap().code.unwrap();
                        assert!(["one", "two"].contains(&&*code));
                        let found = assemblies.find_function(hugo.id, &notes, &b).await;
                        let code = found.unwrap().unwrap().code;
                        assert!([None, Some("one")].contains(&code.as_deref()));
                        continue;
                    }
                    _ => assemblies.list_of_author(hugo.id).await.unwrap().remove(0),
                };
                assert!(versions.contains(&seen), "{seen:?}");
            }
        }
    }))
    .await;
}
