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
use sqlx::PgConnection;

use super::{Intent, PostgresStore, error::Failure, lock::Lock, session::may_act};
use crate::row::key::{
    KeyColumns, KeyRow, MatchingRow, SelectedRow, bind_key, end_of, matching, selected,
};

/// The columns of a new key, in the order in which their values are bound.
macro_rules! new_key_columns {
    () => {
        "user_id, active, created_at, label, kind, fingerprint, modulus, exponent, material,
            description, expires_at"
    };
}
pub(super) use new_key_columns;

/// Their values, after the user and that it is active.
macro_rules! new_key_values {
    () => {
        "$2, $3, $4, $5, $6, $7, $8, $9, $10"
    };
}
pub(super) use new_key_values;

macro_rules! select_keys {
    ($more:expr, $($from:tt)+) => {
        concat!(
            "SELECT k.id, k.user_id, k.active, k.created_at, k.last_used_at, k.label,
                    k.kind, k.fingerprint, k.modulus, k.exponent, k.material, k.description,
                    k.expires_at",
            $more,
            " FROM ",
            $($from)+
        )
    };
}
pub(super) use select_keys;

/// The keys of `$user`.
macro_rules! list_keys {
    ($user:literal) => {
        $crate::postgres::key::select_keys!(
            "",
            "pinyto.keys k WHERE k.user_id = ",
            $user,
            " ORDER BY k.id"
        )
    };
}
pub(super) use list_keys;

/// The key with the identifier `$key`.
macro_rules! find_key {
    ($key:literal) => {
        $crate::postgres::key::select_keys!("", "pinyto.keys k WHERE k.id = ", $key)
    };
}
pub(super) use find_key;

const LIST: &str = list_keys!("$1");

const MATCHING: &str = select_keys!(
    ", u.name AS user_name",
    "pinyto.users u JOIN pinyto.keys k ON k.user_id = u.id
     WHERE u.name = $1 AND k.fingerprint >= $2 AND k.fingerprint < $3"
);

/// Where its holder has proved it last. Others may have registered the key as often as they
/// like: only entries of one index are looked at.
pub(super) const FIND_OPENPGP: &str = select_keys!(
    ", u.name AS user_name",
    "pinyto.keys k JOIN pinyto.users u ON u.id = k.user_id
     WHERE k.id = (SELECT id FROM pinyto.keys WHERE kind = 'openpgp' AND fingerprint = $1 AND active
        AND proven_at IS NOT NULL ORDER BY proven_at DESC, id DESC LIMIT 1)"
);

struct Add {
    actor: Actor,
    key: NewKey,
    limit: usize,
    at: Timestamp,
}

/// How many keys the user has, whether she has this one, and the new one unless something is
/// against it.
const ADD: &str = concat!(
    "WITH present AS MATERIALIZED (
        SELECT count(*) AS count, coalesce(bool_or(fingerprint = $5), false) AS registered
        FROM pinyto.keys WHERE user_id = $1),
    new_key AS (
        INSERT INTO pinyto.keys (",
    new_key_columns!(),
    ")
        SELECT $1, $4 <> 'openpgp', ",
    new_key_values!(),
    " FROM present WHERE NOT registered AND count < $11
        RETURNING id)
    SELECT registered, (SELECT id FROM new_key) FROM present"
);

const REGISTERED: &str = select_keys!(
    "",
    "pinyto.keys k WHERE k.user_id = $1 AND k.fingerprint = $2"
);

/// Puts another certificate of the same key in the place of the one that is there.
const RENEW: &str = "
    UPDATE pinyto.keys SET material = $2, description = $3, expires_at = $4,
        label = coalesce($5, label)
    WHERE id = $1";

/// Registers a key that the user has once more.
async fn register_again(
    db: &mut PgConnection,
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

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.actor.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<AddKeyOutcome, Failure> {
        if !may_act(db, self.actor).await? {
            return Ok(AddKeyOutcome::SessionEnded);
        }
        let add = sqlx::query_as(ADD)
            .bind(self.actor.user.get())
            .bind(self.at.unix_millis());
        let (registered, added): (bool, Option<i64>) =
            bind_key!(add, KeyColumns::try_from(&self.key)?)
                .bind(i64::try_from(self.limit).unwrap_or(i64::MAX))
                .fetch_one(&mut *db)
                .await?;
        if registered {
            return register_again(db, self.actor.user, &self.key).await;
        }
        Ok(match added {
            Some(key) => AddKeyOutcome::Added(KeyId::new(key)),
            None => AddKeyOutcome::LimitReached,
        })
    }
}

/// Whether user `$1` has other keys than `k` that open her account at `$at`.
macro_rules! others_active {
    ($at:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM pinyto.keys other
                     WHERE other.user_id = $1 AND other.active AND other.id <> k.id
                     AND (other.expires_at IS NULL OR other.expires_at > ",
            $at,
            ")) AS others_active"
        )
    };
}
pub(super) use others_active;

const SELECT: &str = select_keys!(
    concat!(", ", others_active!("$4")),
    "pinyto.keys k
     WHERE k.user_id = $1 AND k.fingerprint >= $2 AND k.fingerprint < $3 LIMIT 2"
);

/// The one key of the user that `hash` selects, if its change is allowed.
async fn select(
    db: &mut PgConnection,
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
const PROVE: &str = "
    UPDATE pinyto.keys k SET active = true, last_used_at = greatest(last_used_at, $3),
        proven_at = (SELECT greatest($3, max(o.proven_at) + 1) FROM pinyto.keys o
            WHERE o.kind = 'openpgp' AND o.fingerprint = k.fingerprint
                AND o.proven_at IS NOT NULL)
    WHERE id = $1 AND user_id = $2 AND kind = 'openpgp'";

#[async_trait]
impl Intent for Prove {
    type Outcome = ProveKeyOutcome;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.actor.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<ProveKeyOutcome, Failure> {
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

const SET_ACTIVE: &str = "
    WITH changed AS (UPDATE pinyto.keys SET active = $2 WHERE id = $1 RETURNING id)
    DELETE FROM pinyto.sessions s USING changed WHERE s.key_id = changed.id AND NOT $2";

/// Deactivating ends the key's session. The key's user has to be locked.
pub(super) async fn set_active(
    db: &mut PgConnection,
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

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.actor.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<KeyChange, Failure> {
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
const DELETE: &str = "DELETE FROM pinyto.keys WHERE id = $1";

#[async_trait]
impl Intent for Delete {
    type Outcome = KeyChange;

    fn locks(&self) -> Option<Vec<Lock>> {
        Some(vec![Lock::User(self.actor.user)])
    }

    async fn run(&self, db: &mut PgConnection) -> Result<KeyChange, Failure> {
        let key = match select(db, self.actor, &self.hash, false, self.at).await? {
            Ok(key) => key,
            Err(refused) => return Ok(refused),
        };
        sqlx::query(DELETE).bind(key.id.get()).execute(db).await?;
        Ok(KeyChange::Done(Box::new(key)))
    }
}

pub(super) fn keys(rows: Vec<KeyRow>) -> Result<Vec<Key>, StoreError> {
    let keys = rows.into_iter().map(Key::try_from);
    Ok(keys.collect::<Result<_, _>>().map_err(Failure::from)?)
}

#[async_trait]
impl KeyRepository for PostgresStore {
    async fn list(&self, user: UserId) -> Result<Vec<Key>, StoreError> {
        let list = || sqlx::query_as::<_, KeyRow>(LIST).bind(user.get());
        keys(self.database.all(list).await?)
    }

    async fn matching(
        &self,
        name: &UserName,
        hash: &KeyHash,
    ) -> Result<Vec<(User, Key)>, StoreError> {
        let find = || {
            sqlx::query_as::<_, MatchingRow>(MATCHING)
                .bind(name.as_str())
                .bind(hash.as_str())
                .bind(end_of(hash))
        };
        let rows = self.database.all(find).await?;
        Ok(matching(rows).map_err(Failure::from)?)
    }

    async fn find_openpgp(
        &self,
        fingerprint: &KeyFingerprint,
    ) -> Result<Option<(User, Key)>, StoreError> {
        let fingerprint = fingerprint.to_hex();
        let find = || sqlx::query_as::<_, MatchingRow>(FIND_OPENPGP).bind(&fingerprint);
        let row = self.database.one(find).await?;
        let found = row.map(MatchingRow::key_of_user).transpose();
        Ok(found.map_err(Failure::from)?)
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
