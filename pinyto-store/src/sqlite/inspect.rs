//! Looking at a database without changing anything.

use std::path::Path;

use sqlx::{ConnectOptions as _, Connection as _};

use super::{DatabaseState, OpenError, SqliteOptions, SqliteStore, migration, options};

impl SqliteStore {
    /// Says what [`SqliteStore::open`] would come upon, without changing anything.
    ///
    /// # Errors
    ///
    /// The [`OpenError`] that opening would end with, as far as that can be known before.
    pub async fn inspect(
        wanted: impl Into<SqliteOptions> + Send,
    ) -> Result<DatabaseState, OpenError> {
        let wanted = wanted.into();
        let connect = wanted.writer()?;
        let file = connect.get_filename().to_owned();
        let unopened = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::File {
            path: file.display().to_string(),
            source,
        };
        if options::is_in_memory(&connect) {
            return Ok(DatabaseState::Missing);
        }
        if !file.exists() {
            let folder = file.parent().filter(|folder| *folder != Path::new(""));
            return if !options::makes_missing(&connect) {
                Err(unopened("there is no such file".into()))
            } else if folder.is_some_and(|folder| !folder.is_dir()) {
                Err(unopened("its folder does not exist".into()))
            } else {
                Ok(DatabaseState::Missing)
            };
        }
        let read_only = options::reader(&connect, wanted.cache_kib);
        let mut connection = read_only
            .connect()
            .await
            .map_err(|error| unopened(error.into()))?;
        let found = migration::version(&mut connection)
            .await
            .map_err(|error| unopened(error.into()));
        // Nothing was written, so nothing is lost if closing fails.
        let _ = connection.close().await;
        let (found, known) = (found?, migration::newest());
        match found {
            found if found > known => Err(OpenError::Newer {
                path: file.display().to_string(),
                found,
                known,
            }),
            found if found == known => Ok(DatabaseState::Current),
            found => Ok(DatabaseState::Outdated { found, known }),
        }
    }
}
