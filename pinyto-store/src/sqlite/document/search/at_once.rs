//! The first few documents in one row.
//!
//! Each row that SQLite's thread hands over may cost two changes of thread, which is more than
//! finding a small document.

use pinyto_core::document::{DocumentId, Search};
use serde_json::value::RawValue;
use sqlx::SqliteConnection;
use tokio::time::Instant;

use super::{
    End, ROWS_AHEAD, Reading,
    statement::{IS_LONG, ReadAhead, SHORT_BODY, Statement},
};
use crate::{
    query::{
        dialect::{Bind, Binds},
        gather::{Answer, InOrder},
        judge::Judge,
        way::{FEW, Way},
    },
    row::{corrupt, document::BODY},
};

/// Identifier, assembly, time, size and body, which isn't an object if it was left out or is
/// damaged.
type Element<'t> = (&'t str, String, i64, i64, &'t RawValue);

impl Reading<'_> {
    /// Whether so few are wanted that they are found at once, if there is a way for it.
    pub(super) fn takes_at_once(&self, search: &Search) -> bool {
        let enough = search.skip.saturating_add(search.limit);
        // What is skipped would be made for nothing.
        let is_worth_it = search.skip <= search.limit;
        self.read_ahead == ReadAhead::Many && enough <= ROWS_AHEAD as u64 && is_worth_it
    }

    /// The first documents along this way, which leads to nothing but what matches and documents
    /// of other assemblies; nothing if too many of those are in between. The transaction ends.
    pub(super) async fn at_once<A: Answer>(
        &mut self,
        db: &mut SqliteConnection,
        search: &Search,
        way: &Way,
    ) -> Result<Option<A>, End> {
        let enough = search.skip.saturating_add(search.limit);
        let most = enough.min(self.limits.examined.saturating_add(1));
        let statement = self.first(search, way, most).last();
        let rows: Vec<(String, bool)> = statement.query()?.fetch_all(db).await?;
        self.is_over = true;
        let Some((elements, are_all)) = rows.first() else {
            return Ok(None);
        };
        let elements: Vec<Element<'_>> = serde_json::from_str(elements).map_err(corrupt(BODY))?;
        if !are_all && (elements.len() as u64) < most {
            return Ok(None);
        }
        let mut judge = Judge::new(self.evaluations, self.query, self.deadline());
        let mut in_order = InOrder::new(search, &self.limits);
        let mut turn = Instant::now();
        for (id, assembly, time, size, body) in elements {
            let id: DocumentId = id.parse().map_err(corrupt("pinyto_documents.id"))?;
            // What stands for a body is a text.
            let body = body.get().trim_matches('"').to_owned();
            let row = (id.as_bytes().to_vec(), assembly, time, size, Some(body));
            (in_order, _) = self.take(row, &mut judge, in_order, &mut turn).await?;
        }
        Ok(Some(in_order.answer))
    }

    /// At most so many documents as JSON, and whether there are no more.
    fn first(&self, search: &Search, way: &Way, most: u64) -> Statement {
        let mut binds = Binds::new('?');
        let (from, are_all) = way.beginning(
            self.scope,
            search.sort.direction,
            FEW.unsigned_abs(),
            &mut binds,
        );
        let most = binds.add(Bind::Integer(i64::try_from(most).unwrap_or(i64::MAX)));
        let (from, order) = (from.from, from.order);
        let sql = format!(
            "SELECT json_group_array(json_array(
                lower(hex(d.id)), d.assembly, d.time, d.size, {SHORT_BODY})), {are_all}
            FROM (SELECT d.id, d.assembly, d.time, d.size, iif({IS_LONG}, NULL, d.body) AS body
                {from} ORDER BY {order} LIMIT {most} + 0) d"
        );
        Statement::new(sql, binds.into_values())
    }
}
