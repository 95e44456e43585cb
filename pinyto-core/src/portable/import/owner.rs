//! Whose the lines become.

use super::{ImportError, UserImport};
use crate::user::{NewUser, RegisterOutcome, User, UserName};

impl UserImport {
    /// The user, made with her active keys if there is none: with all of them at once, or not at
    /// all. A store adds every RSA key as an active one, so one that was revoked would be active if
    /// the import stopped just then. OpenPGP keys have to be proved anew.
    pub(super) async fn owner(&mut self) -> Result<User, ImportError> {
        if let Some(user) = &self.user {
            return Ok(user.clone());
        }
        let name = self.lines.user();
        let name = name.ok_or_else(|| self.wrong("nobody says whose it is"))?;
        if name.is_reserved() {
            return Err(self.wrong(format!("nobody can have the name {name}")));
        }
        let found = self.store.users().find(&name).await;
        let is_reserved = self.settings.reserve(&name);
        let user = match found.map_err(self.failed())? {
            Some(_) if self.settings.user.is_none() => {
                return Err(self.wrong(taken(&name)));
            }
            Some(user) => {
                let keys = self.store.keys().list(user.id).await;
                if keys.map_err(self.failed())?.is_empty() {
                    return Err(self.wrong(keyless(&name)));
                }
                self.imported.keys_left_out = self.lines.counts.keys;
                user
            }
            None if is_reserved => {
                return Err(self.wrong(format!("nobody can have the name {name}")));
            }
            None => self.make(name).await?,
        };
        self.imported.user = Some(user.name.clone());
        self.user = Some(user.clone());
        Ok(user)
    }

    async fn make(&mut self, name: UserName) -> Result<User, ImportError> {
        if let Some(line) = self.first_excess_key {
            let most = self.settings.max_keys;
            let reason = format!("a user has at most {most} keys");
            return Err(ImportError::Line { line, reason });
        }
        let mut keys = std::mem::take(&mut self.keys);
        // The first is one that opens the account at once.
        keys.sort_by_key(|key| key.material.needs_proof());
        let mut keys = keys.into_iter();
        let Some(key) = keys.next().filter(|key| !key.material.needs_proof()) else {
            return Err(self.wrong(format!(
                "there is no user {name}, and no active key with which she could log in: let her register first"
            )));
        };
        let further_keys: Vec<_> = keys.collect();
        let further = further_keys.len() as u64;
        let new = NewUser {
            name,
            key,
            further_keys,
            at: self.now,
        };
        let registered = self.store.users().register(&new).await;
        let RegisterOutcome::Registered(user) = registered.map_err(self.failed())? else {
            return Err(self.wrong("somebody has just taken the name, so try again"));
        };
        self.imported.made_user = true;
        self.imported.new.keys += 1 + further;
        self.imported.inactive_keys_left_out = self.inactive_keys;
        Ok(user)
    }
}

/// Why a user who is there has to be named.
pub(in crate::portable) fn taken(user: &UserName) -> String {
    format!(
        "it names {user}, who is here already, and a file alone doesn't choose which account is changed, so she has to be named (--user {user})"
    )
}

/// Why nothing becomes the user's: a file's assemblies would be taken for the program's own.
pub(in crate::portable) fn keyless(user: &UserName) -> String {
    format!(
        "{user} is an account without keys, by which a program publishes assemblies of its own: nobody logs in as it"
    )
}
