-- Never edit a migration that was released: add another one.

-- Of a key that expires: when. It opens nothing from then on.
ALTER TABLE pinyto_keys ADD COLUMN expires_at INTEGER;
-- Of an OpenPGP key: {"user_ids": [...], "algorithm": "..."}.
ALTER TABLE pinyto_keys ADD COLUMN description TEXT
    CHECK (kind <> 'openpgp' OR (material IS NOT NULL AND description IS NOT NULL));

-- Whose OpenPGP key is that? RSA keys are looked for by user only.
CREATE INDEX pinyto_openpgp_keys ON pinyto_keys (fingerprint) WHERE kind = 'openpgp';

-- The hashes of login tokens that were shown: nobody may show them again until they expire.
CREATE TABLE pinyto_spent_tokens (
    hash       BLOB    NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX pinyto_spent_tokens_by_expiry ON pinyto_spent_tokens (expires_at);
