//! Looks at documents: small ones at once, where they are; others, and those that turn out to
//! take long, on a thread for it.

use std::{sync::Arc, time::Duration};

use pinyto_core::{
    document::tree_size,
    query::{Query, Watch},
};
use tokio::time::Instant;

use super::{
    evaluation::{Evaluations, SMALL},
    gather::{Candidate, Gather},
    stop::Stop,
};

/// What takes longer is given up and goes on elsewhere.
const QUICK: Duration = Duration::from_millis(1);

/// A regular expression that might take longer than a millisecond is looked for elsewhere.
const QUICK_SEARCH: u64 = 128 * 1024;

/// Looks at the documents of one query.
pub(crate) struct Judge<'a> {
    evaluations: &'a Evaluations,
    query: &'a Query,
    /// The same, for other threads; made when it is first needed.
    shared: Option<Arc<Query>>,
    deadline: Option<Instant>,
    /// What is looked at where it is takes so many bytes as values.
    small: usize,
}

impl<'a> Judge<'a> {
    pub(crate) const fn new(
        evaluations: &'a Evaluations,
        query: &'a Query,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            evaluations,
            query,
            shared: None,
            deadline,
            small: SMALL,
        }
    }

    /// Has the document taken, if it matches; also says whether more are wanted.
    pub(crate) async fn judge<G: Gather>(
        &mut self,
        mut candidate: Candidate,
        mut gather: G,
    ) -> Result<(G, bool), Stop> {
        let needs_values = G::NEEDS_VALUES || !candidate.is_known_to_match();
        let size = match candidate.body() {
            body if needs_values => tree_size(body),
            body => body.len(),
        };
        if size <= self.small {
            match self.quickly(&mut candidate, &mut gather) {
                Some(result) => return result.map(|wants_more| (gather, wants_more)),
                // Others like it will take as long.
                None => self.small = size / 2,
            }
        }
        let query = (!candidate.is_known_to_match()).then(|| {
            let shared = self.shared.get_or_insert_with(|| self.query.clone().into());
            Arc::clone(shared)
        });
        let work = move |watch: &mut Watch<'_>| {
            let wants_more = consider(query.as_deref(), &mut candidate, &mut gather, watch);
            wants_more.map(|wants_more| (gather, wants_more))
        };
        self.evaluations.run(size, self.deadline, work).await?
    }

    /// None if it would take long.
    fn quickly<G: Gather>(
        &self,
        candidate: &mut Candidate,
        gather: &mut G,
    ) -> Option<Result<bool, Stop>> {
        let began = Instant::now();
        let mut is_slow = || began.elapsed() > QUICK;
        let mut watch = Watch::new(&mut is_slow).quick_searches(QUICK_SEARCH);
        let query = (!candidate.is_known_to_match()).then_some(self.query);
        match consider(query, candidate, gather, &mut watch) {
            Err(Stop::Evaluation(_)) => None,
            result => Some(result),
        }
    }
}

fn consider<G: Gather>(
    query: Option<&Query>,
    candidate: &mut Candidate,
    gather: &mut G,
    watch: &mut Watch<'_>,
) -> Result<bool, Stop> {
    if let Some(query) = query
        && !query.matches_within(candidate.document()?, watch)?
    {
        return Ok(true);
    }
    gather.take(candidate, watch)
}
