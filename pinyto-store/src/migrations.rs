//! What the migrations of all databases have in common.

use std::fmt;

use sqlx::{
    SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
};

/// All migrations: version, description, SQL.
pub(crate) type Migrations = [(i64, &'static str, &'static str)];

/// Runs them; what has run is noted in `table`.
pub(crate) fn migrator(migrations: &Migrations, table: &'static str) -> Migrator {
    let migrations = migrations.iter().map(|(version, description, sql)| {
        Migration::new(
            *version,
            (*description).into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(table);
    migrator
}

/// The version of the tables after all of them.
pub(crate) fn newest_of(migrations: &Migrations) -> i64 {
    migrations
        .iter()
        .map(|(version, ..)| *version)
        .max()
        .unwrap_or(0)
}

/// What opening a database would come upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseState {
    /// There is none; it would be made.
    Missing,
    /// Its tables are at an older version (0: there are none) and would be brought up to date.
    Outdated {
        /// The version of its tables.
        found: i64,
        /// The version they would get.
        known: i64,
    },
    /// Its tables are what this version expects.
    Current,
}

impl fmt::Display for DatabaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is none yet, it would be made"),
            Self::Outdated { found: 0, .. } => f.write_str("its tables would be made"),
            Self::Outdated { found, known } => {
                write!(
                    f,
                    "its tables would be brought from version {found} to {known}"
                )
            }
            Self::Current => f.write_str("it is up to date"),
        }
    }
}
