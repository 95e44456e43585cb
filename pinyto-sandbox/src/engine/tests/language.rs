//! What the language has beyond the corpus, and what is refused in which words.

use super::*;

#[test]
fn modules_of_the_interface_are_there_without_an_import() {
    assert_eq!(
        returned(
            "def f(): return [json.dumps([1]), re.sub('a', 'b', 'a'), math.floor(1.5), datetime.date(2024, 1, 2).year]
return f() + [[f() for _ in range(1)][0][0]]"
        ),
        json!(["[1]", "b", 1, 2024, "[1]"])
    );
    assert_eq!(
        returned(
            "import json, re\nfrom math import floor\nimport datetime as dt\nreturn [json.loads('1'), floor(2.5), dt.date(2024, 1, 2).day]"
        ),
        json!([1, 2, 2])
    );
}

#[test]
fn an_answer_is_a_text_as_it_is_or_json() {
    assert_eq!(
        outcome("return 'not \"json\"'"),
        Ok("not \"json\"".to_owned())
    );
    assert_eq!(
        outcome("return {'a': [1, 2.0, None, True, 'é\\n']}"),
        Ok("{\"a\":[1,2.0,null,true,\"é\\n\"]}".to_owned())
    );
    for (code, what) in [
        (
            "return {1, 2}",
            "Object of type set is not JSON serializable",
        ),
        (
            "return b'x'",
            "Object of type bytes is not JSON serializable",
        ),
        ("return [db]", "Object of type Db is not JSON serializable"),
        (
            "class Book: pass\nreturn Book()",
            "Object of type Book is not JSON serializable",
        ),
        (
            "return lambda: 1",
            "Object of type function is not JSON serializable",
        ),
        (
            "return iter([1])",
            "Object of type list_iterator is not JSON serializable",
        ),
        (
            "return {(1, 2): 3}",
            "keys must be str, int, float, bool or None, not tuple",
        ),
    ] {
        let expected = (
            "TypeError".to_owned(),
            format!("the returned value: {what}"),
            None,
        );
        assert_eq!(raised(code), expected, "{code}");
    }
    for (code, what) in [
        (
            "return float('nan')",
            "Out of range float values are not JSON compliant: nan",
        ),
        (
            "return [float('-inf')]",
            "Out of range float values are not JSON compliant: -inf",
        ),
        (
            "x = {}\nx['x'] = x\nreturn x",
            "Circular reference detected",
        ),
    ] {
        let expected = (
            "ValueError".to_owned(),
            format!("the returned value: {what}"),
            None,
        );
        assert_eq!(raised(code), expected, "{code}");
    }
}

#[test]
fn what_reaches_outside_raises_an_exception_that_names_it() {
    for module in [
        "os",
        "sys",
        "socket",
        "subprocess",
        "ctypes",
        "importlib",
        "asyncio",
        "pathlib",
        "gc",
        "io",
        "threading",
        "builtins",
        "requests",
        "os.path",
        "urllib.request",
    ] {
        let top = module.split('.').next().unwrap();
        for code in [
            format!("import {module}"),
            format!("from {module} import x"),
            format!("import {module} as y"),
        ] {
            let (kind, message, line) = raised(&code);
            assert_eq!(
                (kind.as_str(), line),
                ("ModuleNotFoundError", Some(1)),
                "{code}"
            );
            assert!(
                message.starts_with(&format!("No module named '{top}")),
                "{code}: {message}"
            );
            let (message, line) = refused(&code);
            assert!(
                message.starts_with(&format!("No module named '{top}")),
                "{code}: {message}"
            );
            assert_eq!(line, Some(1));
        }
    }
    for name in [
        "open",
        "eval",
        "exec",
        "compile",
        "__import__",
        "input",
        "globals",
        "vars",
        "breakpoint",
    ] {
        for code in [format!("{name}('x')"), format!("x = {name}\nx('y')")] {
            let (kind, message, _) = raised(&code);
            assert_eq!(kind, "NameError", "{code}");
            assert!(
                message.starts_with(&format!("name '{name}' is not defined: ")),
                "{code}: {message}"
            );
        }
    }
    let (kind, message, _) = raised("import time\ntime.sleep(1)");
    assert_eq!(kind, "PermissionError");
    assert!(message.contains("time.sleep"), "{message}");
}

#[test]
fn an_import_that_is_expected_to_fail_can_be_saved() {
    for module in ["os", "requests", "numpy"] {
        let code =
            format!("try:\n    import {module}\nexcept ImportError as e:\n    return str(e)");
        assert_eq!(Engine::new().check(&code), Ok(()));
        assert!(
            outcome(&code).unwrap().starts_with("No module named"),
            "{code}"
        );
    }
}

#[test]
fn names_that_mean_something_else_to_the_author_are_left_alone() {
    assert_eq!(
        returned(
            "
def sorted(xs, key=None): return 'mine'
def open(name): return name
map = {'a': 1}
class ValueError: 
    def __init__(self, *args): self.args = args
def f(callable, bytes): return [callable, bytes]
return [sorted([2, 1]), open('x'), map['a'], ValueError(1, 2).args, f(1, 2), map.get('a')]"
        ),
        json!(["mine", "x", 1, [1, 2], [1, 2], 1])
    );
}

#[test]
fn what_the_interpreter_lacks_is_refused_with_what_to_write_instead() {
    for (code, part) in [
        ("x = 1\ndef f():\n    yield 1", "generators (yield)"),
        ("x = 1\n\nreturn (yield from [])", "generators (yield)"),
        ("\n\nclass E(Exception): pass", "class E can't inherit"),
        ("\n\nclass E(metaclass=type): pass", "class E can't inherit"),
        (
            "class A:\n    x = 1\n    @property\n    def f(self): pass",
            "the method f can't have a decorator",
        ),
        ("\n\nasync def f(): pass", "async and await"),
        ("\n\nawait x", "async and await"),
        ("\n\nx = [y async for y in z]", "async and await"),
        ("\n\nfrom json import *", "import *"),
        ("\n\nfrom . import x", "relative imports"),
        ("\n\nimport numpy", "No module named 'numpy'"),
        (
            "class A:\n    def __init__(self): pass\n    def __lt__(self, o): return True",
            "the method __lt__ is never called here: hand a key",
        ),
        (
            "class A:\n    x = 1\n    def __ne__(self, o): return True",
            "the method __ne__ is never called here",
        ),
        (
            "\n\nx = bytearray(3)",
            "name 'bytearray' is not defined: use bytes",
        ),
        ("\n\ninput('?')", "name 'input' is not defined"),
        (
            "try:\n    pass\nexcept ConnectionError: pass",
            "name 'ConnectionError' is not defined: use OSError",
        ),
        (
            "class A:\n    def __len__(self): return 0\nx = (A() # who\n    or 1)",
            "a comment can't be around or",
        ),
        ("def f():\n    global len\n    len = 1", "global len"),
        ("\n\ndel x.y", "del can't take an attribute"),
        ("try:\n    pass\nexcept* ValueError: pass", "except*"),
        ("\n\ntype X = int", "type aliases"),
        ("\n\nx = t'{y}'", "template strings"),
    ] {
        let (message, line) = refused(code);
        assert!(message.contains(part), "{code}: {message}");
        assert!(line.is_some_and(|line| line <= 3), "{code}: {line:?}");
    }
    assert_eq!(refused("x = 1\ny = (").1, Some(2));
    assert_eq!(
        refused("nonlocal x"),
        ("no binding for nonlocal 'x' found".to_owned(), Some(1))
    );
}

#[test]
fn methods_that_would_be_passed_over_in_silence_do_not_run() {
    for (method, runs) in [
        ("__ne__(self, other)", false),
        ("__new__(cls)", false),
        ("__format__(self, spec)", false),
        ("__iadd__(self, other)", false),
        ("__setattr__(self, name, value)", false),
        // What would call these raises an exception.
        ("__lt__(self, other)", true),
        ("__getattr__(self, name)", true),
        ("__del__(self)", true),
        ("__bool__(self)", true),
    ] {
        let code = format!("class A:\n    def {method}: return True\nreturn 1");
        assert_eq!(outcome(&code).is_ok(), runs, "{method}");
    }
}

#[test]
fn a_service_may_be_asked_whether_it_is_true() {
    let code = "class Late:
    def __bool__(self): return db.count({}) > 0
return ['yes' if Late() else 'no', Late() and 1, not Late()]";
    let mut script = Script::answering([json!(1), json!(1), json!(0)]);
    let finished = run_with(code, "{}", &mut script);
    assert_eq!(finished.outcome, Ok("[\"yes\",1,true]".to_owned()));
}

#[test]
fn a_service_that_cannot_be_called_from_within_says_so() {
    let (kind, message, line) = raised("xs = [2, 1]\nxs.sort(key=lambda x: db.count({'x': x}))");
    assert_eq!((kind.as_str(), line), ("NotImplementedError", Some(2)));
    assert!(message.contains("call them in a loop"), "{message}");
}

#[test]
fn deleted_names_and_members_are_gone() {
    assert_eq!(raised("del x").0, "UnboundLocalError");
    assert_eq!(raised("x = {}\ndel x['a']").0, "KeyError");
    assert_eq!(raised("x = (1, 2)\ndel x[0]").0, "TypeError");
    assert_eq!(
        returned("x = [1, 2, 3, 4]\nif x: del x[0]\nfor i in [0]: del x[i], x[-1:]\nreturn x"),
        json!([3])
    );
}
