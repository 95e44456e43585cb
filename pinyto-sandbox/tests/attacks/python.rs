//! Python that uses too much or looks for a way out.

use std::time::{Duration, Instant};

use pinyto_core::{
    id::UserId,
    runtime::{CodeError, CodeRuntime, Execution},
};

use crate::given::*;

crate::tests! {
    code_gives_its_answer,
    endless_loops_end_at_the_cpu_limit,
    what_eats_memory_ends_at_the_memory_limit,
    what_computes_for_ever_in_one_operation_is_stopped_too,
    deep_recursion_and_nesting_end_without_a_crash,
    an_answer_may_be_large_but_not_larger,
    a_flood_of_output_is_cut,
    what_a_killed_call_printed_is_marked_if_some_may_be_missing,
    so_many_services_may_be_called_and_no_more,
    large_arguments_are_refused,
    a_service_that_never_answers_ends_at_the_wall_clock_limit,
    the_largest_limits_that_can_be_written_serve_as_well,
    looking_for_the_interpreters_insides_finds_nothing,
    leaving_the_interpreter_is_no_way_out,
    code_that_cannot_be_run_is_told_when_it_is_checked,
    hostile_code_is_checked_within_limits,
    the_server_survives_all_of_it,
}

/// The outcome, if the attack took no more than it may.
///
/// It has so much CPU time that it reaches the limit it is about first, on slow machines too.
pub(crate) async fn attack(code: &str) -> Execution {
    attack_within(Duration::from_secs(20), code).await
}

/// The outcome of what computes until its CPU time ends, if it took no more than it may.
pub(crate) async fn endless(code: &str) -> Execution {
    attack_within(limits().cpu_time, code).await
}

async fn attack_within(cpu_time: Duration, code: &str) -> Execution {
    let runtime = runtime().await;
    let mut call = call(1, code);
    call.limits.cpu_time = cpu_time;
    let began = Instant::now();
    let execution = runtime.run(&call, &Scripted).await;
    // What computes for long gets only the time that nobody else on the machine wants.
    assert!(began.elapsed() < call.limits.wall_time, "{code}");
    let used = execution.cpu_time;
    assert!(used < cpu_time + Duration::from_millis(700), "{code}");
    assert!(peak_memory() < 300, "{code}: {} MiB", peak_memory());
    execution
}

fn is_exception(execution: &Execution) -> bool {
    matches!(execution.outcome, Err(CodeError::Exception { .. }))
}

async fn code_gives_its_answer() {
    let code = "print('hi')\nreturn json.dumps([request.user, db.count({})])";
    let execution = attack(code).await;
    assert_eq!(execution.outcome.unwrap(), r#"["alice", 42]"#);
    assert_eq!(execution.output.text, "hi\n");
    assert!(execution.cpu_time > Duration::ZERO);
}

async fn endless_loops_end_at_the_cpu_limit() {
    for code in [
        "while True: pass",
        "while True:\n    try:\n        while True: pass\n    except: pass\n    finally: continue",
        "def f(): return f\nwhile f(): f()",
        "for a in range(10**9):\n    for b in range(10**9): pass",
        "n = 0\nfor _ in range(10**18): n += 1\nreturn n",
    ] {
        let execution = endless(code).await;
        assert_eq!(limit(&execution), "cpu_time", "{code}");
        assert!(execution.cpu_time >= limits().cpu_time, "{code}");
    }
}

async fn what_eats_memory_ends_at_the_memory_limit() {
    for code in [
        "s = 'x'\nwhile True: s += s",
        "a = []\nwhile True: a.append(bytes(1000))",
        "d = {}\nn = 0\nwhile True:\n    n += 1\n    d[n] = str(n) * 1000",
        "a = [0] * 10**9",
        "a = []\nwhile True:\n    try:\n        a.append('x' * 100000)\n    except: pass",
        "return 'x' * 10**10",
        "return list(range(10**9))",
        "return bytes(10**9)",
        "return '%1000000000d' % 1",
        "return '{:1000000000}'.format(1)",
        "return f'{1:1000000000}'",
        "return 'x'.ljust(10**9)",
        "return 'ab'.replace('', 'x' * 10**8)",
    ] {
        let execution = attack(code).await;
        let outcome = &execution.outcome;
        // The interpreter sees some of it coming, and then it is an exception.
        let fine = is_exception(&execution)
            || matches!(outcome, Err(CodeError::LimitReached { limit }) if ["memory", "answer"].contains(&limit.name()));
        assert!(fine, "{code}: {outcome:?}");
    }
}

async fn what_computes_for_ever_in_one_operation_is_stopped_too() {
    for code in [
        "return 10**10**10",
        "n = 3\nwhile True: n = n * n",
        "return str(7 ** 500000)",
        "return re.match('(a+)+$', 'a' * 40 + 'b')",
        "return re.match('(a|aa)+$', 'a' * 60 + 'b')",
        "return re.search('(x+x+)+y', 'x' * 100)",
        "class K:\n    def __init__(self, n): self.n = n\nreturn sorted([K(1), K(2)])",
        "return sorted(range(5), key=lambda n: 1 // 0)",
        "return sum(range(10**10))",
        "return max(range(10**11))",
        "return 10**9 in [n for n in range(10**9)]",
        "return 'a' * 1000000 in 'a' * 2000000 + 'b'",
    ] {
        let execution = endless(code).await;
        assert!(
            !matches!(execution.outcome, Err(CodeError::Crashed)),
            "{code}: {execution:?}"
        );
    }
}

async fn deep_recursion_and_nesting_end_without_a_crash() {
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!(
            "return {}{inner}{}",
            open.repeat(depth),
            close.repeat(depth)
        )
    };
    let codes = [
        "def f(): return f()\nreturn f()".to_owned(),
        "f = lambda f: f(f)\nreturn f(f)".to_owned(),
        "a = []\nfor _ in range(100000): a = [a]\nreturn a".to_owned(),
        "a = []\nfor _ in range(100000): a = [a]\nreturn str(a)".to_owned(),
        "a = []\nfor _ in range(100000): a = [a]\nreturn json.dumps(a)".to_owned(),
        "a = []\nfor _ in range(100000): a = [a]\nreturn db.insert({'data': a})".to_owned(),
        "a = []\nb = []\nfor _ in range(100000): a, b = [a], [b]\nreturn a == b".to_owned(),
        "a = {}\nfor _ in range(100000): a = {'a': a}\nreturn a".to_owned(),
        "a = ()\nfor _ in range(100000): a = (a,)\nreturn hash(a)".to_owned(),
        "a = []\na.append(a)\nreturn a".to_owned(),
        "a = []\na.append(a)\nreturn json.dumps(a)".to_owned(),
        "a = [0]\nfor _ in range(40): a = [a, a]\nreturn a".to_owned(),
        "a = [0]\nfor _ in range(40): a = [a, a]\nreturn db.insert({'data': a})".to_owned(),
        "return json.loads('[' * 100000 + ']' * 100000)".to_owned(),
        "return json.loads('{\"a\":' * 100000 + '1' + '}' * 100000)".to_owned(),
        "return re.compile('(' * 100000 + ')' * 100000)".to_owned(),
        nested("[", "", "]", 20_000),
        nested("(", "1", ")", 20_000),
        nested("not ", "1", "", 20_000),
        nested("-", "1", "", 20_000),
        nested("lambda: ", "1", "", 20_000),
        nested("1 + ", "1", "", 20_000),
        nested("f'{", "1", "}'", 2_000),
        format!("a = 1\nreturn a{}", ".a".repeat(20_000)),
        format!("a = 1\nreturn a{}", "[0]".repeat(20_000)),
        (0..1000)
            .map(|depth| format!("{}if True:\n", " ".repeat(depth)))
            .collect(),
    ];
    for code in codes {
        let shown = &code[..code.len().min(100)];
        let execution = endless(&code).await;
        assert!(
            !matches!(execution.outcome, Err(CodeError::Crashed)),
            "{shown}: {execution:?}"
        );
    }
}

async fn an_answer_may_be_large_but_not_larger() {
    let execution = attack("return 'x' * (4 * 1024 * 1024)").await;
    assert_eq!(execution.outcome.unwrap().len(), 4 * 1024 * 1024);
    let execution = attack("return 'x' * (4 * 1024 * 1024 + 1)").await;
    assert_eq!(limit(&execution), "answer");
}

async fn a_flood_of_output_is_cut() {
    for code in [
        "for n in range(10000): print('x' * 100)",
        "print('x' * 1000000)",
        "for n in range(20000): print(end='x')",
    ] {
        let execution = attack(code).await;
        assert_eq!(execution.outcome.unwrap(), "null", "{code}");
        assert!(execution.output.truncated, "{code}");
        assert_eq!(execution.output.text.len(), limits().output, "{code}");
    }
    let execution = endless("print('just before')\nwhile True: pass").await;
    assert_eq!(limit(&execution), "cpu_time");
    assert_eq!(execution.output.text, "just before\n");
    assert!(!execution.output.truncated);
}

async fn what_a_killed_call_printed_is_marked_if_some_may_be_missing() {
    for (code, truncated) in [
        ("print('x')\nwhile True: pass", false),
        (
            "print('x')\na = []\nwhile True: a.append('x' * 100000)",
            false,
        ),
        ("print('x')\ndb.count({'wait': 3600000})", false),
        (
            "for n in range(100): print(end='x')\nwhile True: pass",
            true,
        ),
        ("while True: print(end='x')", true),
        ("print('x' * 100000)\nwhile True: pass", true),
        ("print('x' * 100000)\ndb.count({'wait': 3600000})", true),
        (
            "for n in range(100): print(end='x')\ndb.count({'wait': 3600000})",
            false,
        ),
    ] {
        let runtime = runtime().await;
        let mut call = call(1, code);
        call.limits.wall_time = Duration::from_secs(if code.contains("wait") { 1 } else { 40 });
        let execution = runtime.run(&call, &Scripted).await;
        assert!(execution.outcome.is_err(), "{code}");
        assert_eq!(
            execution.output.truncated, truncated,
            "{code}: {execution:?}"
        );
        assert!(execution.output.text.starts_with('x'), "{code}");
    }
}

async fn so_many_services_may_be_called_and_no_more() {
    let execution = attack("for _ in range(1000): db.count({})").await;
    assert_eq!(execution.outcome.unwrap(), "null");
    for code in [
        "while True: db.count({})",
        "while True:\n    try:\n        db.count({})\n    except: pass",
        "while True:\n    try:\n        db.remove({})\n    except: pass",
    ] {
        assert_eq!(limit(&attack(code).await), "service_calls", "{code}");
    }
}

async fn large_arguments_are_refused() {
    let execution = attack("return db.insert({'data': 'x' * 4000000})").await;
    assert_eq!(execution.outcome.unwrap(), "4000011");
    for code in [
        "return db.insert({'data': 'x' * 5000000})",
        "return db.insert({'data': [0] * 2000000})",
        "return db.insert({'data': [[]] * 1000000})",
        "return db.insert({'data': [{}] * 1000000})",
    ] {
        let execution = attack(code).await;
        let limits = ["service_bytes", "service_values", "memory"];
        let refused = is_exception(&execution) || limits.contains(&limit(&execution));
        assert!(refused, "{code}: {execution:?}");
    }
}

async fn a_service_that_never_answers_ends_at_the_wall_clock_limit() {
    let runtime = runtime().await;
    let mut call = call(1, "return db.count({'wait': 3600000})");
    call.limits.wall_time = Duration::from_millis(300);
    let began = Instant::now();
    let execution = runtime.run(&call, &Scripted).await;
    assert_eq!(limit(&execution), "wall_time");
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(runtime.metrics().killed_wall_time, 1);
}

async fn the_largest_limits_that_can_be_written_serve_as_well() {
    let builder = small().at_once(usize::MAX).waiting(usize::MAX);
    let builder = builder.idle_workers(8, Duration::MAX);
    let runtime = builder.start().await.unwrap();
    // One that computes for long enough to be looked at, one that asks a service.
    for (code, answer) in [
        (
            "n = 0\nfor i in range(100000):\n    n += 1\nreturn n",
            "100000",
        ),
        ("return db.count({'wait': 50})", "42"),
    ] {
        let mut call = call(1, code);
        call.limits.cpu_time = Duration::MAX;
        call.limits.wall_time = Duration::MAX;
        call.limits.memory = usize::MAX;
        call.limits.recursion = usize::MAX;
        call.limits.answer = usize::MAX;
        call.limits.output = usize::MAX;
        call.limits.service_calls = usize::MAX;
        call.limits.service_bytes = usize::MAX;
        let execution = runtime.run(&call, &Scripted).await;
        assert_eq!(execution.outcome.unwrap(), answer);
    }
}

async fn looking_for_the_interpreters_insides_finds_nothing() {
    for code in [
        "return open('/etc/passwd').read()",
        "import os\nreturn os.listdir('/')",
        "import os\nreturn os.environ['PATH']",
        "import sys\nreturn sys.modules['os'].getcwd()",
        "import socket\nreturn socket.socket()",
        "import ctypes\nreturn ctypes.CDLL(None)",
        "import subprocess\nreturn subprocess.run('id')",
        "import importlib\nreturn importlib.import_module('os')",
        "return __import__('os').getcwd()",
        "return eval('open')('/etc/passwd')",
        "exec('import os')\nreturn os.getcwd()",
        "return ().__class__.__base__.__subclasses__()",
        "return ().__class__.__bases__[0].__subclasses__()",
        "def f(): pass\nreturn str(f.__globals__)",
        "return str((lambda: 0).__code__.co_consts)",
        "return str(db.__class__.__init__.__globals__)",
        "return str(request.__dict__)",
        "return str(db.find.__self__.__dict__)",
        "return str(factory.create.__globals__)",
        "return str(globals()['__builtins__'])",
        "return str(__builtins__)",
        "return str(__loader__)",
        "import pathlib\nreturn pathlib.Path('/etc/passwd').read_text()",
        "return '{0.__class__.__base__.__subclasses__}'.format(1)",
        "return '{0.__globals__}'.format(db.find)",
        "try:\n    1 / 0\nexcept Exception as e:\n    return str(e.__traceback__.tb_frame.f_globals)",
        "return factory.create('os')",
        "return input()",
        "breakpoint()",
        "import asyncio\nasyncio.run(None)",
        "import time\ntime.sleep(5)",
    ] {
        let execution = attack(code).await;
        let refused = matches!(
            execution.outcome,
            Err(CodeError::Exception { .. } | CodeError::Syntax { .. })
        );
        assert!(refused, "{code}: {execution:?}");
    }
}

async fn leaving_the_interpreter_is_no_way_out() {
    for code in [
        "exit()",
        "quit()",
        "raise SystemExit(65)",
        "raise KeyboardInterrupt",
    ] {
        let execution = attack(code).await;
        assert!(
            !matches!(execution.outcome, Ok(_) | Err(CodeError::Crashed)),
            "{code}: {execution:?}"
        );
    }
}

async fn code_that_cannot_be_run_is_told_when_it_is_checked() {
    let runtime = runtime().await;
    assert_eq!(
        runtime.check(UserId::new(1), "return 1").await.outcome,
        Ok(())
    );
    assert!(matches!(
        runtime
            .check(UserId::new(1), "x = 1\nreturn (")
            .await
            .outcome,
        Err(CodeError::Syntax { .. })
    ));
}

async fn hostile_code_is_checked_within_limits() {
    let runtime = runtime().await;
    let began = Instant::now();
    for code in [
        format!("return {}", "(".repeat(1_000_000)),
        format!("return {}", "[1]+".repeat(500_000)),
        "a = 1\n".repeat(500_000),
        "\u{0}".repeat(1000),
    ] {
        let checked = runtime.check(UserId::new(1), &code).await.outcome;
        assert!(
            matches!(checked, Ok(()) | Err(CodeError::Syntax { .. })),
            "{checked:?}"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(peak_memory() < 300);
}

async fn the_server_survives_all_of_it() {
    let runtime = runtime().await;
    let hostile = ["while True: pass", "a = [0] * 10**9", "return 10**10**10"];
    let mut running = Vec::new();
    for user in 0..12 {
        let (runtime, code) = (runtime.clone(), hostile[user % 3]);
        running.push(tokio::spawn(async move {
            runtime.run(&call(user as i64 + 100, code), &Scripted).await
        }));
    }
    for honest in 0..20 {
        let execution = runtime
            .run(&call(honest, "return db.count({})"), &Scripted)
            .await;
        assert_eq!(execution.outcome.unwrap(), "42");
    }
    for attack in running {
        assert!(attack.await.unwrap().outcome.is_err());
    }
    assert!(peak_memory() < 300);
    assert_eq!(runtime.metrics().running, 0);
}
