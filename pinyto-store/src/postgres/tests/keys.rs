//! Whose key it is, however many have registered it.

use pinyto_core::{
    key::KeyRepository,
    testing::{given, keys},
};
use sqlx::AssertSqlSafe;

use super::{super::key::FIND_OPENPGP, store};

/// 20,000 users with RSA keys; 300 of them have registered one OpenPGP key, the first 150 of them
/// with a proof (which only its holder gives).
const REGISTER: &str = "
    INSERT INTO pinyto.users (name, created_at, calculated_at)
    SELECT 'u' || n, 0, 0 FROM generate_series(1, 20000) n;
    INSERT INTO pinyto.keys (user_id, active, created_at, last_used_at, fingerprint, modulus, exponent)
    SELECT id, true, 0, 0, encode(sha256(name::bytea), 'hex'), name::bytea, 3
    FROM pinyto.users WHERE name <> 'ann';
    INSERT INTO pinyto.keys (user_id, active, created_at, proven_at, kind, fingerprint, material,
        description)
    SELECT u.id, n <= 150, 0, CASE WHEN n <= 150 THEN k.proven_at + n END, 'openpgp',
        k.fingerprint, k.material, k.description
    FROM generate_series(1, 300) n JOIN pinyto.users u ON u.name = 'u' || n, pinyto.keys k
    WHERE k.kind = 'openpgp'
    ORDER BY n;
    ANALYZE";

#[tokio::test]
async fn whose_an_openpgp_key_is_is_found_by_an_index() {
    let Some((store, database)) = store().await else {
        return;
    };
    let ann = given::user(&*store, "ann", 1).await;
    let key = given::added(&*store, &ann, &given::openpgp_key(1, None)).await;
    let fingerprint = keys::openpgp(1).fingerprint();
    database.execute(REGISTER).await;
    let sql = FIND_OPENPGP.replace("$1", &format!("'{fingerprint}'"));
    let explain = || AssertSqlSafe(format!("EXPLAIN (COSTS OFF) {sql}"));
    let plan = store
        .database
        .all(|| sqlx::query_as::<_, (String,)>(explain()));
    let plan = plan.await.unwrap();
    let plan: Vec<_> = plan.iter().map(|(line,)| line.as_str()).collect();
    // In the order of the index; the key itself is then looked up by its number.
    let count = |text| plan.iter().filter(|line| line.contains(text)).count();
    let counts = ["openpgp_keys", "keys_pkey", "Seq Scan", "Sort"].map(count);
    assert_eq!(counts, [1, 1, 0, 0], "{plan:#?}");
    let (owner, _) = store.find_openpgp(&fingerprint).await.unwrap().unwrap();
    assert_eq!(owner.name.as_str(), "u150");
    let later = given::at(1_000);
    store.prove(ann.id.into(), key, later).await.unwrap();
    let (owner, _) = store.find_openpgp(&fingerprint).await.unwrap().unwrap();
    assert_eq!(owner, ann);
}
