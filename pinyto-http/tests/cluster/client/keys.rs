//! Keys of the account, and names that others want, too.

use std::collections::BTreeMap;

use pinyto_core::testing::keys;
use serde_json::json;

use super::{Answer, Client, Fate, Known, numbers, update};
use crate::journal::{Candidate, KeyState};

impl Client {
    /// Adds a key, or changes one of those that were added.
    pub(super) async fn change_key(&mut self) {
        let ours = [&self.device, &self.second].map(|key| key.key_hash().as_str().to_owned());
        let certain: BTreeMap<_, _> = self
            .journal
            .keys
            .iter()
            .filter(|(hash, known)| known.is_certain() && !ours.contains(hash))
            .filter_map(|(hash, known)| Some((hash.clone(), *known.possible.first()?)))
            .filter(|(_, state)| *state != KeyState::Absent)
            .collect();
        let some = certain.into_iter().nth(self.dice.roll(6) as usize);
        let Some((hash, state)) = some else {
            self.next += 1;
            let key = keys::synthetic(self.number * 1_000_000 + self.next);
            let added = self
                .call("/register_new_key", json!({"public_key": numbers(&key)}))
                .await;
            let hash = key.key_hash().as_str().to_owned();
            let known = self.journal.keys.entry(hash);
            update(
                known.or_insert_with(|| Known::certain(KeyState::Absent)),
                KeyState::Active,
                &added,
            );
            return;
        };
        let (path, to, body) = match (state, self.dice.roll(3)) {
            (_, 0) => ("/delete_key", KeyState::Absent, json!({"key_hash": hash})),
            (KeyState::Active, _) => (
                "/set_key_active",
                KeyState::Inactive,
                json!({"key_hash": hash, "active_state": false}),
            ),
            _ => (
                "/set_key_active",
                KeyState::Active,
                json!({"key_hash": hash, "active_state": true}),
            ),
        };
        let changed = self.call(path, body).await;
        update(self.journal.keys.get_mut(&hash).unwrap(), to, &changed);
    }

    /// Logs in with the second key and takes it out of use, which ends that session.
    pub(super) async fn use_second_key(&mut self) {
        let hash = self.second.key_hash().as_str().to_owned();
        if !self.journal.keys[&hash].is_certain() {
            return;
        }
        let body = json!({"username": self.journal.user, "key_hash": hash});
        let Answer::Ok(challenge) = self.post("/authenticate", &body).await else {
            return;
        };
        self.journal.tally.logins += 1;
        let token = self.answer(&self.second, challenge);
        for active in [false, true] {
            let body = json!({"key_hash": hash, "active_state": active});
            let changed = self.call("/set_key_active", body).await;
            let to = if active {
                KeyState::Active
            } else {
                KeyState::Inactive
            };
            let known = self.journal.keys.get_mut(&hash).unwrap();
            update(known, to, &changed);
            match changed.fate() {
                Fate::Acknowledged if !active => {
                    self.has_ended(token.clone(), "the key's deactivation")
                        .await;
                }
                Fate::Acknowledged => {}
                Fate::Refused | Fate::Unknown => return,
            }
        }
    }

    /// Wants a name that others want at the same moment.
    pub(super) async fn race(&mut self) {
        self.next += 1;
        let key = keys::synthetic(self.number * 1_000_000 + self.next);
        let name = format!("race_{}", self.started.elapsed().as_millis() / 500);
        let body = json!({"username": name, "public_key": numbers(&key)});
        let fate = self.post("/register", &body).await;
        let fate = match fate {
            // Not the name is the reason.
            Answer::Refused(status) if status != 409 => return,
            answer => answer.fate(),
        };
        let key_hash = key.key_hash().as_str().to_owned();
        self.journal.candidates.push(Candidate {
            name,
            key_hash,
            fate,
        });
    }
}
