//! Ways as statements.

use std::{fmt::Write as _, ops::Bound};

use pinyto_core::{document::Scope, query::Direction};

use crate::query::{
    constraint::Span,
    dialect::{Bind, Binds},
    entry::{ARRAYS, VALUE},
    way::{ALL, Purpose, Way, Ways},
};

/// The documents that a way leads to: a part of a statement that begins at `FROM`, and two
/// expressions that they are in the order of (the second one unless it is the same).
#[derive(Debug)]
pub(super) struct From {
    pub(super) from: String,
    pub(super) order: (&'static str, &'static str),
}

pub(super) const fn sql_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Ascending => "ASC",
        Direction::Descending => "DESC",
    }
}

fn bytes(bytes: &[u8], binds: &mut Binds) -> String {
    binds.add(Bind::Bytes(bytes.to_vec()))
}

/// `AND key ...` for each bound of the span, or one of the keys.
fn key_condition(span: &Span, binds: &mut Binds) -> String {
    let mut condition = String::new();
    match span {
        Span::Keys(keys) => {
            let keys: Vec<String> = keys.iter().map(|key| bytes(key, binds)).collect();
            let _ = write!(condition, " AND e.key IN ({})", keys.join(", "));
        }
        Span::KeyRange { from, to, .. } => {
            for (bound, or_equal, strict) in [(from, ">=", ">"), (to, "<=", "<")] {
                let (operator, key) = match bound {
                    Bound::Included(key) => (or_equal, key),
                    Bound::Excluded(key) => (strict, key),
                    Bound::Unbounded => continue,
                };
                let _ = write!(condition, " AND e.key {operator} {}", bytes(key, binds));
            }
        }
        _ => {}
    }
    condition
}

/// Where the way leads to.
pub(super) fn documents(way: &Way, scope: Scope, binds: &mut Binds) -> From {
    let user = binds.add(Bind::Integer(scope.user.get()));
    let assembly = scope
        .assembly
        .map(|assembly| binds.add(Bind::Integer(assembly.get())));
    let of_assembly = |table: char| {
        assembly
            .as_ref()
            .map(|assembly| format!(" AND {table}.assembly_id = {assembly}"))
            .unwrap_or_default()
    };
    let by_id = ("d.id", "d.id");
    match way {
        Way::Nowhere => From {
            from: "FROM pinyto.documents d WHERE false".to_owned(),
            order: by_id,
        },
        Way::Ids(ids) => {
            let ids: Vec<String> = ids.iter().map(|id| bytes(id.as_bytes(), binds)).collect();
            let of_assembly = of_assembly('d');
            From {
                from: format!(
                    "FROM pinyto.documents d WHERE d.user_id = {user} AND d.id IN ({}){of_assembly}",
                    ids.join(", ")
                ),
                order: by_id,
            }
        }
        Way::All { from, to } => {
            let mut sql = format!(
                "FROM pinyto.documents d WHERE d.user_id = {user}{}",
                of_assembly('d')
            );
            for (bound, operator) in [(from, ">="), (to, "<")] {
                if let Some(id) = bound {
                    let _ = write!(sql, " AND d.id {operator} {}", bytes(id.as_bytes(), binds));
                }
            }
            From {
                from: sql,
                order: by_id,
            }
        }
        Way::Times { from, to } => {
            let from = binds.add(Bind::Integer(*from));
            let to = binds.add(Bind::Integer(*to));
            let of_assembly = of_assembly('d');
            From {
                from: format!(
                    "FROM pinyto.documents d
                    WHERE d.user_id = {user} AND d.time >= {from} AND d.time < {to}{of_assembly}"
                ),
                order: ("d.time", "d.id"),
            }
        }
        Way::Keys { index, span } => {
            let entries = format!(
                "{}{} AND e.role & {VALUE} <> 0",
                entries_of(*index, span, binds),
                of_assembly('e')
            );
            let from = if span.is_one_key() {
                format!("FROM (SELECT e.document_id AS id {entries}) e")
            } else {
                format!("FROM (SELECT DISTINCT e.document_id AS id {entries}) e")
            };
            From {
                from: format!(
                    "{from} JOIN pinyto.documents d ON d.user_id = {user} AND d.id = e.id"
                ),
                order: ("e.id", "e.id"),
            }
        }
        Way::Sorted { index, role, span } => {
            let entries = match span {
                Some(span) => entries_of(*index, span, binds),
                None => {
                    let index = binds.add(Bind::Integer(*index));
                    let arrays = bytes(&[ARRAYS], binds);
                    format!(
                        "FROM pinyto.index_entries e WHERE e.index_id = {index} AND e.key < {arrays}"
                    )
                }
            };
            From {
                from: format!(
                    "FROM (SELECT e.key, e.document_id AS id {entries}{} AND e.role & {role} <> 0) e
                    JOIN pinyto.documents d ON d.user_id = {user} AND d.id = e.id",
                    of_assembly('e')
                ),
                order: ("e.key", "e.id"),
            }
        }
    }
}

/// The entries that a way by keys begins with.
fn entries_of(index: i64, span: &Span, binds: &mut Binds) -> String {
    let index = binds.add(Bind::Integer(index));
    let keys = key_condition(span, binds);
    format!("FROM pinyto.index_entries e WHERE e.index_id = {index}{keys}")
}

/// How long the way is, counted up to a bound: an expression of SQL. None: it is short.
pub(super) fn length(
    way: &Way,
    scope: Scope,
    purpose: Purpose,
    binds: &mut Binds,
) -> Option<String> {
    let rows = match way {
        Way::Nowhere | Way::Ids(_) | Way::Sorted { span: None, .. } => return None,
        Way::All { .. } | Way::Times { .. } => documents(way, scope, binds).from,
        Way::Keys { index, span }
        | Way::Sorted {
            index,
            span: Some(span),
            ..
        } => entries_of(*index, span, binds),
    };
    let bound = way.counted_to(purpose) + 1;
    Some(format!(
        "(SELECT count(*) FROM (SELECT 1 {rows} LIMIT {bound}) AS counted)"
    ))
}

/// How many documents match, told by indexes alone: a statement, if there is one. For ways that
/// are exact.
pub(super) fn count(ways: &Ways, way: &Way, scope: Scope) -> Option<(String, Vec<Bind>)> {
    let mut binds = Binds::new('$');
    let others: Vec<&Way> = ways
        .direct
        .iter()
        // That the documents are of the assembly is checked anyway.
        .filter(|other| *other != way && **other != ALL)
        .collect();
    if matches!(way, Way::All { .. } | Way::Times { .. }) && others.is_empty() {
        let from = documents(way, scope, &mut binds).from;
        return Some((format!("SELECT count(*) {from}"), binds.into_values()));
    }
    let Way::Keys { index, span } = way else {
        return None;
    };
    let mut from = entries_of(*index, span, &mut binds);
    let _ = write!(from, " AND e.role & {VALUE} <> 0");
    if let Some(assembly) = scope.assembly {
        let assembly = binds.add(Bind::Integer(assembly.get()));
        let _ = write!(from, " AND e.assembly_id = {assembly}");
    }
    for other in others {
        // A range would have to be gone through for each.
        let Way::Keys {
            index,
            span: Span::Keys(keys),
        } = other
        else {
            return None;
        };
        let index = binds.add(Bind::Integer(*index));
        let keys: Vec<String> = keys.iter().map(|key| bytes(key, &mut binds)).collect();
        let _ = write!(
            from,
            " AND EXISTS (SELECT 1 FROM pinyto.index_entries o WHERE o.index_id = {index}
            AND o.key IN ({}) AND o.document_id = e.document_id AND o.role & {VALUE} <> 0)",
            keys.join(", ")
        );
    }
    let count = if span.is_one_key() {
        "SELECT count(*)"
    } else {
        "SELECT count(DISTINCT e.document_id)"
    };
    Some((format!("{count} {from}"), binds.into_values()))
}
