//! JSON to Python and back.

use proptest::prelude::*;

use super::{
    json::{Purpose, ReadError, WriteError, read, write},
    *,
};

fn written(text: &str, max: usize) -> Result<String, WriteError> {
    let mut out = String::new();
    write(
        &mut out,
        read(text, 1000).unwrap().as_ref(),
        Purpose::Argument,
        max,
    )?;
    Ok(out)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map(".{0,6}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_comes_back_as_it_was(value in value()) {
        let back = written(&value.to_string(), usize::MAX).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&back).unwrap(), value);
    }

    #[test]
    fn any_json_goes_through_python_unchanged(value in value()) {
        let finished = run_with("return [request.json]", &value.to_string(), &mut Script::default());
        let back: Value = serde_json::from_str(&finished.outcome.unwrap()).unwrap();
        prop_assert_eq!(back, json!([value]));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in r#"[\[\]{}",:0-9eE.+\-tfn\\u ]{0,60}"#) {
        let ours = read(&text, 1000).is_ok();
        if serde_json::from_str::<Value>(&text).is_ok() {
            prop_assert!(ours);
        }
    }
}

#[test]
fn whole_numbers_of_any_size_stay_exact() {
    for number in [
        "0",
        "-1",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "123456789012345678901234567890123456789",
    ] {
        assert_eq!(written(number, 100).unwrap(), number);
    }
    for (number, python) in [
        ("1e2", "100.0"),
        ("0.1", "0.1"),
        ("1E400", "inf"),
        ("-0.0", "-0.0"),
    ] {
        match written(number, 100) {
            Ok(text) => assert_eq!(text, python),
            Err(error) => assert!(
                matches!(error, WriteError::Raise("ValueError", _)),
                "{number}"
            ),
        }
    }
}

#[test]
fn numbers_too_long_to_be_read_in_linear_time_are_refused() {
    assert!(read(&"9".repeat(4000), 1).is_ok());
    assert_eq!(
        read(&"9".repeat(1_000_000), 1).unwrap_err(),
        ReadError::Malformed
    );
}

#[test]
fn bounds_hold_to_the_byte_and_to_the_value() {
    assert_eq!(written("[1,2,\"ab\"]", 10).unwrap(), "[1,2,\"ab\"]");
    assert_eq!(written("[1,2,\"ab\"]", 9), Err(WriteError::TooLong));
    assert!(read("[1,2,{\"a\":1}]", 6).is_ok());
    assert_eq!(read("[1,2,{\"a\":1}]", 5).unwrap_err(), ReadError::TooMany);
    assert!(read(&format!("{}{}", "[".repeat(101), "]".repeat(101)), 1000).is_ok());
    assert_eq!(
        read(&format!("{}{}", "[".repeat(102), "]".repeat(102)), 1000).unwrap_err(),
        ReadError::TooDeep
    );
    for text in [
        "",
        "[",
        "[1,]",
        "{\"a\"}",
        "{1:2}",
        "1 2",
        "nul",
        "\"\\x\"",
        "NaN",
        "[Infinity]",
        "\"\u{1}\"",
    ] {
        assert_eq!(
            read(text, 1000).unwrap_err(),
            ReadError::Malformed,
            "{text}"
        );
    }
}

#[test]
fn texts_are_escaped_as_json_wants_it() {
    assert_eq!(
        written(r#""\"\\\n\t\r\u0000\u001f/é\u2028😀""#, 100).unwrap(),
        "\"\\\"\\\\\\n\\t\\r\\u0000\\u001f/é\u{2028}😀\""
    );
}
