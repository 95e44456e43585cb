//! Who has installed which assembly.

use std::sync::Arc;

use super::race;
use crate::{
    assembly::{AssemblyCounts, AssemblyRef, InstallOutcome},
    egress::HostPattern,
    store::Store,
    testing::given,
    user::User,
};

async fn install(
    store: &dyn Store,
    user: &User,
    assembly: &AssemblyRef,
    limit: usize,
) -> InstallOutcome {
    let assemblies = store.assemblies();
    let installed = assemblies
        .install(user.id, assembly, limit, given::at(1))
        .await;
    installed.unwrap()
}

async fn names(store: &dyn Store, user: &User) -> Vec<String> {
    let installed = store.assemblies().list_installed(user.id).await.unwrap();
    installed
        .iter()
        .map(|found| found.name.to_string())
        .collect()
}

pub async fn an_installed_assembly_is_found_for_its_user_alone(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let notes = given::assembly(&*store, &hugo, "Notes").await;
    let outcome = install(&*store, &erna, &notes, 10).await;
    assert_eq!(outcome, InstallOutcome::Installed);
    let assemblies = store.assemblies();
    let hers = given::installed_as(&*store, &erna, &notes).await;
    assert_eq!(
        hers,
        assemblies.find(&notes).await.unwrap().map(|found| found.id)
    );
    assert!(hers.is_some());
    let his = given::installed_as(&*store, &hugo, &notes).await;
    assert_eq!(his, None, "that he wrote it doesn't count");
    assert_eq!(names(&*store, &erna).await, ["Notes"]);
    assert!(names(&*store, &hugo).await.is_empty());
}

pub async fn a_function_is_found_by_those_who_have_installed_its_assembly(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let source = given::source_with(
        "Notes",
        "notes",
        &[("one", "return 1"), ("two", "return 2")],
    );
    let hosts = vec![HostPattern::parse("*.example.org").unwrap()];
    let source = source.into_builder().http_hosts(hosts.clone());
    let source = source.build().unwrap();
    let notes = given::saved(&*store, &hugo, &source).await;
    let find = async |user: &User, function| {
        let function = given::function_name(function);
        let found = store.assemblies().find_function(user.id, &notes, &function);
        found.await.unwrap()
    };
    assert_eq!(find(&erna, "one").await, None);
    given::installed(&*store, &erna, &notes).await;
    let found = find(&erna, "two").await.unwrap();
    assert_eq!(found.code.as_deref(), Some("return 2"));
    assert_eq!(found.only_own_data, source.only_own_data());
    assert_eq!(found.http_hosts, Some(hosts));
    let assembly = store.assemblies().find(&notes).await.unwrap().unwrap();
    assert_eq!(found.assembly, assembly.id);
    assert_eq!(assembly.source, source);
    assert_eq!(find(&erna, "Two").await.unwrap().code, None);
    assert_eq!(find(&hugo, "one").await, None);
    let changed = given::source_with("Notes", "notes", &[("one", "return 3")]);
    given::saved(&*store, &hugo, &changed).await;
    assert_eq!(
        find(&erna, "one").await.unwrap().code.as_deref(),
        Some("return 3")
    );
    assert_eq!(find(&erna, "two").await.unwrap().code, None);
}

pub async fn an_assembly_that_is_not_there_is_not_installed(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    given::assembly(&*store, &hugo, "Notes").await;
    for missing in ["hugo/notes", "hugo/Other", "erna/Notes"] {
        let missing = given::assembly_ref(missing);
        let outcome = install(&*store, &hugo, &missing, 10).await;
        assert_eq!(outcome, InstallOutcome::NotFound);
        assert_eq!(given::installed_as(&*store, &hugo, &missing).await, None);
        let removed = store.assemblies().uninstall(hugo.id, &missing).await;
        assert!(!removed.unwrap());
    }
}

pub async fn installing_again_changes_nothing_not_even_at_the_limit(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let one = given::assembly(&*store, &hugo, "One").await;
    let two = given::assembly(&*store, &hugo, "Two").await;
    given::installed(&*store, &erna, &two).await;
    let install = async |assembly| install(&*store, &hugo, assembly, 1).await;
    assert_eq!(install(&one).await, InstallOutcome::Installed);
    assert_eq!(install(&two).await, InstallOutcome::LimitReached);
    assert_eq!(install(&one).await, InstallOutcome::Installed);
    assert_eq!(names(&*store, &hugo).await, ["One"]);
    let uninstalled = store.assemblies().uninstall(hugo.id, &one).await;
    assert!(uninstalled.unwrap());
    assert_eq!(install(&two).await, InstallOutcome::Installed);
}

pub async fn uninstalling_is_for_the_user_alone_and_once(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let notes = given::assembly(&*store, &hugo, "Notes").await;
    given::installed(&*store, &hugo, &notes).await;
    given::installed(&*store, &erna, &notes).await;
    let uninstall = async |user| store.assemblies().uninstall(user, &notes).await.unwrap();
    assert!(uninstall(hugo.id).await);
    assert!(!uninstall(hugo.id).await);
    assert!(names(&*store, &hugo).await.is_empty());
    assert_eq!(names(&*store, &erna).await, ["Notes"]);
    assert!(store.assemblies().find(&notes).await.unwrap().is_some());
}

pub async fn installed_assemblies_are_listed_in_the_order_they_were_made(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let first = given::assembly(&*store, &hugo, "Zebra").await;
    let second = given::assembly(&*store, &erna, "ant").await;
    let third = given::assembly(&*store, &hugo, "Bee").await;
    for assembly in [&third, &first, &second] {
        given::installed(&*store, &erna, assembly).await;
    }
    assert_eq!(names(&*store, &erna).await, ["Zebra", "ant", "Bee"]);
}

pub async fn assemblies_are_counted_as_written_installed_and_in_all(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let erna = given::user(&*store, "erna", 2).await;
    let counts = async |user: &User| store.assemblies().counts(user.id).await.unwrap();
    assert_eq!(counts(&hugo).await, AssemblyCounts::default());
    let one = given::assembly(&*store, &hugo, "One").await;
    given::assembly(&*store, &hugo, "Two").await;
    given::assembly(&*store, &erna, "Three").await;
    given::installed(&*store, &erna, &one).await;
    let (own, installed, all) = (2, 0, 3);
    let expected = AssemblyCounts {
        own,
        installed,
        all,
    };
    assert_eq!(counts(&hugo).await, expected);
    let (own, installed) = (1, 1);
    let expected = AssemblyCounts {
        own,
        installed,
        all,
    };
    assert_eq!(counts(&erna).await, expected);
}

pub async fn assemblies_installed_by_many_at_once_stop_at_the_limit(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    let mut assemblies = Vec::new();
    for n in 0..6 {
        assemblies.push(given::assembly(&*store, &hugo, &format!("A{n}")).await);
    }
    let outcomes = race(assemblies.into_iter().map(|assembly| {
        let (store, hugo) = (store.clone(), hugo.clone());
        async move { install(&*store, &hugo, &assembly, 2).await }
    }))
    .await;
    let refused = InstallOutcome::LimitReached;
    assert_eq!(outcomes.iter().filter(|o| **o == refused).count(), 4);
    assert_eq!(names(&*store, &hugo).await.len(), 2);
}

pub async fn an_assembly_deleted_while_it_is_installed_has_no_users(store: Arc<dyn Store>) {
    let hugo = given::user(&*store, "hugo", 1).await;
    for round in 0..5 {
        let name = format!("A{round}");
        let assembly = given::assembly(&*store, &hugo, &name).await;
        race((0..4).map(|task| {
            let (store, hugo, assembly) = (store.clone(), hugo.clone(), assembly.clone());
            async move {
                if task == 2 {
                    let deleted = store.assemblies().delete(hugo.id, &assembly.name).await;
                    assert!(deleted.unwrap());
                } else {
                    let outcome = install(&*store, &hugo, &assembly, 10).await;
                    assert_ne!(outcome, InstallOutcome::LimitReached);
                }
            }
        }))
        .await;
        let counts = store.assemblies().counts(hugo.id).await.unwrap();
        assert_eq!(counts, AssemblyCounts::default());
        assert!(names(&*store, &hugo).await.is_empty());
        given::assembly(&*store, &hugo, &name).await;
        assert_eq!(given::installed_as(&*store, &hugo, &assembly).await, None);
        let deleted = store.assemblies().delete(hugo.id, &assembly.name).await;
        assert!(deleted.unwrap());
    }
}
