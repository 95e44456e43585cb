//! Assemblies from their author's and their users' side.

use pinyto_core::{
    Page,
    assembly::{
        AssemblySource, AuthorLimits, CallRequest, DataAccess, Function, Job, Schedule,
        bundled_assemblies,
    },
    testing::given,
};
use proptest::prelude::*;

use crate::{
    scripted::Scripted,
    support::{World, code, settings},
};

#[tokio::test]
async fn an_author_saves_renames_and_deletes_and_users_follow() {
    let world = World::toy();
    let hugo = world.session_of_new("hugo").await;
    let erna = world.session_of_new("erna").await;
    let (cloud, notes) = (&world.cloud, given::assembly_ref("hugo/Notes"));
    cloud
        .save_assembly(&hugo, None, &given::source("Notes"))
        .await
        .unwrap();
    cloud.install_assembly(&erna, &notes).await.unwrap();
    cloud
        .save_assembly(
            &hugo,
            Some(&given::assembly_name("Notes")),
            &given::source("Papers"),
        )
        .await
        .unwrap();
    let papers = given::assembly_ref("hugo/Papers");
    let listed = cloud.list_installed_assemblies(&erna).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].name, papers.name);
    assert_eq!(
        code(cloud.assembly_source(&erna, &notes).await),
        "unknown_assembly"
    );

    let deleted = cloud.delete_assembly(&erna, &papers.name).await;
    assert_eq!(code(deleted), "unknown_assembly", "it is not hers");
    cloud.delete_assembly(&hugo, &papers.name).await.unwrap();
    cloud
        .save_assembly(&hugo, None, &given::source("Papers"))
        .await
        .unwrap();
    let removed = cloud.uninstall_assembly(&erna, &papers).await;
    assert_eq!(
        code(removed),
        "assembly_not_installed",
        "a new one starts without users"
    );
}

#[tokio::test]
async fn a_refused_save_changes_nothing() {
    let mut settings = settings();
    settings.author_limits.assemblies = 2;
    let world = World::with(settings);
    let hugo = world.session_of_new("hugo").await;
    for name in ["One", "Two"] {
        world
            .cloud
            .save_assembly(&hugo, None, &given::source(name))
            .await
            .unwrap();
    }
    let before = world.cloud.list_own_assemblies(&hugo).await.unwrap();
    let other = given::source_with("Two", "other", &[("other", "")]);
    let taken = world
        .cloud
        .save_assembly(&hugo, Some(&given::assembly_name("One")), &other)
        .await;
    assert_eq!(code(taken), "assembly_name_taken");
    let third = world
        .cloud
        .save_assembly(&hugo, None, &given::source("Three"))
        .await;
    assert_eq!(code(third), "limit_reached");
    assert_eq!(
        world.cloud.list_own_assemblies(&hugo).await.unwrap(),
        before
    );
}

#[tokio::test]
async fn installing_has_a_limit_and_needs_an_assembly() {
    let mut settings = settings();
    settings.max_installed = 1;
    let world = World::with(settings);
    let hugo = world.session_of_new("hugo").await;
    for name in ["One", "Two"] {
        world
            .cloud
            .save_assembly(&hugo, None, &given::source(name))
            .await
            .unwrap();
    }
    let install = async |text| {
        let assembly = given::assembly_ref(text);
        code(world.cloud.install_assembly(&hugo, &assembly).await)
    };
    assert_eq!(install("hugo/Missing").await, "unknown_assembly");
    assert_eq!(install("hugo/One").await, "ok");
    assert_eq!(install("hugo/One").await, "ok");
    assert_eq!(install("hugo/Two").await, "limit_reached");
}

#[tokio::test]
async fn calls_need_the_assembly_installed_and_the_function_in_it() {
    let world = World::toy();
    let hugo = world.session_of_new("hugo").await;
    world
        .cloud
        .save_assembly(&hugo, None, &given::source("Notes"))
        .await
        .unwrap();
    let notes = given::assembly_ref("hugo/Notes");
    let request = CallRequest::empty();
    let call = async |function| {
        let function = given::function_name(function);
        let called = world
            .cloud
            .call_function(&hugo, &notes, &function, &request);
        code(called.await)
    };
    assert_eq!(call("get").await, "assembly_not_installed");
    world.cloud.install_assembly(&hugo, &notes).await.unwrap();
    assert_eq!(call("tidy").await, "unknown_function", "that is a job");
    assert_eq!(call("get").await, "code_execution_disabled");
}

#[tokio::test]
async fn all_assemblies_are_listed_in_pages() {
    let world = World::toy();
    let hugo = world.session_of_new("hugo").await;
    for n in 0..5 {
        let source = given::source(&format!("A{n}"));
        world
            .cloud
            .save_assembly(&hugo, None, &source)
            .await
            .unwrap();
    }
    let list = async |skip, count| {
        let page = world
            .cloud
            .list_all_assemblies(&hugo, Page::first(count).after(skip))
            .await
            .unwrap();
        page.iter()
            .map(|found| found.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(0, u64::MAX).await.len(), 5);
    assert_eq!(list(1, 2).await, ["A1", "A2"]);
    assert!(list(5, 1).await.is_empty());
}

#[tokio::test]
async fn bundled_assemblies_are_there_once_and_as_this_version_has_them() {
    let world = World::toy();
    let hugo = world.session_of_new("hugo").await;
    for _ in 0..2 {
        world.cloud.install_bundled_assemblies().await.unwrap();
        let all = world
            .cloud
            .list_all_assemblies(&hugo, Page::first(10))
            .await
            .unwrap();
        let names: Vec<_> = all
            .iter()
            .map(|found| format!("{}/{}", found.author, found.name))
            .collect();
        assert_eq!(names, ["pinyto/DocumentsAdmin", "pinyto/Todo"]);
    }
    let todo = given::assembly_ref("pinyto/Todo");
    world.cloud.install_assembly(&hugo, &todo).await.unwrap();
    let before = world.cloud.assembly_source(&hugo, &todo).await.unwrap();
    // An older version of the server had another one.
    let author = world
        .store()
        .users()
        .find(&todo.author)
        .await
        .unwrap()
        .unwrap();
    let older = given::source_with("Todo", "older", &[("gone", "")]);
    let assemblies = world.store().assemblies();
    assemblies
        .save(
            author.id,
            Some(older.name()),
            &older,
            given::NO_LIMITS,
            given::at(0),
        )
        .await
        .unwrap();
    world.cloud.install_bundled_assemblies().await.unwrap();
    let after = world.cloud.assembly_source(&hugo, &todo).await.unwrap();
    assert_eq!(after, before);
    assert!(bundled_assemblies().unwrap().contains(&after.source));
    let installed = world.cloud.list_installed_assemblies(&hugo).await.unwrap();
    assert_eq!(installed.len(), 1, "who has it keeps it");
}

#[tokio::test]
async fn a_program_publishes_what_is_there_as_it_has_it_and_as_nobodys_who_logs_in() {
    let mut settings = settings();
    settings.author_limits = AuthorLimits::new(1, 1000);
    settings.reserved_user_names = vec![given::name("app")];
    let world = World::with(settings);
    let hugo = world.session_of_new("hugo").await;
    let app = given::name("app");
    let words = given::assembly_ref("app/Words");
    let older = given::source_with("Words", "older", &[("count", "return 1")]);
    for _ in 0..2 {
        world.cloud.publish_assembly(&app, &older).await.unwrap();
        let read = world.cloud.assembly_source(&hugo, &words).await.unwrap();
        assert_eq!(read.source, older);
    }
    world.cloud.install_assembly(&hugo, &words).await.unwrap();

    let newer = given::source_with("Words", "newer", &[("count", "return 2")]);
    world.cloud.publish_assembly(&app, &newer).await.unwrap();
    let read = world.cloud.assembly_source(&hugo, &words).await.unwrap();
    assert_eq!(read.source, newer);
    let installed = world.cloud.list_installed_assemblies(&hugo).await.unwrap();
    assert_eq!(installed.len(), 1, "who has it keeps it");
    let author = world.store().users().find(&app).await.unwrap().unwrap();
    let keys = world.store().keys().list(author.id).await.unwrap();
    assert!(keys.is_empty());

    // What an author may keep holds for the program, too.
    let second = given::source_with("Second", "", &[]);
    let refused = world.cloud.publish_assembly(&app, &second).await;
    assert_eq!(code(refused), "limit_reached");
    let long = "x".repeat(1000);
    let large = given::source_with("Words", &long, &[]);
    let refused = world.cloud.publish_assembly(&app, &large).await;
    assert_eq!(code(refused), "limit_reached");
    let read = world.cloud.assembly_source(&hugo, &words).await.unwrap();
    assert_eq!(read.source, newer);
}

#[tokio::test]
async fn bundled_assemblies_are_not_published_by_somebody_who_can_log_in() {
    let world = World::toy();
    // In a database that is older than the reservation of the name.
    let pinyto = given::user(world.store(), "pinyto", 1).await;
    let refused = world.cloud.install_bundled_assemblies().await.unwrap_err();
    assert_eq!(refused.code(), "author_has_keys");
    assert!(
        refused.to_string().contains("log in as pinyto"),
        "{refused}"
    );
    let assemblies = world.store().assemblies();
    let published = assemblies.list_of_author(pinyto.id).await.unwrap();
    assert_eq!(published, []);
}

#[tokio::test]
async fn a_program_overwrites_nothing_of_a_users_and_publishes_no_code_that_cant_run() {
    let script = Scripted::new();
    let world = World::scripted(&script);
    let hugo = world.session_of_new("hugo").await;
    let hers = given::source_with("Notes", "hers", &[("get", "return 1")]);
    let saved = world.cloud.save_assembly(&hugo, None, &hers).await;
    saved.unwrap();
    let other = given::source_with("Notes", "other", &[("get", "return 2")]);
    for (author, expected) in [
        ("hugo", "author_has_keys"),
        ("keyserver", "reserved_user_name"),
        ("Pinyto", "reserved_user_name"),
    ] {
        let author = given::name(author);
        let refused = world.cloud.publish_assembly(&author, &other).await;
        assert_eq!(code(refused), expected, "{author}");
    }
    let notes = given::assembly_ref("hugo/Notes");
    let read = world.cloud.assembly_source(&hugo, &notes).await.unwrap();
    assert_eq!(read.source, hers);

    script.cant_run("return )");
    let wrong = given::source_with("Wrong", "", &[("get", "return )")]);
    let app = given::name("app");
    let refused = world.cloud.publish_assembly(&app, &wrong).await;
    assert_eq!(code(refused), "invalid_assembly");
    let wrong = given::assembly_ref("app/Wrong");
    let read = world.cloud.assembly_source(&hugo, &wrong).await;
    assert_eq!(code(read), "unknown_assembly");
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_]{1,42}"
}

/// Python, or anything else but NUL.
fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| text.replace('\0', "\n"))
}

fn parts<T: std::fmt::Debug>(
    part: impl Strategy<Value = T>,
    name: fn(&T) -> &str,
) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(part, 0..6).prop_map(move |mut parts| {
        let mut seen = std::collections::HashSet::new();
        parts.retain(|part| seen.insert(name(part).to_owned()));
        parts
    })
}

fn source() -> impl Strategy<Value = AssemblySource> {
    let function = (name(), text());
    let function =
        function.prop_map(|(name, code)| Function::new(given::function_name(&name), code));
    let job = (name(), text(), 0..=Schedule::MAX_MINUTES).prop_map(|(name, code, minutes)| {
        let schedule = Schedule::from_minutes(minutes.into()).unwrap();
        Job::new(given::job_name(&name), code).every(schedule)
    });
    (
        name(),
        text(),
        parts(function, |function| function.name.as_str()),
        parts(job, |job| job.name.as_str()),
        any::<bool>(),
    )
        .prop_map(|(name, description, functions, jobs, own)| {
            AssemblySource::builder(given::assembly_name(&name))
                .description(description)
                .functions(functions)
                .jobs(jobs)
                .access(DataAccess::from_only_own_data(own))
                .build()
                .unwrap()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_saved_is_what_is_listed_and_read(versions in prop::collection::vec(source(), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::toy();
            let hugo = world.session_of_new("hugo").await;
            let mut replaces = None;
            for source in &versions {
                world.cloud.save_assembly(&hugo, replaces, source).await.unwrap();
                replaces = Some(source.name());
                let own = world.cloud.list_own_assemblies(&hugo).await.unwrap();
                assert_eq!(own, std::slice::from_ref(source));
                let assembly = given::assembly_ref(&format!("hugo/{}", source.name()));
                let read = world.cloud.assembly_source(&hugo, &assembly).await.unwrap();
                assert_eq!(&read.source, source);
                assert_eq!(read.author, given::name("hugo"));
            }
        });
    }
}
