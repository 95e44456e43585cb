//! Ways as statements.

use std::{fmt::Write as _, ops::Bound};

use pinyto_core::{
    document::{DocumentId, Scope},
    query::Direction,
};

use crate::query::{
    constraint::Span,
    dialect::{Bind, Binds},
    entry::{ARRAYS, VALUE},
    way::{ALL, Purpose, Way, Ways},
};

/// A statement, or a part of it, beginning at `FROM`.
#[derive(Debug)]
pub(super) struct From {
    /// `FROM ... WHERE ...` with the documents as `d`.
    pub(super) from: String,
    /// What to `ORDER BY`; empty if the order is given.
    pub(super) order: String,
}

fn id_bind(id: DocumentId) -> Bind {
    Bind::Bytes(id.as_bytes().to_vec())
}

fn sql_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Ascending => "ASC",
        Direction::Descending => "DESC",
    }
}

/// `AND key ...` for each bound of the span, or one of the keys.
fn key_condition(span: &Span, binds: &mut Binds) -> String {
    let mut condition = String::new();
    match span {
        Span::Keys(keys) if keys.len() == 1 => {
            let key = binds.add(Bind::Bytes(keys[0].clone()));
            let _ = write!(condition, " AND e.key = {key}");
        }
        Span::Keys(keys) => {
            let keys: Vec<String> = keys
                .iter()
                .map(|key| binds.add(Bind::Bytes(key.clone())))
                .collect();
            let _ = write!(condition, " AND e.key IN ({})", keys.join(", "));
        }
        Span::KeyRange { from, to, .. } => {
            for (bound, or_equal, strict) in [(from, ">=", ">"), (to, "<=", "<")] {
                let (operator, key) = match bound {
                    Bound::Included(key) => (or_equal, key),
                    Bound::Excluded(key) => (strict, key),
                    Bound::Unbounded => continue,
                };
                let key = binds.add(Bind::Bytes(key.clone()));
                let _ = write!(condition, " AND e.key {operator} {key}");
            }
        }
        _ => {}
    }
    condition
}

impl Way {
    /// Where the documents come from.
    pub(super) fn sql(&self, scope: Scope, direction: Direction, binds: &mut Binds) -> From {
        let direction = sql_of(direction);
        let user = binds.add(Bind::Integer(scope.user.get()));
        let assembly = scope
            .assembly
            .map(|assembly| binds.add(Bind::Integer(assembly.get())));
        // Not to be taken for a reason to use the index of assemblies.
        let of_assembly = assembly
            .as_ref()
            .map(|assembly| format!(" AND +d.assembly_id = {assembly}"))
            .unwrap_or_default();
        let by_id = format!("d.id {direction}");
        match self {
            Self::Nowhere => From {
                from: "FROM pinyto_documents d WHERE false".to_owned(),
                order: by_id,
            },
            Self::Ids(ids) => {
                let ids: Vec<String> = ids.iter().map(|id| binds.add(id_bind(*id))).collect();
                From {
                    from: format!(
                        "FROM pinyto_documents d WHERE d.user_id = {user} AND d.id IN ({}){of_assembly}",
                        ids.join(", ")
                    ),
                    order: by_id,
                }
            }
            Self::All { from, to } => {
                let mut sql = match &assembly {
                    None => format!("FROM pinyto_documents d WHERE d.user_id = {user}"),
                    Some(assembly) => format!(
                        "FROM pinyto_documents d INDEXED BY pinyto_documents_by_assembly
                        WHERE d.user_id = {user} AND d.assembly_id = {assembly}"
                    ),
                };
                for (bound, operator) in [(from, ">="), (to, "<")] {
                    if let Some(id) = bound {
                        let _ = write!(sql, " AND d.id {operator} {}", binds.add(id_bind(*id)));
                    }
                }
                From {
                    from: sql,
                    order: by_id,
                }
            }
            Self::Times { from, to } => {
                let from = binds.add(Bind::Integer(*from));
                let to = binds.add(Bind::Integer(*to));
                From {
                    from: format!(
                        "FROM pinyto_documents d INDEXED BY pinyto_documents_by_time
                        WHERE d.user_id = {user} AND d.time >= {from} AND d.time < {to}{of_assembly}"
                    ),
                    order: format!("d.time {direction}, d.id {direction}"),
                }
            }
            Self::Keys { index, span } => {
                let index = binds.add(Bind::Integer(*index));
                let keys = key_condition(span, binds);
                let of_assembly = assembly
                    .map(|assembly| format!(" AND e.assembly_id = {assembly}"))
                    .unwrap_or_default();
                let entries = format!(
                    "pinyto_index_entries e WHERE e.index_id = {index}{keys}{of_assembly}
                    AND e.role & {VALUE}"
                );
                if span.is_one_key() {
                    return From {
                        from: format!(
                            "FROM {} AND d.user_id = {user} AND d.id = e.document_id",
                            entries.replacen(
                                "pinyto_index_entries e",
                                "pinyto_index_entries e CROSS JOIN pinyto_documents d",
                                1
                            )
                        ),
                        order: format!("e.document_id {direction}"),
                    };
                }
                // Sorted on their own, before any document is read. (The limit, which is none,
                // keeps SQLite from taking the two apart.)
                From {
                    from: format!(
                        "FROM (SELECT DISTINCT e.document_id AS id FROM {entries}
                        ORDER BY e.document_id {direction} LIMIT -1) e
                        CROSS JOIN pinyto_documents d WHERE d.user_id = {user} AND d.id = e.id"
                    ),
                    order: String::new(),
                }
            }
            Self::Sorted { index, role, span } => {
                let index = binds.add(Bind::Integer(*index));
                let keys = match span {
                    Some(span) => key_condition(span, binds),
                    None => format!(" AND e.key < x'{ARRAYS:02x}'"),
                };
                let of_assembly = assembly
                    .map(|assembly| format!(" AND e.assembly_id = {assembly}"))
                    .unwrap_or_default();
                From {
                    from: format!(
                        "FROM pinyto_index_entries e CROSS JOIN pinyto_documents d
                        WHERE e.index_id = {index}{keys}{of_assembly} AND e.role & {role}
                        AND d.user_id = {user} AND d.id = e.document_id"
                    ),
                    order: format!("e.key {direction}, e.document_id {direction}"),
                }
            }
        }
    }

    /// Where the first documents come from, and an expression of SQL for whether there are no
    /// others. If documents of other assemblies may be in between, only the first `bound` of all
    /// are looked at.
    pub(super) fn beginning(
        &self,
        scope: Scope,
        direction: Direction,
        bound: u64,
        binds: &mut Binds,
    ) -> (From, String) {
        let (Self::Keys { index, span }, Some(assembly)) = (self, scope.assembly) else {
            return (self.sql(scope, direction, binds), "true".to_owned());
        };
        let direction = sql_of(direction);
        let index = binds.add(Bind::Integer(*index));
        let keys = key_condition(span, binds);
        let entries = format!("FROM pinyto_index_entries e WHERE e.index_id = {index}{keys}");
        let user = binds.add(Bind::Integer(scope.user.get()));
        let assembly = binds.add(Bind::Integer(assembly.get()));
        let from = From {
            from: format!(
                "FROM (SELECT e.document_id, e.assembly_id, e.role {entries}
                    ORDER BY e.document_id {direction} LIMIT {bound}) e
                CROSS JOIN pinyto_documents d WHERE e.assembly_id = {assembly}
                AND e.role & {VALUE} AND d.user_id = {user} AND d.id = e.document_id"
            ),
            order: format!("e.document_id {direction}"),
        };
        let more = bound + 1;
        let are_all =
            format!("(SELECT count(*) FROM (SELECT 1 {entries} LIMIT {more})) <= {bound}");
        (from, are_all)
    }

    /// How long the way is, counted up to a bound: an expression of SQL. None: it is short.
    pub(super) fn length(
        &self,
        scope: Scope,
        purpose: Purpose,
        binds: &mut Binds,
    ) -> Option<String> {
        let rows = match self {
            Self::Nowhere | Self::Ids(_) => return None,
            Self::All { .. } | Self::Times { .. } => {
                self.sql(scope, Direction::Ascending, binds).from
            }
            Self::Keys { index, span }
            | Self::Sorted {
                index,
                span: Some(span),
                ..
            } => {
                let index = binds.add(Bind::Integer(*index));
                let keys = key_condition(span, binds);
                format!("FROM pinyto_index_entries e WHERE e.index_id = {index}{keys}")
            }
            Self::Sorted { .. } => return None,
        };
        let bound = self.counted_to(purpose) + 1;
        Some(format!(
            "(SELECT count(*) FROM (SELECT 1 {rows} LIMIT {bound}))"
        ))
    }
}

impl Ways {
    /// How many documents match, told by indexes alone: a statement, if there is one. For ways that
    /// are exact.
    pub(super) fn count(&self, way: &Way, scope: Scope) -> Option<(String, Vec<Bind>)> {
        let mut binds = Binds::new('?');
        let by_column = |way: &Way| matches!(way, Way::All { .. } | Way::Times { .. });
        let others: Vec<&Way> = self
            .direct
            .iter()
            // That the documents are of the assembly is checked anyway.
            .filter(|other| *other != way && !(**other == ALL))
            .collect();
        if by_column(way) && others.is_empty() {
            let from = way.sql(scope, Direction::Ascending, &mut binds).from;
            return Some((format!("SELECT count(*) {from}"), binds.into_values()));
        }
        let Way::Keys { index, span } = way else {
            return None;
        };
        let index = binds.add(Bind::Integer(*index));
        let mut from = format!("FROM pinyto_index_entries e WHERE e.index_id = {index}");
        from.push_str(&key_condition(span, &mut binds));
        let _ = write!(from, " AND e.role & {VALUE}");
        if let Some(assembly) = scope.assembly {
            let assembly = binds.add(Bind::Integer(assembly.get()));
            let _ = write!(from, " AND e.assembly_id = {assembly}");
        }
        for other in others {
            let Way::Keys { index, span } = other else {
                return None;
            };
            let index = binds.add(Bind::Integer(*index));
            // A range would have to be gone through for each.
            let Span::Keys(keys) = span else {
                return None;
            };
            let keys: Vec<String> = keys
                .iter()
                .map(|key| binds.add(Bind::Bytes(key.clone())))
                .collect();
            let _ = write!(
                from,
                " AND EXISTS (SELECT 1 FROM pinyto_index_entries o WHERE o.index_id = {index}
                AND o.key IN ({}) AND o.document_id = e.document_id AND o.role & {VALUE})",
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
}
