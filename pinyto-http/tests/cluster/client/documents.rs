//! Documents: stored, changed and removed, by the route and by code; and jobs that are queued.

use serde_json::{Value, json};

use super::{AUTHOR, Answer, Client, Known, update};

impl Client {
    fn data(&mut self) -> Value {
        self.next += 1;
        json!({"client": self.number, "number": self.next, "text": "\u{0}ö -0.0 \\u0000", "f": -0.5})
    }

    pub(super) async fn store(&mut self) {
        let data = self.data();
        let body = json!({"type": "note", "data": data});
        let stored = self.call("/author/Cluster/store", body).await;
        self.inserted(&data, &stored);
    }

    pub(super) async fn add(&mut self) {
        let data = self.data();
        let added = self.function("add", json!({"data": data})).await;
        self.inserted(&data, &added);
    }

    fn inserted(&mut self, data: &Value, answer: &Answer) {
        let text = data.to_string();
        match answer {
            Answer::Ok(answer) => {
                let id = answer["_id"].as_str().unwrap().to_owned();
                let known = Known::certain(Some(text));
                self.journal.documents.insert(id, known);
            }
            Answer::Unknown => {
                self.journal.attempted.insert(text);
            }
            Answer::Refused(_) => {}
        }
    }

    /// A function may have done something before it failed.
    async fn function(&mut self, name: &str, body: Value) -> Answer {
        let answer = self.call(&format!("/author/Cluster/{name}"), body).await;
        match answer {
            Answer::Refused(400) => Answer::Unknown,
            Answer::Ok(_) => {
                self.journal.tally.calls += 1;
                answer
            }
            _ => answer,
        }
    }

    /// A document that certainly is there.
    fn some_document(&mut self) -> Option<String> {
        let count = self.journal.documents.len() as u64;
        let from = self.dice.roll(count.max(1)) as usize;
        let of_user = self.journal.documents.iter().skip(from);
        let mut there = of_user
            .filter(|(_, known)| known.is_certain() && !known.possible.contains(&None))
            .map(|(id, _)| id.clone());
        there.next()
    }

    pub(super) async fn change(&mut self) {
        let Some(id) = self.some_document() else {
            return;
        };
        let data = self.data();
        let changed = self
            .function("change", json!({"id": id, "data": data}))
            .await;
        self.changed(&id, Some(data.to_string()), &changed);
    }

    pub(super) async fn remove(&mut self) {
        if let Some(id) = self.some_document() {
            let removed = self.function("remove", json!({"id": id})).await;
            self.changed(&id, None, &removed);
        }
    }

    fn changed(&mut self, id: &str, to: Option<String>, answer: &Answer) {
        let known = self.journal.documents.get_mut(id).unwrap();
        update(known, to, answer);
    }

    pub(super) async fn queue(&mut self) {
        let queued = if self.dice.roll(2) == 0 {
            self.function("later", json!({})).await
        } else {
            let data =
                json!({"assembly_user": AUTHOR, "assembly_name": "Cluster", "job_name": "work"});
            let body = json!({"type": "job", "data": data});
            self.call("/author/Cluster/store", body).await
        };
        if let Answer::Ok(answer) = queued {
            let id = answer["_id"].as_str().unwrap().to_owned();
            self.journal.queued.insert(id);
        }
    }
}
