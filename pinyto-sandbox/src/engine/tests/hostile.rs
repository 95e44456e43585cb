//! Code that wants more than it may have.

use std::time::Duration;

use super::*;

fn limited(code: &str, limits: &CodeLimits, script: &mut Script) -> Result<String, CodeError> {
    Engine::new()
        .run(code, "{}", "jana", limits, script)
        .outcome
}

fn limit_of(code: &str) -> CodeLimit {
    let bounds = limits(|limits| limits.wall_time = Duration::from_millis(300));
    match limited(code, &bounds, &mut Script::default()) {
        Err(CodeError::LimitReached { limit }) => limit,
        other => panic!("{code}\nreached no limit: {other:?}"),
    }
}

#[test]
fn code_cannot_catch_its_end() {
    for code in [
        "while True: pass",
        "while True:\n    try:\n        while True: pass\n    except:\n        pass",
        "try:\n    while True: pass\nfinally:\n    while True: pass",
        "try:\n    while True: pass\nexcept BaseException:\n    return 'caught'",
        "def f():\n    try:\n        f()\n    except RecursionError:\n        while True: pass\nf()",
        "for i in range(10 ** 12): pass",
        "return sum(range(10 ** 12))",
    ] {
        assert_eq!(limit_of(code).name(), "wall_time", "{code}");
    }
    for code in [
        "while True:\n    try:\n        db.count({})\n    except:\n        pass",
        "while True: factory.create('ParseHtml', '')",
    ] {
        assert_eq!(limit_of(code).name(), "service_calls", "{code}");
    }
}

#[test]
fn nothing_larger_than_its_limit_leaves() {
    let shared = "x = [1]\nfor i in range(40): x = [x, x]\n";
    assert_eq!(limit_of(&format!("{shared}return x")).name(), "answer");
    assert_eq!(
        limit_of(&format!("{shared}db.insert({{'x': x}})")).name(),
        "service_bytes"
    );
    assert_eq!(limit_of("return 'x' * 5000000").name(), "answer");
    assert_eq!(
        limit_of("db.insert({'x': 'x' * 5000000})").name(),
        "service_bytes"
    );
    assert_eq!(limit_of("return 'x' * 10 ** 11").name(), "memory");
    assert_eq!(limit_of("return [0] * 10 ** 11").name(), "memory");
    assert_eq!(limit_of("return 10 ** 10 ** 9").name(), "memory");

    let bounds = limits(|limits| limits.service_bytes = 50);
    let mut script = Script::answering([json!("x".repeat(60))]);
    assert!(matches!(
        limited("return db.count({})", &bounds, &mut script),
        Err(CodeError::LimitReached {
            limit: CodeLimit::ServiceBytes(50)
        })
    ));
    let bounds = limits(|limits| limits.memory = 96 * 100);
    let mut script = Script::answering([json!(vec![0; 200])]);
    assert!(matches!(
        limited("return db.count({})", &bounds, &mut script),
        Err(CodeError::LimitReached {
            limit: CodeLimit::Memory(_)
        })
    ));
}

#[test]
fn depth_has_an_end_in_every_direction() {
    for code in [
        "x = []\nfor i in range(200): x = [x]\nreturn x",
        "x = {}\nfor i in range(200): x = {'x': x}\ndb.insert(x)",
    ] {
        let (kind, message, _) = raised(code);
        assert_eq!(kind, "ValueError");
        assert!(message.contains("100 levels"), "{message}");
    }
    assert_eq!(
        raised("def f(n): return f(n + 1)\nf(0)").0,
        "RecursionError"
    );
    let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
    let finished = run_with("return request.json", &deep, &mut Script::default());
    assert_eq!(finished.outcome, Ok("null".to_owned()));
    let mut script = Script {
        answers: [Ok(deep)].into(),
        ..Script::default()
    };
    let finished = run_with("return db.count({})", "{}", &mut script);
    assert!(
        matches!(finished.outcome, Err(CodeError::Exception { kind, .. }) if kind == "RuntimeError")
    );
}

#[test]
fn texts_that_are_hard_to_parse_are_refused_or_run() {
    for code in [
        format!("return {}1{}", "(".repeat(5000), ")".repeat(5000)),
        format!("return {}1", "-".repeat(5000)),
        format!("return 1{}", "+1".repeat(100_000)),
        format!("return x{}", ".y".repeat(100_000)),
        format!("return x{}", "()".repeat(100_000)),
        format!("x = {}1", "lambda: ".repeat(5000)),
        (0..500)
            .map(|depth| format!("{}if 1:\n", " ".repeat(depth)))
            .collect(),
        format!("return '{}'", "x".repeat(200_000)),
        format!("x = 1{}", "\nx = x + 1".repeat(20_000)),
        format!("f'{}'", "{".repeat(5000)),
        format!("del {}", "(".repeat(150)),
        format!("return {}", "9".repeat(100_000)),
    ] {
        let outcome = outcome(&code);
        assert!(
            matches!(outcome, Ok(_) | Err(CodeError::Syntax { .. })),
            "{}: {outcome:?}",
            &code[..40]
        );
    }
}

#[test]
fn a_service_can_end_the_code() {
    let mut script = Script {
        answers: [Err(Refusal::End)].into(),
        ..Script::default()
    };
    let code =
        "try:\n    db.count({})\nexcept:\n    pass\nfinally:\n    print('not seen')\nreturn 1";
    let finished = run_with(code, "{}", &mut script);
    assert_eq!(finished.outcome, Err(CodeError::Unavailable));
    assert_eq!(script.printed, "");
}

#[test]
fn regular_expressions_end() {
    for code in [
        r"return re.match('(a+)+$', 'a' * 50 + 'b')",
        r"return re.match(r'(a*)*b', 'a' * 50)",
        r"return re.search(r'(x+x+)+y', 'x' * 50)",
    ] {
        assert_eq!(outcome(code), Ok("null".to_owned()), "{code}");
    }
    let (kind, ..) = raised(r"re.search(r'(?:(x+)\1?)+y', 'x' * 50)");
    assert_eq!(kind, "PatternError");
}

#[test]
fn a_run_leaves_nothing_to_the_next() {
    let mut engine = Engine::new();
    let bounds = CodeLimits::default();
    let mut run = |code: &str| {
        engine
            .run(code, "{}", "jana", &bounds, &mut Nothing)
            .outcome
    };
    let code = "
global seen
try:
    seen += 1
except NameError:
    seen = 1
json.extra = 1
return seen";
    let first = run(code);
    assert_eq!(run(code), first);
    assert_eq!(run("return hasattr(json, 'extra')"), Ok("false".to_owned()));
}
