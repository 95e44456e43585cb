//! Which tables and columns a backup carries: one list for both databases.
//!
//! A migration that adds a table or a column has to say here whether backups carry it; tests compare
//! this list with what both databases have. If they do, that is a new version of the format: raise
//! [`VERSION`](super::format::VERSION), and say what the column holds when a file of an older
//! version has none.

/// A table. Its rows stand in a file in the order of its key, and no two have the same.
#[derive(Debug)]
pub(crate) struct Table {
    /// In SQLite with `pinyto_` before it, in PostgreSQL in the schema `pinyto`.
    pub(crate) name: &'static str,
    /// How many of the columns, from the first, are the primary key.
    pub(crate) key: usize,
    /// Whether the first column is a number that is never given twice.
    pub(crate) is_numbered: bool,
    pub(crate) columns: &'static [Column],
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) is_nullable: bool,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Real,
    Bool,
    Text,
    Bytes,
    /// A JSON object.
    Json,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column {
        name,
        kind,
        is_nullable: false,
    }
}

const fn int(name: &'static str) -> Column {
    column(name, Kind::Integer)
}

const fn text(name: &'static str) -> Column {
    column(name, Kind::Text)
}

const fn bytes(name: &'static str) -> Column {
    column(name, Kind::Bytes)
}

const fn flag(name: &'static str) -> Column {
    column(name, Kind::Bool)
}

const fn optional(column: Column) -> Column {
    Column {
        is_nullable: true,
        ..column
    }
}

const fn table(name: &'static str, key: usize, columns: &'static [Column]) -> Table {
    Table {
        name,
        key,
        is_numbered: false,
        columns,
    }
}

/// With `id` as its key, a number that is never given twice.
const fn numbered(name: &'static str, columns: &'static [Column]) -> Table {
    Table {
        name,
        key: 1,
        is_numbered: true,
        columns,
    }
}

/// All that is carried, in the order in which it stands in a file: what a row refers to comes
/// before it.
pub(crate) static TABLES: &[Table] = &[
    numbered(
        "users",
        &[
            int("id"),
            text("name"),
            int("created_at"),
            int("cpu_nanos"),
            column("byte_seconds", Kind::Real),
            int("bytes"),
            int("calculated_at"),
            optional(int("hour")),
            int("hour_cpu_nanos"),
        ],
    ),
    numbered(
        "keys",
        &[
            int("id"),
            int("user_id"),
            flag("active"),
            int("created_at"),
            optional(int("last_used_at")),
            optional(text("label")),
            text("kind"),
            text("fingerprint"),
            optional(bytes("modulus")),
            optional(int("exponent")),
            optional(bytes("material")),
            optional(int("expires_at")),
            optional(text("description")),
            optional(int("proven_at")),
        ],
    ),
    numbered(
        SESSIONS,
        &[
            int("id"),
            int("key_id"),
            bytes("token_hash"),
            int("created_at"),
            int("last_used_at"),
        ],
    ),
    table(
        "keyserver_accounts",
        1,
        &[
            int("user_id"),
            int("key_id"),
            text("password_hash"),
            bytes("sealed_key"),
        ],
    ),
    numbered(
        "assemblies",
        &[
            int("id"),
            int("author_id"),
            text("name"),
            text("description"),
            flag("only_own_data"),
            int("saved_at"),
            int("size"),
            optional(text("http_hosts")),
        ],
    ),
    table(
        "functions",
        2,
        &[
            int("assembly_id"),
            int("position"),
            text("name"),
            text("code"),
        ],
    ),
    table(
        "jobs",
        2,
        &[
            int("assembly_id"),
            int("position"),
            text("name"),
            text("code"),
            int("schedule"),
        ],
    ),
    table(
        "assembly_indexes",
        2,
        &[int("assembly_id"), int("position"), text("path")],
    ),
    table(
        "installations",
        2,
        &[int("user_id"), int("assembly_id"), int("installed_at")],
    ),
    table(
        "documents",
        2,
        &[
            int("user_id"),
            bytes("id"),
            text("assembly"),
            int("assembly_id"),
            int("time"),
            int("size"),
            column("body", Kind::Json),
        ],
    ),
    table(
        "runs",
        2,
        &[
            int("user_id"),
            bytes("id"),
            int("assembly_id"),
            text("assembly"),
            text("part_kind"),
            text("part"),
            int("started_at"),
            int("duration_nanos"),
            int("cpu_nanos"),
            optional(text("failure_kind")),
            optional(text("failure_message")),
            optional(int("failure_line")),
            text("output"),
            flag("truncated"),
            int("attempt"),
        ],
    ),
    table(
        "run_writers",
        1,
        &[bytes("id"), int("batch"), int("recorded_at")],
    ),
    // Before the entries, whose triggers add the users that are missing.
    table(
        "job_users",
        1,
        &[int("user_id"), int("turn_at"), int("turn")],
    ),
    numbered(
        JOB_ENTRIES,
        &[
            int("id"),
            int("user_id"),
            int("assembly_id"),
            text("job"),
            text("cause"),
            optional(bytes("document_id")),
            int("schedule"),
            int("planned_at"),
            optional(int("due_at")),
            optional(bytes("held_by")),
            int("attempts"),
            optional(bytes("lease")),
            optional(int("started_at")),
            flag("parked"),
            optional(text("failure_kind")),
            optional(text("failure_message")),
            optional(int("failure_line")),
            optional(int("failed_at")),
        ],
    ),
];

/// Sessions, which a restore can leave out.
pub(crate) const SESSIONS: &str = "sessions";

/// What is to be run, with the leases on it.
pub(crate) const JOB_ENTRIES: &str = "job_entries";

/// What backups leave out on purpose: a table, or a column of one that is carried, and why. It may
/// be there in one of the databases only.
#[cfg(test)]
pub(crate) static LEFT_OUT: &[(&str, Option<&str>, &str)] = &[
    (
        "migrations",
        None,
        "belongs to the tables, not to what is in them",
    ),
    ("indexes", None, "follows from what is installed"),
    ("index_entries", None, "follows from the documents"),
    ("claimable_jobs", None, "kept by triggers on job_entries"),
    (
        "job_users",
        Some("due_at"),
        "kept by triggers on job_entries",
    ),
    ("job_users", Some("since"), "is computed"),
    (
        "users",
        Some("setup"),
        "counts changes, for servers that run",
    ),
    (
        "run_writers",
        Some("kept_back"),
        "matters until the writer's next batch, for servers that run",
    ),
    (
        "failures",
        None,
        "failed tries, which mean nothing after minutes",
    ),
    (
        "spent_tokens",
        None,
        "mean nothing after minutes, and a restore takes longer to be in use",
    ),
];

/// A column as a database's catalogue has it.
#[cfg(test)]
#[derive(sqlx::FromRow)]
pub(crate) struct Found {
    /// Without what stands before it.
    pub(crate) table_name: String,
    pub(crate) column_name: String,
    /// In lower case.
    pub(crate) data_type: String,
    pub(crate) is_nullable: bool,
}

/// Checks that what a database has is carried as it is, or left out on purpose, and that it has
/// what is carried.
#[cfg(test)]
pub(crate) fn compare(found: &[Found], type_of: impl Fn(&Column) -> &'static str) {
    for there in found {
        let (table, column) = (there.table_name.as_str(), there.column_name.as_str());
        if LEFT_OUT
            .iter()
            .any(|(name, of, _)| *name == table && of.is_none_or(|of| of == column))
        {
            continue;
        }
        let carried = TABLES.iter().find(|known| known.name == table);
        let carried = carried.and_then(|known| known.columns.get(known.place_of(column)?));
        let Some(carried) = carried else {
            panic!("backups neither carry nor leave out {table}.{column}: see backup/schema.rs");
        };
        assert_eq!(there.data_type, type_of(carried), "{table}.{column}");
        assert_eq!(there.is_nullable, carried.is_nullable, "{table}.{column}");
    }
    for table in TABLES {
        for column in table.columns {
            let is_it =
                |there: &&Found| there.table_name == table.name && there.column_name == column.name;
            assert!(
                found.iter().any(|there| is_it(&there)),
                "{table:?} {column:?}"
            );
        }
    }
}

impl Table {
    /// The column's place in a row.
    pub(crate) fn place_of(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }
}
