-- Never edit a migration that was released: add another one.

-- Of a key that expires: when. It opens nothing from then on.
ALTER TABLE pinyto.keys ADD COLUMN expires_at bigint;
-- Of an OpenPGP key: {"user_ids": [...], "algorithm": "..."}.
ALTER TABLE pinyto.keys ADD COLUMN description text
    CHECK (kind <> 'openpgp' OR (material IS NOT NULL AND description IS NOT NULL));

-- Whose OpenPGP key is that? RSA keys are looked for by user only.
CREATE INDEX openpgp_keys ON pinyto.keys (fingerprint, id) WHERE kind = 'openpgp';

-- The hashes of login tokens that were shown: nobody may show them again until they expire.
CREATE TABLE pinyto.spent_tokens (
    hash       bytea  NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    expires_at bigint NOT NULL
);

CREATE INDEX spent_tokens_by_expiry ON pinyto.spent_tokens (expires_at);
