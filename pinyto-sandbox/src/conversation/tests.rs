use proptest::prelude::*;

use serde_json::Value;

use super::*;

fn content(report: &Report<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    frame::write(report, &mut stream).unwrap();
    stream.split_off(frame::HEADER)
}

fn call(arguments: &str) -> Vec<u8> {
    content(&Report::Call {
        service: 3,
        arguments,
    })
}

fn finished(answer: &str) -> Vec<u8> {
    content(&Report::Finished {
        outcome: Ok(answer),
        truncated: false,
    })
}

fn limits() -> CodeLimits {
    let mut limits = CodeLimits::default();
    limits.answer = 100;
    limits.output = 10;
    limits.service_calls = 3;
    limits.service_bytes = 1_000_000;
    limits
}

#[test]
fn a_call_waits_for_its_answer() {
    let limits = limits();
    let mut conversation = Conversation::new(&limits);
    let Step::Call(service, arguments) = conversation.take(&call(r#"{"a":1}"#)).unwrap() else {
        panic!("a call")
    };
    assert_eq!(service, Service::ALL[3]);
    assert_eq!(arguments, r#"{"a":1}"#);
    let pending = [call("{}"), finished("x"), content(&Report::Printed("x"))];
    for early in &pending {
        assert_eq!(conversation.take(early), Err(Breach::OutOfTurn));
    }
    conversation.answered();
    assert!(matches!(
        conversation.take(&finished("x")),
        Ok(Step::Finished { outcome: Ok(answer), .. }) if answer == "x"
    ));
}

#[test]
fn nothing_comes_after_the_end() {
    let limits = limits();
    let mut conversation = Conversation::new(&limits);
    conversation.take(&finished("x")).unwrap();
    assert_eq!(conversation.take(&finished("x")), Err(Breach::OutOfTurn));
}

#[test]
fn what_belongs_to_the_start_of_a_worker_is_out_of_turn() {
    let limits = limits();
    let failed = content(&Report::Failed("x"));
    assert_eq!(
        Conversation::new(&limits).take(&failed),
        Err(Breach::OutOfTurn)
    );
}

#[test]
fn the_limits_hold_whatever_the_worker_says() {
    let limits = limits();
    let mut conversation = Conversation::new(&limits);
    for _ in 0..3 {
        conversation.take(&call("{}")).unwrap();
        conversation.answered();
    }
    let too_many = Breach::Limit(CodeLimit::ServiceCalls(3));
    assert_eq!(conversation.take(&call("{}")), Err(too_many));

    let long = "x".repeat(101);
    let too_long = Breach::Limit(CodeLimit::Answer(100));
    assert_eq!(
        Conversation::new(&limits).take(&finished(&long)),
        Err(too_long)
    );

    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_000_000));
    let many = format!(r#"{{"a":[{}0]}}"#, "0,".repeat(NODES));
    for (arguments, limit) in [
        (large, CodeLimit::ServiceBytes(1_000_000)),
        (many, CodeLimit::ServiceValues(NODES)),
    ] {
        assert_eq!(
            Conversation::new(&limits).take(&call(&arguments)),
            Err(Breach::Limit(limit))
        );
    }
}

#[test]
fn output_ends_at_its_limit() {
    let limits = limits();
    let mut conversation = Conversation::new(&limits);
    let five = content(&Report::Printed("12345"));
    conversation.take(&five).unwrap();
    conversation.take(&five).unwrap();
    let more = content(&Report::Printed("1"));
    assert_eq!(conversation.take(&more), Err(Breach::Output));
    assert_eq!(conversation.into_output(true).text, "1234512345");
}

#[test]
fn printing_nothing_is_no_way_to_keep_the_server_busy() {
    let limits = limits();
    let nothing = content(&Report::Printed(""));
    assert_eq!(
        Conversation::new(&limits).take(&nothing),
        Err(Breach::Output)
    );
}

#[test]
fn arguments_are_an_object() {
    let limits = limits();
    for arguments in ["[]", "1", "", "{", r#"{"a":1}x"#] {
        assert_eq!(
            Conversation::new(&limits).take(&call(arguments)),
            Err(Breach::Arguments),
            "{arguments}"
        );
    }
}

#[test]
fn an_unknown_service_is_a_breach() {
    let limits = limits();
    for service in [9, 10, 255] {
        let unknown = content(&Report::Call {
            service,
            arguments: "{}",
        });
        assert_eq!(
            Conversation::new(&limits).take(&unknown),
            Err(Breach::Service)
        );
    }
}

#[test]
fn an_exception_longer_than_the_worker_would_cut_it_is_a_breach() {
    let limits = limits();
    let long = "x".repeat(MESSAGE + 1);
    let exception = content(&Report::Finished {
        outcome: Err(WireError::Exception {
            kind: "ValueError",
            message: &long,
            line: None,
        }),
        truncated: false,
    });
    assert_eq!(
        Conversation::new(&limits).take(&exception),
        Err(Breach::Exception)
    );
}

proptest! {
    #[test]
    fn no_frame_makes_it_panic(frames in prop::collection::vec(
        prop::collection::vec(any::<u8>(), 0..60), 0..8,
    )) {
        let limits = limits();
        let mut conversation = Conversation::new(&limits);
        for frame in &frames {
            if let Ok(Step::Call(..)) = conversation.take(frame) {
                conversation.answered();
            }
        }
        prop_assert!(conversation.into_output(false).text.len() <= 10);
    }

    #[test]
    fn no_json_has_more_values_than_are_counted(
        texts in prop::collection::vec(r#"[a,\[\]{}"\\]{0,6}"#, 0..10),
    ) {
        let value = Value::from(vec![Value::from(texts.clone()), Value::Null]);
        let text = value.to_string();
        prop_assert!(nodes(&text) > texts.len());
        prop_assert!(nodes(&text) <= texts.len() + 5);
    }
}
