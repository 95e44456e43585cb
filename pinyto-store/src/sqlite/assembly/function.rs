//! Functions that users call: looked up once per call.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use pinyto_core::{
    assembly::{AssemblyRef, FunctionName, InstalledFunction},
    id::UserId,
};

use super::super::{error::Corrupt, lookup::Find, pool::Readers};
use crate::row::assembly::InstalledRow;

/// Whose function of which assembly.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in super::super) struct Wanted {
    pub(super) user: UserId,
    pub(super) assembly: AssemblyRef,
    pub(super) function: FunctionName,
}

/// The key of what is wanted, then what there is of it.
#[derive(sqlx::FromRow)]
struct FunctionRow {
    key: i64,
    #[sqlx(flatten)]
    found: InstalledRow,
}

pub(in super::super) const FIND_FUNCTION: &str = "
    SELECT wanted.key, a.id AS assembly_id, a.only_own_data, a.http_hosts, f.code
    FROM json_each(?1) wanted
    CROSS JOIN pinyto_users u ON u.name = wanted.value ->> 1
    CROSS JOIN pinyto_assemblies a ON a.author_id = u.id AND a.name = wanted.value ->> 2
    CROSS JOIN pinyto_installations i ON i.user_id = wanted.value ->> 0 AND i.assembly_id = a.id
    LEFT JOIN pinyto_functions f ON f.assembly_id = a.id AND f.name = wanted.value ->> 3";

/// Functions of installed assemblies, for [`Lookup`](super::super::lookup::Lookup).
pub(in super::super) enum FunctionOfUser {}

#[async_trait]
impl Find for FunctionOfUser {
    type Wanted = Arc<Wanted>;
    type Found = InstalledFunction;

    fn size(found: &InstalledFunction) -> u64 {
        512 + found.code.as_ref().map_or(0, |code| code.len() as u64)
    }

    async fn find(
        readers: &Readers,
        wanted: &[Arc<Wanted>],
    ) -> Result<HashMap<Arc<Wanted>, Result<InstalledFunction, Corrupt>>, sqlx::Error> {
        let list = wanted.iter().map(|wanted| {
            let assembly = &wanted.assembly;
            serde_json::json!([
                wanted.user.get(),
                assembly.author.as_str(),
                assembly.name.as_str(),
                wanted.function.as_str(),
            ])
        });
        let list = serde_json::Value::Array(list.collect()).to_string();
        let query = sqlx::query_as::<_, FunctionRow>(FIND_FUNCTION).bind(list);
        let rows = readers.all_or_error(query).await?.into_iter();
        let found = rows.filter_map(|row| {
            let wanted = wanted.get(usize::try_from(row.key).ok()?)?;
            let function = InstalledFunction::try_from(row.found);
            Some((Arc::clone(wanted), function))
        });
        Ok(found.collect())
    }
}
