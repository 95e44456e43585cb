-- Never edit a migration that was released: add another one.
--
-- Times are milliseconds since 1970-01-01T00:00:00Z. AUTOINCREMENT wherever a number names
-- something outside its transaction, so that it never names two things.

CREATE TABLE pinyto_users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL UNIQUE,
    created_at    INTEGER NOT NULL,
    -- Usage: CPU time, and the bytes of the user's documents integrated over time.
    cpu_nanos     INTEGER NOT NULL DEFAULT 0,
    byte_seconds  REAL    NOT NULL DEFAULT 0.0,
    bytes         INTEGER NOT NULL DEFAULT 0,
    calculated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE pinyto_keys (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id      INTEGER NOT NULL REFERENCES pinyto_users (id) ON DELETE CASCADE,
    active       INTEGER NOT NULL CHECK (active IN (0, 1)),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    label        TEXT,
    -- What algorithm the key is of.
    kind         TEXT    NOT NULL DEFAULT 'rsa',
    -- Lower-case hexadecimal digits (64 of an RSA key, 40 of OpenPGP), as text so that an index
    -- serves beginnings of it.
    fingerprint  TEXT    NOT NULL CHECK (length(fingerprint) IN (40, 64)),
    -- Of an RSA key. Big-endian, without leading zeros.
    modulus      BLOB,
    exponent     INTEGER,
    -- Of all other kinds: the public key as its kind writes it.
    material     BLOB,
    UNIQUE (user_id, fingerprint),
    CHECK (kind <> 'rsa' OR (modulus IS NOT NULL AND exponent IS NOT NULL))
) STRICT;

-- In the order they were added (an index ends with the rowid).
CREATE INDEX pinyto_keys_of_user ON pinyto_keys (user_id);

CREATE TABLE pinyto_sessions (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id       INTEGER NOT NULL UNIQUE REFERENCES pinyto_keys (id) ON DELETE CASCADE,
    token_hash   BLOB    NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL
) STRICT;

CREATE INDEX pinyto_sessions_by_last_use ON pinyto_sessions (last_used_at);

CREATE TABLE pinyto_keyserver_accounts (
    user_id       INTEGER PRIMARY KEY REFERENCES pinyto_users (id) ON DELETE CASCADE,
    key_id        INTEGER NOT NULL UNIQUE REFERENCES pinyto_keys (id) ON DELETE CASCADE,
    password_hash TEXT    NOT NULL,
    sealed_key    BLOB    NOT NULL
) STRICT;

CREATE TABLE pinyto_assemblies (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    author_id     INTEGER NOT NULL REFERENCES pinyto_users (id) ON DELETE CASCADE,
    name          TEXT    NOT NULL,
    description   TEXT    NOT NULL,
    only_own_data INTEGER NOT NULL CHECK (only_own_data IN (0, 1)),
    saved_at      INTEGER NOT NULL,
    -- Bytes of names, description and code.
    size          INTEGER NOT NULL DEFAULT 0 CHECK (size >= 0),
    UNIQUE (author_id, name)
) STRICT;

CREATE TABLE pinyto_functions (
    assembly_id INTEGER NOT NULL REFERENCES pinyto_assemblies (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    code        TEXT    NOT NULL,
    PRIMARY KEY (assembly_id, position),
    UNIQUE (assembly_id, name)
) STRICT;

CREATE TABLE pinyto_jobs (
    assembly_id INTEGER NOT NULL REFERENCES pinyto_assemblies (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    code        TEXT    NOT NULL,
    -- Minutes from one run to the next; 0: runs once.
    schedule    INTEGER NOT NULL CHECK (schedule >= 0),
    PRIMARY KEY (assembly_id, position),
    UNIQUE (assembly_id, name)
) STRICT;

CREATE TABLE pinyto_installations (
    user_id      INTEGER NOT NULL REFERENCES pinyto_users (id) ON DELETE CASCADE,
    assembly_id  INTEGER NOT NULL REFERENCES pinyto_assemblies (id) ON DELETE CASCADE,
    installed_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, assembly_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX pinyto_installations_of_assembly ON pinyto_installations (assembly_id);

CREATE TABLE pinyto_documents (
    user_id     INTEGER NOT NULL REFERENCES pinyto_users (id) ON DELETE CASCADE,
    id          BLOB    NOT NULL CHECK (length(id) = 12),
    -- author/name when it was stored; stays when the assembly goes.
    assembly    TEXT    NOT NULL,
    -- Which assembly that was, whatever it is called now. No foreign key: it stays, too.
    assembly_id INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    -- What the user is charged for, in bytes.
    size        INTEGER NOT NULL,
    -- All other fields, as SQLite's JSONB.
    body        BLOB    NOT NULL,
    PRIMARY KEY (user_id, id)
) STRICT;
