//! Accounts with a password.

use serde_json::json;

use super::{Answer, Client, Fate, Known};
use crate::{checker::Violation, journal::Passwords};

/// One that certainly is there.
pub(super) struct Account {
    user: String,
    token: Option<String>,
}

impl Client {
    /// Registers an account, or logs in to it, or changes its password.
    pub(super) async fn use_password(&mut self) {
        self.next += 1;
        let password = format!("password {}", self.next);
        let Some(Account { user, token }) = &self.account else {
            let user = format!("web_{}_{}", self.number, self.next);
            let account = json!({"username": user, "password": password});
            if let Answer::Ok(_) = self.post("/keyserver/register", &account).await {
                let passwords = Passwords {
                    now: Known::certain(password.clone()),
                    all: [password].into(),
                };
                self.journal.passwords.insert(user.clone(), passwords);
                self.account = Some(Account { user, token: None });
            }
            return;
        };
        let (user, token) = (user.clone(), token.clone());
        match token {
            Some(token) if self.dice.roll(2) == 0 => {
                let body = json!({"token": token, "password": password});
                let changed = self.post("/keyserver/change_password", &body).await;
                let passwords = self.journal.passwords.get_mut(&user).unwrap();
                passwords.all.insert(password.clone());
                match changed.fate() {
                    Fate::Acknowledged => passwords.now.is_now(password),
                    Fate::Refused => self.set_token(None),
                    Fate::Unknown => {
                        passwords.now.may_be(password);
                        // Another one from now on.
                        self.account = None;
                    }
                }
            }
            former => {
                let right = self.journal.passwords[&user].now.possible.first().cloned();
                let account = json!({"username": user, "password": right});
                match self.post("/keyserver/authenticate", &account).await {
                    Answer::Ok(answer) => {
                        let token = answer["token"].as_str().unwrap();
                        self.set_token(Some(token.to_owned()));
                        if let Some(former) = former {
                            self.has_ended(former, "a new login with the password")
                                .await;
                        }
                    }
                    Answer::Refused(403) => {
                        self.journal
                            .violations
                            .push(Violation::PasswordRefused { user });
                    }
                    Answer::Refused(_) => {}
                    Answer::Unknown => self.set_token(None),
                }
            }
        }
    }

    fn set_token(&mut self, token: Option<String>) {
        if let Some(account) = &mut self.account {
            account.token = token;
        }
    }
}
