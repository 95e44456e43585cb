//! The corpus, compared with what CPython makes of it.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::*;

const CORPUS: &str = include_str!("corpus.py");

/// Runs each body as the body of a function and prints a line of JSON for each.
const REFERENCE: &str = r#"
import ast, datetime, json, math, re, sys, warnings
warnings.simplefilter("ignore")
for text in json.load(sys.stdin):
    module = ast.parse("def body(request, db, factory): pass")
    module.body[0].body = ast.parse(text).body
    scope = {"json": json, "re": re, "math": math, "datetime": datetime}
    try:
        exec(compile(ast.fix_missing_locations(module), "body", "exec"), scope)
        answer = scope["body"](None, None, None)
        if not isinstance(answer, str):
            answer = json.dumps(answer)
        result = {"answer": answer}
    except Exception as error:
        result = {"raised": type(error).__name__, "said": str(error)}
    print(json.dumps(result))
"#;

fn bodies() -> Vec<&'static str> {
    CORPUS.split("# ====\n").skip(1).collect()
}

#[test]
fn answers_are_those_of_cpython() {
    let python = Command::new("python3")
        .args(["-I", "-c", REFERENCE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        assert!(
            std::env::var("CI").is_err(),
            "the comparison with CPython needs python3"
        );
        eprintln!("skipped: there is no python3 to compare with");
        return;
    };
    let bodies = bodies();
    let input = serde_json::to_vec(&bodies).unwrap();
    std::io::Write::write_all(&mut python.stdin.take().unwrap(), &input).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let expected: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(expected.len(), bodies.len());

    let mut engine = Engine::new();
    let mut wrong = Vec::new();
    for (body, expected) in bodies.iter().zip(expected) {
        let ours = engine
            .run(body, "{}", "jana", &CodeLimits::default(), &mut Nothing)
            .outcome;
        let same = match (&ours, expected["answer"].as_str()) {
            (Ok(ours), Some(answer)) => {
                let value = |text: &str| serde_json::from_str::<Value>(text);
                match (value(ours), value(answer)) {
                    (Ok(ours), Ok(answer)) => ours == answer,
                    _ => ours == answer,
                }
            }
            (Err(CodeError::Exception { kind, message, .. }), None) => {
                expected["raised"] == *kind && expected["said"] == *message
            }
            _ => false,
        };
        if !same {
            wrong.push(format!("{body}  CPython: {expected}\n  here: {ours:?}\n"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ\n{}",
        wrong.len(),
        bodies.len(),
        wrong.join("\n")
    );
}
