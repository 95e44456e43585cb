//! What code does with the objects that it is given.

use std::time::{Duration, Instant};

use pinyto_core::runtime::{CodeError, CodeRuntime};

use crate::{
    given::*,
    python::{attack, endless},
};

crate::tests! {
    millions_of_small_calls_end_at_a_limit,
    huge_documents_end_at_a_limit,
    the_objects_lead_nowhere,
    a_crash_costs_its_own_call_alone,
}

async fn millions_of_small_calls_end_at_a_limit() {
    for (code, limits) in [
        ("while True: request.user", &["cpu_time"] as &[&str]),
        ("while True: request.body", &["cpu_time", "memory"]),
        ("while True: factory.create('Http')", &["cpu_time"]),
        (
            "xs = []\nwhile True: xs.append(factory.create('Http'))",
            &["cpu_time", "memory"],
        ),
        (
            "while True: factory.create('ParseHtml', '<p>')",
            &["service_calls"],
        ),
        (
            "page = factory.create('ParseHtml', '<p>' * 10000)\n\
             while True: page.contains({'tag': 'a', 'attrs': {}})",
            &["cpu_time"],
        ),
        ("f = db.count\nwhile True: f({})", &["service_calls"]),
        (
            "while True:\n    try: db.nothing\n    except AttributeError: pass",
            &["cpu_time"],
        ),
        (
            "while True:\n    try: db.count(1, 2, 3)\n    except TypeError: pass",
            &["cpu_time"],
        ),
        (
            "while True:\n    try: db.insert({'x': float('nan')})\n    except ValueError: pass",
            &["cpu_time"],
        ),
    ] {
        let execution = endless(code).await;
        let reached = limit(&execution);
        assert!(limits.contains(&reached), "{code}: {reached}");
    }
}

async fn huge_documents_end_at_a_limit() {
    let execution = attack("return len(db.find_document_for_id('text 4000000')['data'])").await;
    assert_eq!(execution.outcome.unwrap(), "4000000");
    for (code, limits) in [
        (
            "db.find_document_for_id('text 5000000')",
            &["service_bytes"] as &[&str],
        ),
        (
            "xs = []\nwhile True: xs.append(db.find_document_for_id('text 4000000'))",
            &["memory"],
        ),
        (
            "xs = []\nwhile True: xs.append(db.find_document_for_id('lists 100000'))",
            &["memory"],
        ),
        ("db.find_document_for_id('lists 1300000')", &["memory"]),
        (
            "return json.loads('[' + '[],' * 5000000 + '1]')",
            &["memory"],
        ),
        (
            "x = db.find_document_for_id('text 1000000')\n\
             while True: x['data'] += x['data']",
            &["memory"],
        ),
    ] {
        let execution = attack(code).await;
        let reached = limit(&execution);
        assert!(limits.contains(&reached), "{code}: {reached}");
    }
    // Deeper than anything that can be stored.
    let execution = attack("return db.find_document_for_id('deep 120') is not None").await;
    assert!(
        !matches!(execution.outcome, Err(CodeError::Crashed)),
        "{execution:?}"
    );
}

async fn the_objects_lead_nowhere() {
    let runtime = runtime().await;
    let began = Instant::now();
    for path in [
        "db.__class__.__mro__",
        "db.__class__.__base__",
        "db.__class__.__subclasses__()",
        "db.__class__.__init__.__globals__",
        "db.__init__.__globals__",
        "db.__module__",
        "db.__reduce__()",
        "db.__getattribute__('x')",
        "db.find.__globals__",
        "db.find.__closure__",
        "db.find.__code__",
        "db.find.__self__.__dict__",
        "db.find.__func__",
        "request.__class__.__globals__",
        "request.token",
        "request.json.token",
        "request.POST['token']",
        "factory.create.__globals__",
        "factory.create('Http').__class__.__init__.__globals__",
        "factory.create('ParseHtml', '')._Html__tree",
        "type(db)()",
        "type(db).__new__(type(db))",
        "type(request)()",
        "getattr(db, '__globals__')",
        "getattr(db.find, '__code__')",
        "json.codecs",
        "json.__builtins__",
        "re._compiler",
        "math.__loader__",
        "datetime.sys",
        "(lambda: 0).__globals__",
        "(lambda: 0).__closure__",
        "'{0.__class__.__init__.__globals__}'.format(db)",
        "f'{db.__class__.__init__.__globals__}'",
        "'%(__globals__)s' % db",
        "_pinyto_assembly.__globals__",
        "db.__dict__['user']",
        "vars(db)",
        "dir(db)",
        "copy(db)",
    ] {
        for code in [
            format!("return str({path})"),
            format!("x = {path}\nreturn str(x)"),
        ] {
            let execution = run(&runtime, &code).await;
            let refused = matches!(
                execution.outcome,
                Err(CodeError::Exception { .. } | CodeError::Syntax { .. })
            );
            assert!(refused, "{code}: {execution:?}");
        }
    }
    // What code puts there it finds again itself, if at all.
    let _ = run(&runtime, "setattr(db, 'count', lambda q: 1)\nreturn 1").await;
    let execution = run(&runtime, "return db.count({})").await;
    assert_eq!(execution.outcome.unwrap(), "42");
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(peak_memory() < 300);
}

async fn a_crash_costs_its_own_call_alone() {
    let runtime = runtime().await;
    let began = Instant::now();
    let mut honest = Vec::new();
    // The same user's and another's, with the same assembly.
    for user in [1, 1, 2, 3] {
        let runtime = runtime.clone();
        honest.push(tokio::spawn(async move {
            let call = call(user, "return db.count({'wait': 300})");
            runtime.run(&call, &Scripted).await.outcome
        }));
    }
    eventually("all run", || runtime.metrics().running == 4).await;
    for crash in ["exit", "abort", "overflow", "garbage"] {
        let execution = run(&runtime, &format!("forge: {crash}")).await;
        assert_eq!(execution.outcome, Err(CodeError::Crashed), "{crash}");
    }
    for call in honest {
        assert_eq!(call.await.unwrap().unwrap(), "42");
    }
    assert_eq!(runtime.metrics().finished, 4);
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(peak_memory() < 300);
}
