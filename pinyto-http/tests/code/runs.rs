//! What users and authors can look up of runs.

use serde_json::{Value, json};

use crate::support::{install, logged_in, with_device, with_functions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_sees_her_runs_and_the_author_nothing_of_her_data() {
    let folder = tempfile::tempdir().unwrap();
    let (server, mut client, ada) = logged_in(folder.path(), &[]).await;
    let functions = [(
        "tell",
        "print('printed', request.json['secret'])\nraise ValueError('raised ' + request.json['secret'])",
    )];
    with_functions(&mut client, &ada, "ada", "Tell", &functions).await;
    let bob = with_device(&mut client, "bob", 0).await;
    install(&mut client, &bob, "ada", "Tell").await;
    for (token, secret) in [(&ada, "hers"), (&bob, "sesame")] {
        let request = json!({"token": token, "secret": secret});
        let (status, answer) = client.post("/ada/Tell/tell", &request).await;
        assert_eq!(status, 400, "{answer}");
    }

    let listed = client.expect("/list_runs", json!({"token": bob})).await;
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 1, "nobody else's");
    let id = &listed[0]["id"];
    let run = client
        .expect("/get_run", json!({"token": bob, "id": id}))
        .await;
    assert_eq!(run, listed[0]);
    assert_eq!(run["output"], "printed sesame\n");
    let error = json!({"type": "ValueError", "message": "raised sesame", "line": 2});
    assert_eq!((&run["outcome"], &run["error"]), (&json!("failed"), &error));
    let (status, answer) = client
        .post("/get_run", &json!({"token": ada, "id": id}))
        .await;
    assert_eq!((status, &answer["code"]), (404, &json!("unknown_run")));

    let request = json!({"token": ada, "name": "Tell"});
    let seen = client.expect("/list_assembly_runs", request).await;
    let seen = seen.as_array().unwrap();
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(&seen[0]["id"], id, "newest first");
    let error = json!({"type": "ValueError", "message": null, "line": 2});
    assert_eq!(
        (&seen[0]["error"], &seen[0]["output"]),
        (&error, &Value::Null)
    );
    let told = seen[0].to_string();
    assert!(!told.contains("sesame") && !told.contains("bob"), "{told}");
    assert_eq!(seen[1]["output"], "printed hers\n", "her own");
    assert_eq!(seen[1]["error"]["message"], "raised hers");
    // Only its author.
    let request = json!({"token": bob, "name": "Tell"});
    let (status, answer) = client.post("/list_assembly_runs", &request).await;
    assert_eq!(status, 404, "{answer}");
    assert!(server.stop().success());
}
