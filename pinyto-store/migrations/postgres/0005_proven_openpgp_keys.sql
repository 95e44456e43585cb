-- Never edit a migration that was released: add another one.

-- An OpenPGP key opens nothing before its holder has proved to have it, as who has logged in with it
-- has.
DELETE FROM pinyto.sessions WHERE key_id IN (
    SELECT id FROM pinyto.keys WHERE kind = 'openpgp' AND last_used_at IS NULL);
UPDATE pinyto.keys SET active = false WHERE kind = 'openpgp' AND last_used_at IS NULL;
-- Whoever had relied on such a key alone can use her password again.
UPDATE pinyto.keys SET active = true WHERE id IN (
    SELECT a.key_id FROM pinyto.keyserver_accounts a WHERE NOT EXISTS (
        SELECT 1 FROM pinyto.keys k WHERE k.user_id = a.user_id AND k.active));

-- Whose is it? Hers who has proved or used it last.
DROP INDEX pinyto.openpgp_keys;
CREATE INDEX openpgp_keys ON pinyto.keys (fingerprint, last_used_at, id)
    WHERE kind = 'openpgp' AND active AND last_used_at IS NOT NULL;
