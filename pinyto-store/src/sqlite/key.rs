use std::collections::HashMap;

use async_trait::async_trait;
use pinyto_core::{
    clock::Timestamp,
    id::{KeyId, UserId},
    key::{
        AddKeyOutcome, Key, KeyChange, KeyFingerprint, KeyHash, KeyRepository, KeyState, NewKey,
        ProveKeyOutcome,
    },
    session::Actor,
    store::StoreError,
    user::{User, UserName},
};
use sqlx::SqliteConnection;

use super::{
    Intent, SqliteStore,
    error::{Corrupt, Failure},
    lookup::{Find, json_array},
    pool::Readers,
    session::may_act,
};
use crate::row::key::{
    KeyColumns, KeyRow, MatchingRow, SelectedRow, bind_key, end_of, matching, selected,
};

macro_rules! select_keys {
    ($more:expr, $from:literal) => {
        concat!(
            "SELECT k.id, k.user_id, k.active, k.created_at, k.last_used_at, k.label,
                    k.kind, k.fingerprint, k.modulus, k.exponent, k.material, k.description,
                    k.expires_at",
            $more,
            " FROM ",
            $from
        )
    };
}

pub(super) const LIST: &str = select_keys!(
    "",
    "json_each(?1) wanted CROSS JOIN pinyto_keys k ON k.user_id = wanted.value"
);

/// All keys of users, for [`Lookup`](super::lookup::Lookup).
pub(super) enum KeysOfUser {}

#[async_trait]
impl Find for KeysOfUser {
    type Wanted = UserId;
    type Found = Vec<Key>;

    /// A key's modulus is there as number and, once it was shown, as digits.
    fn size(keys: &Vec<Key>) -> u64 {
        128 + 4096 * keys.len() as u64
    }

    async fn find(
        readers: &Readers,
        wanted: &[UserId],
    ) -> Result<HashMap<UserId, Result<Vec<Key>, Corrupt>>, sqlx::Error> {
        let wanted = json_array(wanted.iter().map(|user| user.get()));
        let query = sqlx::query_as::<_, KeyRow>(LIST).bind(wanted);
        let mut rows = readers.all_or_error(query).await?;
        rows.sort_unstable_by_key(|row| row.id);
        let mut found = HashMap::new();
        for row in rows {
            let keys = found
                .entry(UserId::new(row.user_id))
                .or_insert_with(|| Ok(Vec::new()));
            match (keys.as_mut(), Key::try_from(row)) {
                (Ok(keys), Ok(key)) => keys.push(key),
                (Ok(_), Err(corrupt)) => *keys = Err(corrupt),
                (Err(_), _) => {}
            }
        }
        Ok(found)
    }
}

pub(super) const MATCHING: &str = select_keys!(
    ", u.name AS user_name",
    "pinyto_users u JOIN pinyto_keys k ON k.user_id = u.id
     WHERE u.name = ?1 AND k.fingerprint >= ?2 AND k.fingerprint < ?3"
);

/// Where its holder has proved it last. Others may have registered the key as often as they
/// like: only entries of one index are looked at.
pub(super) const FIND_OPENPGP: &str = select_keys!(
    ", u.name AS user_name",
    "pinyto_keys k JOIN pinyto_users u ON u.id = k.user_id
     WHERE k.id = (SELECT id FROM pinyto_keys WHERE kind = 'openpgp' AND fingerprint = ?1 AND active = 1
        AND proven_at IS NOT NULL ORDER BY proven_at DESC, id DESC LIMIT 1)"
);

const INSERT: &str = "
    INSERT INTO pinyto_keys (user_id, active, created_at, label, kind, fingerprint, modulus,
        exponent, material, description, expires_at)
    VALUES (?1, ?11, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// A new key, active unless it needs a proof.
pub(super) async fn insert_key(
    db: &mut SqliteConnection,
    user: UserId,
    new: &NewKey,
    at: Timestamp,
) -> Result<KeyId, Failure> {
    let insert = sqlx::query(INSERT).bind(user.get()).bind(at.unix_millis());
    let inserted = bind_key!(insert, KeyColumns::try_from(new)?)
        .bind(!new.material.needs_proof())
        .execute(db)
        .await?;
    Ok(KeyId::new(inserted.last_insert_rowid()))
}

struct Add {
    actor: Actor,
    key: NewKey,
    limit: usize,
    at: Timestamp,
}

pub(super) const COUNT: &str = "
    SELECT count(*), coalesce(max(fingerprint = ?2), 0) FROM pinyto_keys WHERE user_id = ?1";

pub(super) const REGISTERED: &str = select_keys!(
    "",
    "pinyto_keys k WHERE k.user_id = ?1 AND k.fingerprint = ?2"
);

/// Puts another certificate of the same key in the place of the one that is there.
pub(super) const RENEW: &str = "
    UPDATE pinyto_keys SET material = ?2, description = ?3, expires_at = ?4,
        label = coalesce(?5, label)
    WHERE id = ?1";

/// Registers a key that the user has once more.
async fn register_again(
    db: &mut SqliteConnection,
    user: UserId,
    new: &NewKey,
) -> Result<AddKeyOutcome, Failure> {
    let columns = KeyColumns::try_from(new)?;
    let former: KeyRow = sqlx::query_as(REGISTERED)
        .bind(user.get())
        .bind(columns.fingerprint)
        .fetch_one(&mut *db)
        .await?;
    let outcome = Key::try_from(former)?.registered_again(&new.material);
    if let AddKeyOutcome::Renewed(key) = outcome {
        sqlx::query(RENEW)
            .bind(key.get())
            .bind(columns.material)
            .bind(columns.description)
            .bind(columns.expires_at)
            .bind(columns.label)
            .execute(db)
            .await?;
    }
    Ok(outcome)
}

#[async_trait]
impl Intent for Add {
    type Outcome = AddKeyOutcome;

    async fn run(&self, db: &mut SqliteConnection) -> Result<AddKeyOutcome, Failure> {
        if !may_act(db, self.actor).await? {
            return Ok(AddKeyOutcome::SessionEnded);
        }
        let (count, registered): (i64, bool) = sqlx::query_as(COUNT)
            .bind(self.actor.user.get())
            .bind(self.key.material.fingerprint().to_hex())
            .fetch_one(&mut *db)
            .await?;
        if registered {
            return register_again(db, self.actor.user, &self.key).await;
        }
        if usize::try_from(count).unwrap_or(usize::MAX) >= self.limit {
            return Ok(AddKeyOutcome::LimitReached);
        }
        let key = insert_key(db, self.actor.user, &self.key, self.at).await?;
        Ok(AddKeyOutcome::Added(key))
    }
}

/// Whether user `?1` has other keys than `k` that open her account at `$at`.
macro_rules! others_active {
    ($at:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM pinyto_keys other
                     WHERE other.user_id = ?1 AND other.active = 1 AND other.id <> k.id
                     AND (other.expires_at IS NULL OR other.expires_at > ",
            $at,
            ")) AS others_active"
        )
    };
}
pub(super) use others_active;

pub(super) const SELECT: &str = select_keys!(
    concat!(", ", others_active!("?4")),
    "pinyto_keys k
     WHERE k.user_id = ?1 AND k.fingerprint >= ?2 AND k.fingerprint < ?3 LIMIT 2"
);

/// The one key of the user that `hash` selects, if its change is allowed.
async fn select(
    db: &mut SqliteConnection,
    actor: Actor,
    hash: &KeyHash,
    stays_active: bool,
    at: Timestamp,
) -> Result<Result<Key, KeyChange>, Failure> {
    if !may_act(db, actor).await? {
        return Ok(Err(KeyChange::SessionEnded));
    }
    let rows: Vec<SelectedRow> = sqlx::query_as(SELECT)
        .bind(actor.user.get())
        .bind(hash.as_str())
        .bind(end_of(hash))
        .bind(at.unix_millis())
        .fetch_all(db)
        .await?;
    Ok(selected(rows, stays_active)?)
}

struct Prove {
    actor: Actor,
    key: KeyId,
    at: Timestamp,
}

/// After all proofs of the key at other accounts, whatever the clocks said then.
pub(super) const PROVE: &str = "
    UPDATE pinyto_keys AS k SET active = 1, last_used_at = max(coalesce(last_used_at, ?3), ?3),
        proven_at = (SELECT max(?3, coalesce(max(o.proven_at) + 1, ?3)) FROM pinyto_keys o
            WHERE o.kind = 'openpgp' AND o.fingerprint = k.fingerprint
                AND o.proven_at IS NOT NULL)
    WHERE id = ?1 AND user_id = ?2 AND kind = 'openpgp'";

#[async_trait]
impl Intent for Prove {
    type Outcome = ProveKeyOutcome;

    async fn run(&self, db: &mut SqliteConnection) -> Result<ProveKeyOutcome, Failure> {
        if !may_act(db, self.actor).await? {
            return Ok(ProveKeyOutcome::SessionEnded);
        }
        let proved = sqlx::query(PROVE)
            .bind(self.key.get())
            .bind(self.actor.user.get())
            .bind(self.at.unix_millis())
            .execute(db)
            .await?;
        Ok(match proved.rows_affected() {
            0 => ProveKeyOutcome::NotFound,
            _ => ProveKeyOutcome::Proved,
        })
    }
}

struct SetActive {
    actor: Actor,
    hash: KeyHash,
    active: bool,
    at: Timestamp,
}

pub(super) const SET_ACTIVE: &str = "
    UPDATE pinyto_keys SET active = ?2 WHERE id = ?1;
    DELETE FROM pinyto_sessions WHERE key_id = ?1 AND ?2 = 0";

/// Deactivating ends the key's session.
pub(super) async fn set_active(
    db: &mut SqliteConnection,
    key: KeyId,
    active: bool,
) -> Result<(), Failure> {
    let change = sqlx::query(SET_ACTIVE).bind(key.get()).bind(active);
    change.execute(db).await?;
    Ok(())
}

#[async_trait]
impl Intent for SetActive {
    type Outcome = KeyChange;

    async fn run(&self, db: &mut SqliteConnection) -> Result<KeyChange, Failure> {
        let key = match select(db, self.actor, &self.hash, self.active, self.at).await? {
            Ok(key) => key,
            Err(refused) => return Ok(refused),
        };
        if self.active && key.is_unproven() {
            return Ok(KeyChange::Unproven);
        }
        set_active(db, key.id, self.active).await?;
        Ok(KeyChange::Done(Box::new(key)))
    }
}

struct Delete {
    actor: Actor,
    hash: KeyHash,
    at: Timestamp,
}

/// Session and keyserver account go with it (foreign keys).
pub(super) const DELETE: &str = "DELETE FROM pinyto_keys WHERE id = ?1";

#[async_trait]
impl Intent for Delete {
    type Outcome = KeyChange;

    async fn run(&self, db: &mut SqliteConnection) -> Result<KeyChange, Failure> {
        let key = match select(db, self.actor, &self.hash, false, self.at).await? {
            Ok(key) => key,
            Err(refused) => return Ok(refused),
        };
        sqlx::query(DELETE).bind(key.id.get()).execute(db).await?;
        Ok(KeyChange::Done(Box::new(key)))
    }
}

#[async_trait]
impl KeyRepository for SqliteStore {
    async fn list(&self, user: UserId) -> Result<Vec<Key>, StoreError> {
        let keys = self.keys_of_user.find(user).await?;
        Ok(keys.unwrap_or_default())
    }

    async fn matching(
        &self,
        name: &UserName,
        hash: &KeyHash,
    ) -> Result<Vec<(User, Key)>, StoreError> {
        let query = sqlx::query_as::<_, MatchingRow>(MATCHING)
            .bind(name.as_str())
            .bind(hash.as_str())
            .bind(end_of(hash));
        Ok(matching(self.readers.all(query).await?)?)
    }

    async fn find_openpgp(
        &self,
        fingerprint: &KeyFingerprint,
    ) -> Result<Option<(User, Key)>, StoreError> {
        let query = sqlx::query_as::<_, MatchingRow>(FIND_OPENPGP).bind(fingerprint.to_hex());
        let row = self.readers.one(query).await?;
        Ok(row.map(MatchingRow::key_of_user).transpose()?)
    }

    async fn add(
        &self,
        actor: Actor,
        key: &NewKey,
        limit: usize,
        at: Timestamp,
    ) -> Result<AddKeyOutcome, StoreError> {
        let key = key.clone();
        self.write(Add {
            actor,
            key,
            limit,
            at,
        })
        .await
    }

    async fn prove(
        &self,
        actor: Actor,
        key: KeyId,
        at: Timestamp,
    ) -> Result<ProveKeyOutcome, StoreError> {
        self.write(Prove { actor, key, at }).await
    }

    async fn set_state(
        &self,
        actor: Actor,
        hash: &KeyHash,
        state: KeyState,
        at: Timestamp,
    ) -> Result<KeyChange, StoreError> {
        let (hash, active) = (hash.clone(), state.is_active());
        self.write(SetActive {
            actor,
            hash,
            active,
            at,
        })
        .await
    }

    async fn delete(
        &self,
        actor: Actor,
        hash: &KeyHash,
        at: Timestamp,
    ) -> Result<KeyChange, StoreError> {
        let hash = hash.clone();
        self.write(Delete { actor, hash, at }).await
    }
}
