//! Quotas as the operator sets them.

use pinyto_core::clock::Timestamp;
use serde_json::json;

use crate::{
    running_server::RunningServer,
    support::{with_device, with_functions},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_quota_refuses_what_is_beyond_it_and_says_when_there_is_more() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        ("--quota-calls-per-minute", "5"),
        ("--quota-cpu-seconds-per-hour", "1"),
        ("--quota-storage-mib", "1"),
        ("--code-cpu-seconds", "1.2"),
    ];
    let arguments: Vec<&str> = arguments.iter().flat_map(|(a, b)| [*a, *b]).collect();
    let server = RunningServer::start_with_fixed_key(folder.path(), &arguments);
    let mut client = server.client().await;
    let functions = [
        ("fine", "return 1"),
        ("spin", "while True: pass"),
        ("keep", "return {'_id': db.insert({'data': 'x' * 1000000})}"),
    ];
    let ada = with_device(&mut client, "ada", 0).await;
    with_functions(&mut client, &ada, "ada", "A", &functions).await;
    let mut others = Vec::new();
    for (name, device) in [("bob", 1), ("cyd", 2)] {
        let token = with_device(&mut client, name, device).await;
        let request = json!({"token": token, "author": "ada", "name": "A"});
        client.expect("/install_assembly", request).await;
        others.push(token);
    }
    let (bob, cyd) = (&others[0], &others[1]);

    // Calls: nobody else's count, and a minute is over in a minute at the latest.
    let mut refused = None;
    for _ in 0..12 {
        let request = json!({"token": ada});
        let (status, pause, answer) = client.post_for_pause("/ada/A/fine", &request).await;
        if status != 200 {
            refused = Some((status, pause.unwrap(), answer));
            break;
        }
    }
    // Not after the first five only if a minute began meanwhile.
    let (status, pause, answer) = refused.expect("twelve calls were five");
    assert_eq!((status, &answer["code"]), (429, &json!("quota_exceeded")));
    assert!((1..=60).contains(&pause), "{pause}");
    let sentence = answer["error"].as_str().unwrap();
    let begin = "You have used up your 5 calls per minute. There is more at ";
    let reset = sentence.strip_prefix(begin).expect(sentence);
    let reset = Timestamp::parse_rfc3339(reset.trim_end_matches('.')).unwrap();
    assert_eq!(reset.unix_millis() % 60_000, 0, "{sentence}");

    // CPU time: the call that uses it up runs to its end.
    let request = json!({"token": bob});
    let mut refused = None;
    // The second time only if an hour began meanwhile.
    for _ in 0..2 {
        let (status, answer) = client.post("/ada/A/spin", &request).await;
        let code = json!("code_limit_reached");
        assert_eq!((status, &answer["code"]), (400, &code));
        let answer = client.post_for_pause("/ada/A/fine", &request).await;
        if answer.0 != 200 {
            refused = Some(answer);
            break;
        }
    }
    let (status, pause, answer) = refused.expect("more than a second was used");
    assert_eq!((status, &answer["code"]), (429, &json!("quota_exceeded")));
    assert!((1..=3600).contains(&pause.unwrap()), "{pause:?}");
    let sentence = answer["error"].as_str().unwrap();
    let begin = "You have used up your 1 s of CPU time per hour. There is more at ";
    let reset = sentence.strip_prefix(begin).expect(sentence);
    let reset = Timestamp::parse_rfc3339(reset.trim_end_matches('.')).unwrap();
    assert_eq!(reset.unix_millis() % 3_600_000, 0, "{sentence}");

    // Storage: there is no time when there is more, and code gets an exception.
    let request = json!({"token": cyd});
    client.expect("/ada/A/keep", request.clone()).await;
    let (status, answer) = client.post("/ada/A/keep", &request).await;
    assert_eq!(status, 400);
    assert_eq!(answer["exception"]["type"], "RuntimeError", "{answer}");
    let store = json!({"token": cyd, "type": "t", "data": "x".repeat(100_000)});
    let (status, pause, answer) = client.post_for_pause("/ada/A/store", &store).await;
    assert_eq!((status, &answer["code"]), (507, &json!("storage_full")));
    assert_eq!(pause, None);
    let sentence = answer["error"].as_str().unwrap();
    assert!(sentence.contains("1048576 bytes"), "{sentence}");
    let statistics = client.expect("/statistics", request).await;
    let stored = statistics["current_storage"].as_u64().unwrap();
    assert!((1_000_000..1_048_576).contains(&stored), "{statistics}");
    assert!(server.stop().success());
}
