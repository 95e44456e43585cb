-- Never edit a migration that was released: add another one.

-- A proof says where the key's logins go from then on, whatever else it is used for. Grows with each
-- proof of a key, whatever the clocks say.
ALTER TABLE pinyto.keys ADD COLUMN proven_at bigint;
UPDATE pinyto.keys SET proven_at = last_used_at WHERE kind = 'openpgp';

DROP INDEX pinyto.openpgp_keys;
CREATE INDEX openpgp_keys ON pinyto.keys (fingerprint, proven_at, id)
    WHERE kind = 'openpgp' AND proven_at IS NOT NULL;
