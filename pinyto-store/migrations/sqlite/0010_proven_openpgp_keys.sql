-- Never edit a migration that was released: add another one.

-- An OpenPGP key opens nothing before its holder has proved to have it, as who has logged in with it
-- has.
DELETE FROM pinyto_sessions WHERE key_id IN (
    SELECT id FROM pinyto_keys WHERE kind = 'openpgp' AND last_used_at IS NULL);
UPDATE pinyto_keys SET active = 0 WHERE kind = 'openpgp' AND last_used_at IS NULL;
-- Whoever had relied on such a key alone can use her password again.
UPDATE pinyto_keys SET active = 1 WHERE id IN (
    SELECT a.key_id FROM pinyto_keyserver_accounts a WHERE NOT EXISTS (
        SELECT 1 FROM pinyto_keys k WHERE k.user_id = a.user_id AND k.active = 1));

-- Whose is it? Hers who has proved or used it last.
DROP INDEX pinyto_openpgp_keys;
CREATE INDEX pinyto_openpgp_keys ON pinyto_keys (fingerprint, last_used_at, id)
    WHERE kind = 'openpgp' AND active = 1 AND last_used_at IS NOT NULL;
