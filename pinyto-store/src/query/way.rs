//! Which way to the documents a query takes.
//!
//! Every way leads to a superset of what matches; the condition of the query is checked at the end
//! of each. What differs is how many documents are looked at, and in which order they come.

use std::collections::HashMap;

use pinyto_core::{
    document::{DocumentId, Scope},
    query::{Direction, Path, Query, Sort, TypeClass},
};

use super::{
    constraint::{Constraint, Constraints, Span},
    entry::{GREATEST, LEAST, LONG, OVERFLOW, OVERFLOW_KEY, SEVERAL},
};

/// Of so many documents the order doesn't matter, they are read quickly.
pub(crate) const FEW: i64 = 1_000;

/// How far is counted to know which way is shorter, where sorting or removing duplicates would be
/// needed: up to there that is quicker than looking through documents for the first that match.
const SOME: i64 = 20_000;

/// How many ways are considered. Nobody asks for more, but for nobody's good.
const MAX_WAYS: usize = 8;

/// What a user's indexes are like at the moment.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    /// Number and traits by path, of those that are ready.
    pub(crate) by_path: HashMap<String, (i64, i64)>,
    /// Whether all times are in the order of their texts.
    pub(crate) times_in_order: bool,
}

impl Indexes {
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.by_path.contains_key(path.as_str())
    }

    fn of(&self, path: &Path) -> Option<(i64, i64)> {
        self.by_path.get(path.as_str()).copied()
    }
}

/// A way to documents.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Way {
    /// To none.
    Nowhere,
    /// To these.
    Ids(Vec<DocumentId>),
    /// To those between the identifiers, in their order.
    All {
        from: Option<DocumentId>,
        to: Option<DocumentId>,
    },
    /// To those between the times, in their order.
    Times { from: i64, to: i64 },
    /// To those that the index lists under one of these keys, in the order of identifiers.
    Keys { index: i64, span: Span },
    /// To those that the index lists in this role, in the order of keys.
    Sorted {
        index: i64,
        role: i64,
        span: Option<Span>,
    },
}

impl Way {
    fn is_by_id(&self) -> bool {
        !matches!(self, Self::Times { .. } | Self::Sorted { .. })
    }

    /// Whether this leads to what the other does, only in another order.
    fn is_way_of(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Sorted {
                    index,
                    span: Some(span),
                    ..
                },
                Self::Keys {
                    index: other_index,
                    span: other_span,
                },
            ) => index == other_index && span == other_span,
            (one, other) => one == other,
        }
    }

    /// How far the length of the way is counted.
    pub(crate) const fn counted_to(&self, purpose: Purpose) -> i64 {
        match (purpose, self) {
            (Purpose::All, _) => SOME,
            (Purpose::First, Self::Keys { span, .. }) if !span.is_one_key() => SOME,
            (Purpose::First, _) => FEW,
        }
    }

    /// Whether that is as far as was counted.
    const fn is_long(&self, length: i64, purpose: Purpose) -> bool {
        length > self.counted_to(purpose)
    }
}

/// The ways there are for a query.
#[derive(Debug)]
pub(crate) struct Ways {
    /// Through what the query asks for.
    pub(crate) direct: Vec<Way>,
    /// In the order that is wanted, if there is one.
    sorted: Option<Way>,
    /// Whether `direct` lead to nothing but what matches, all of them together.
    pub(crate) is_exact: bool,
}

/// What a way is chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// All documents that match are needed, in whatever order.
    All,
    /// The first in order are needed.
    First,
}

impl Ways {
    pub(crate) fn of(query: &Query, sort: Option<&Sort>, scope: Scope, indexes: &Indexes) -> Self {
        let constraints = Constraints::of(query);
        let mut is_exact = constraints.is_complete;
        let mut usable: Vec<(&Path, Span)> = Vec::new();
        for constraint in constraints.all {
            match usable_span(constraint, indexes) {
                Some((path, span, own_is_exact)) => {
                    is_exact &= own_is_exact;
                    let is_room = usable.len() < MAX_WAYS;
                    let merged = usable
                        .iter_mut()
                        .filter(|(other, _)| *other == path && has_one_value(path, indexes))
                        .find_map(|(_, other)| Some((other.intersected(&span)?, other)));
                    match merged {
                        Some((both, other)) => *other = both,
                        None if is_room => usable.push((path, span)),
                        None => is_exact = false,
                    }
                }
                None => is_exact = false,
            }
        }
        let sorted = sort.and_then(|sort| sorted_way(sort, &usable, indexes));
        let mut direct: Vec<Way> = usable
            .into_iter()
            .filter_map(|(path, span)| direct_way(path, span, indexes))
            .collect();
        if scope.assembly.is_some() && !direct.iter().any(|way| matches!(way, Way::All { .. })) {
            direct.push(ALL);
        }
        Self {
            direct,
            sorted,
            is_exact,
        }
    }

    /// Whether it has to be known how long the ways are to choose one.
    pub(crate) fn need_lengths(&self, purpose: Purpose) -> bool {
        match self.direct.as_slice() {
            [] => false,
            [only] => {
                let sorted = self.sorted.as_ref();
                let is_sorted = sorted.is_some_and(|sorted| sorted.is_way_of(only));
                let is_by_id = self.is_by_id() && only.is_in_order_at_once();
                let is_short = matches!(only, Way::Nowhere | Way::Ids(_));
                purpose == Purpose::First && !(is_sorted || is_by_id || is_short)
            }
            _ => true,
        }
    }

    fn is_by_id(&self) -> bool {
        matches!(self.sorted, Some(Way::All { .. }))
    }

    fn are_in_order(&self, way: &Way) -> bool {
        self.is_by_id() && way.is_by_id()
    }

    /// All ways, with whether the documents come in the order that is wanted.
    #[cfg(test)]
    pub(crate) fn all(&self) -> Vec<(Way, bool)> {
        let direct = self.direct.iter();
        let direct = direct.map(|way| (way.clone(), self.are_in_order(way)));
        let sorted = self.sorted.iter().map(|way| (way.clone(), true));
        direct.chain(sorted).chain([(ALL, false)]).collect()
    }

    /// Whether all documents that the way leads to match.
    #[cfg(feature = "sqlite")]
    pub(crate) fn leads_to_nothing_else(&self, way: &Way) -> bool {
        // Whose documents they are is looked at on every way.
        let mut wanted = self.direct.iter().filter(|direct| **direct != ALL);
        self.is_exact
            && match (wanted.next(), wanted.next()) {
                (None, _) => *way == ALL,
                (Some(only), None) => way.is_way_of(only),
                _ => false,
            }
    }

    /// The way that has the first documents in order at its beginning and leads to nothing but what
    /// matches, except for documents of other assemblies.
    #[cfg(feature = "sqlite")]
    pub(crate) fn at_once(&self) -> Option<&Way> {
        let direct = self.direct.iter().find(|direct| **direct != ALL);
        let way = direct.unwrap_or(&ALL);
        let is_at_once = self.is_by_id() && way.is_by_id() && way.is_in_order_at_once();
        (is_at_once && self.leads_to_nothing_else(way)).then_some(way)
    }

    /// The way to take, and whether the documents come in the order that is wanted. `lengths` has
    /// one for each of the direct ways, or is empty.
    pub(crate) fn choose(&self, purpose: Purpose, lengths: &[i64]) -> (Way, bool) {
        let in_order = |way: &Way| self.are_in_order(way);
        let length = |at: usize| lengths.get(at).copied().unwrap_or(0);
        let best = self
            .direct
            .iter()
            .enumerate()
            .map(|(at, way)| (length(at), way))
            .min_by_key(|(length, way)| (*length, !way.is_in_order_at_once()));
        match (best, purpose, &self.sorted) {
            (Some((length, way)), Purpose::First, Some(sorted)) if way.is_long(length, purpose) => {
                // Long, but with the first in order at its beginning.
                let at_once = self
                    .direct
                    .iter()
                    .find(|way| in_order(way) && way.is_in_order_at_once());
                match at_once {
                    Some(way) => (way.clone(), true),
                    None => (sorted.clone(), true),
                }
            }
            (Some((_, way)), Purpose::First, Some(sorted)) if sorted.is_way_of(way) => {
                (sorted.clone(), true)
            }
            (Some((_, way)), ..) => (way.clone(), in_order(way)),
            (None, Purpose::First, Some(sorted)) => (sorted.clone(), true),
            (None, ..) => (ALL, false),
        }
    }
}

pub(crate) const ALL: Way = Way::All {
    from: None,
    to: None,
};

impl Way {
    /// Whether the first document is there without looking at all others.
    const fn is_in_order_at_once(&self) -> bool {
        match self {
            Self::Keys { span, .. } => span.is_one_key(),
            _ => true,
        }
    }
}

fn has_one_value(path: &Path, indexes: &Indexes) -> bool {
    match path.as_str() {
        "_id" | "time" => true,
        _ => indexes
            .of(path)
            .is_some_and(|(_, traits)| traits & SEVERAL == 0),
    }
}

/// What of a constraint an index can answer, and whether exactly.
fn usable_span<'q>(
    constraint: Constraint<'q>,
    indexes: &Indexes,
) -> Option<(&'q Path, Span, bool)> {
    let Constraint {
        path,
        span,
        is_exact,
    } = constraint;
    match (span, indexes.of(path)) {
        (span @ Span::TimeRange { .. }, _) => {
            indexes.times_in_order.then_some((path, span, is_exact))
        }
        (span @ (Span::Nothing | Span::Ids(_) | Span::IdRange { .. }), _) => {
            Some((path, span, is_exact))
        }
        (Span::Keys(mut keys), Some((_, traits))) if traits & OVERFLOW != 0 => {
            keys.insert(0, OVERFLOW_KEY.to_vec());
            Some((path, Span::Keys(keys), false))
        }
        (Span::KeyRange { .. }, Some((_, traits))) if traits & OVERFLOW != 0 => None,
        (span, Some(_)) => Some((path, span, is_exact)),
        (_, None) => None,
    }
}

fn direct_way(path: &Path, span: Span, indexes: &Indexes) -> Option<Way> {
    Some(match span {
        Span::Nothing => Way::Nowhere,
        Span::Ids(ids) => Way::Ids(ids),
        Span::IdRange { from, to } => Way::All { from, to },
        Span::TimeRange { from, to } => Way::Times { from, to },
        span @ (Span::Keys(_) | Span::KeyRange { .. }) => Way::Keys {
            index: indexes.of(path)?.0,
            span,
        },
    })
}

/// The way in the order that is wanted, if an index has it.
fn sorted_way(sort: &Sort, usable: &[(&Path, Span)], indexes: &Indexes) -> Option<Way> {
    let asked = |wanted: &Path| {
        usable
            .iter()
            .find(|(path, _)| *path == wanted)
            .map(|(_, span)| span.clone())
    };
    let Some(path) = sort.path.as_ref().filter(|path| path.as_str() != "_id") else {
        let by_id = |(_, span): &(&Path, Span)| match span {
            Span::IdRange { from, to } => Some(Way::All {
                from: *from,
                to: *to,
            }),
            _ => None,
        };
        return Some(usable.iter().find_map(by_id).unwrap_or(ALL));
    };
    if path.as_str() == "time" {
        return indexes.times_in_order.then(|| match asked(path) {
            Some(Span::TimeRange { from, to }) => Way::Times { from, to },
            _ => Way::Times {
                from: i64::MIN,
                to: i64::MAX,
            },
        });
    }
    let (index, traits) = indexes.of(path)?;
    if traits & LONG != 0 {
        return None;
    }
    let role = match sort.direction {
        Direction::Ascending => LEAST,
        Direction::Descending => GREATEST,
    };
    let span = asked(path).filter(|span| {
        // What is found by a value is sorted by it, if it has no other.
        has_one_value(path, indexes)
            && matches!(span, Span::KeyRange { class, .. } if *class != TypeClass::Array)
    });
    Some(Way::Sorted { index, role, span })
}
