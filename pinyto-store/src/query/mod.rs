//! What stores on SQL databases have in common: how a query becomes SQL and look-ups in indexes.
//!
//! | file | |
//! |---|---|
//! | `pushdown.rs` | a query as an expression of SQL that is true, false, or unknown |
//! | `dialect.rs` | what a database has to be able to say for that |
//! | `entry.rs` | under which keys an index lists a document |
//! | `constraint.rs` | which keys a query leaves to be looked up |
//! | `way.rs` | which way to the documents a query takes |
//! | `gather.rs` | what is made of the documents that match |
//! | `judge.rs`, `evaluation.rs` | asking the evaluator, without keeping anybody else waiting |
//! | `column.rs` | texts that are kept as something else: `_id` and `time` |

pub(crate) mod column;
pub(crate) mod constraint;
pub(crate) mod dialect;
pub(crate) mod entry;
pub(crate) mod evaluation;
pub(crate) mod gather;
pub(crate) mod judge;
pub(crate) mod pushdown;
pub(crate) mod stop;
pub(crate) mod way;
