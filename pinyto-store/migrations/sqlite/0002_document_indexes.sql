-- Never edit a migration that was released: add another one.

CREATE INDEX pinyto_documents_by_time ON pinyto_documents (user_id, time, id);

CREATE INDEX pinyto_documents_by_assembly ON pinyto_documents (user_id, assembly_id, id);

-- Paths that an assembly's code looks documents up or sorts them by.
CREATE TABLE pinyto_assembly_indexes (
    assembly_id INTEGER NOT NULL REFERENCES pinyto_assemblies (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    path        TEXT    NOT NULL,
    PRIMARY KEY (assembly_id, position),
    UNIQUE (assembly_id, path)
) STRICT;

-- The indexes of a user: of `type`, and of the paths that her installed assemblies name.
CREATE TABLE pinyto_indexes (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id  INTEGER NOT NULL REFERENCES pinyto_users (id) ON DELETE CASCADE,
    path     TEXT    NOT NULL,
    -- Only what is ready is used for queries; but writes keep all of them up to date.
    state    TEXT    NOT NULL CHECK (state IN ('building', 'ready', 'going')),
    -- Documents up to this one have their entries, as far as they were there before the index.
    built_to BLOB    NOT NULL DEFAULT x'',
    -- What any entry has ever had, see query/entry.rs.
    traits   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (user_id, path)
) STRICT;

CREATE INDEX pinyto_indexes_unfinished ON pinyto_indexes (id) WHERE state <> 'ready';

CREATE TABLE pinyto_index_entries (
    index_id    INTEGER NOT NULL REFERENCES pinyto_indexes (id) ON DELETE CASCADE,
    -- A SortKey, shortened if it is long.
    key         BLOB    NOT NULL,
    document_id BLOB    NOT NULL,
    -- As in the document.
    assembly_id INTEGER NOT NULL,
    -- What the entry is good for, see query/entry.rs.
    role        INTEGER NOT NULL,
    PRIMARY KEY (index_id, key, document_id)
) STRICT, WITHOUT ROWID;

INSERT INTO pinyto_indexes (user_id, path, state) SELECT id, 'type', 'building' FROM pinyto_users;
