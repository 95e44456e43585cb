use std::fmt;

use serde_json::{Map, Value};

use super::{Document, DocumentId, InsertOutcome, NewEntry, QueuedJob};
use crate::{
    assembly::{AssemblyCounts, AssemblyRef},
    cloud::Cloud,
    error::{Error, Limited},
    job::{EnqueueOutcome, JobRef},
    session::{Session, SessionClaim},
    usage::Usage,
};

/// What a client stores, checked.
#[derive(Clone, PartialEq)]
pub struct NewDocument {
    kind: String,
    tags: Vec<Value>,
    data: Value,
}

/// Tells how many tags there are, and nothing of what it holds.
impl fmt::Debug for NewDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewDocument")
            .field("tags", &self.tags.len())
            .finish_non_exhaustive()
    }
}

impl NewDocument {
    /// How deep lists and objects may be nested in `data`. What is stored has to fit into answers,
    /// which have a few levels of their own.
    pub const MAX_DEPTH: usize = 90;

    /// Takes the three fields as a client sends them: `kind` is a text or a number and not empty
    /// (a number is kept as its text); `tags` is a text or a list, whose members that are no text
    /// or number are dropped, and anything else means no tags; `data` is anything
    /// nested at most [`NewDocument::MAX_DEPTH`] levels deep.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidDocumentType`], [`Error::DocumentTooDeep`].
    pub fn new(kind: Value, tags: Value, data: Value) -> Result<Self, Error> {
        if is_too_deep(&data) {
            take_apart(data);
            return Err(Error::DocumentTooDeep);
        }
        let kind = match kind {
            Value::String(text) if !text.is_empty() => text,
            Value::Number(number) => number.to_string(),
            _ => return Err(Error::InvalidDocumentType),
        };
        let tags = match tags {
            Value::Array(tags) => tags
                .into_iter()
                .filter(|tag| tag.is_string() || tag.is_number())
                .collect(),
            text @ Value::String(_) => vec![text],
            _ => Vec::new(),
        };
        Ok(Self { kind, tags, data })
    }
}

/// Whether `value` is nested deeper than is kept.
pub(super) fn is_too_deep(value: &Value) -> bool {
    is_deeper_than(value, NewDocument::MAX_DEPTH)
}

/// Whether lists and objects are nested in `value` more than so many levels deep. Doesn't recurse:
/// nobody knows yet how deep it is.
pub(crate) fn is_deeper_than(value: &Value, levels: usize) -> bool {
    let mut rest = vec![(value, 0)];
    while let Some((value, above)) = rest.pop() {
        if above == levels && (value.is_array() || value.is_object()) {
            return true;
        }
        match value {
            Value::Array(list) => rest.extend(list.iter().map(|member| (member, above + 1))),
            Value::Object(map) => rest.extend(map.values().map(|member| (member, above + 1))),
            _ => {}
        }
    }
    false
}

/// Drops `value` piece by piece, because dropping it as a whole recurses.
fn take_apart(value: Value) {
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        match value {
            Value::Array(list) => rest.extend(list),
            Value::Object(map) => rest.extend(map.into_iter().map(|(_, member)| member)),
            _ => {}
        }
    }
}

/// What a user has used, and how many assemblies there are.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// What she has used up to now.
    pub usage: Usage,
    /// How many assemblies she has written and installed, and how many there are.
    pub assemblies: AssemblyCounts,
}

impl Cloud {
    /// Stores a document for the user in the name of an assembly she has installed. One of type
    /// `job` that names a job of hers queues it.
    ///
    /// # Errors
    ///
    /// [`Error::AssemblyNotInstalled`], [`Error::StorageFull`]; of a job [`Error::UnknownJob`],
    /// [`Error::LimitReached`].
    pub async fn store_document(
        &self,
        session: &Session,
        assembly: AssemblyRef,
        document: NewDocument,
    ) -> Result<DocumentId, Error> {
        let NewDocument { kind, tags, data } = document;
        let time = self.now();
        let mut fields = Map::new();
        fields.insert("type".into(), kind.into());
        fields.insert("tags".into(), tags.into());
        fields.insert("data".into(), data);
        let id = self.document_ids().next(time);
        let job = JobRef::of_document(&fields).map_err(|_| Error::UnknownJob)?;
        let limit = self.settings().max_queued_jobs;
        let job = job.map(|job| QueuedJob {
            job,
            limit,
            hold: None,
        });
        let queues_job = job.is_some();
        let entry = NewEntry {
            document: Document {
                id,
                assembly,
                time,
                fields,
            },
            at: time,
            max_bytes: self.settings().quotas.bytes,
            job,
        };
        let documents = self.store().documents();
        match documents.insert(session.user.id, &entry).await? {
            InsertOutcome::Inserted => {
                if queues_job {
                    self.wake_scheduler();
                }
                Ok(id)
            }
            InsertOutcome::NotQueued(EnqueueOutcome::LimitReached) => Err(Error::LimitReached {
                things: Limited::QueuedJobs,
                limit: limit as u64,
            }),
            InsertOutcome::NotQueued(_) => Err(Error::UnknownJob),
            InsertOutcome::NotInstalled => Err(Error::AssemblyNotInstalled),
            InsertOutcome::StorageFull => Err(Error::StorageFull {
                limit: entry.max_bytes.unwrap_or(u64::MAX),
            }),
        }
    }

    /// What the user has used up to now, and how many assemblies there are.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownToken`] if the session has ended.
    pub async fn statistics(
        &self,
        session: impl Into<SessionClaim> + Send,
    ) -> Result<Statistics, Error> {
        let claim = session.into();
        // What she has used a moment ago counts, too, as soon as it can be written.
        self.try_flush().await;
        let read = self.store().reads().statistics(claim.id).await?;
        let (_, (usage, assemblies)) = self.admitted(claim, read).await?;
        Ok(Statistics {
            usage: usage.at(self.now()),
            assemblies,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_type_is_a_text_or_a_number_and_not_empty() {
        let kind = |value| NewDocument::new(value, Value::Null, Value::Null).map(|new| new.kind);
        assert_eq!(kind(json!("book")).unwrap(), "book");
        assert_eq!(kind(json!(5)).unwrap(), "5");
        assert_eq!(kind(json!(-0.5)).unwrap(), "-0.5");
        for bad in [json!(""), json!(null), json!(true), json!([]), json!({})] {
            assert!(matches!(kind(bad), Err(Error::InvalidDocumentType)));
        }
    }

    #[test]
    fn tags_are_texts_and_numbers_and_nothing_else() {
        let tags = |value| {
            NewDocument::new(json!("t"), value, Value::Null)
                .unwrap()
                .tags
        };
        assert_eq!(
            tags(json!(["a", 1, null, ["b"], {"c": 1}, true, 2.5])),
            [json!("a"), json!(1), json!(2.5)]
        );
        assert_eq!(tags(json!("one")), [json!("one")]);
        for none in [json!(null), json!(5), json!({"a": 1}), json!(true)] {
            assert!(tags(none).is_empty());
        }
    }

    #[test]
    fn data_may_be_nested_deeply_but_not_endlessly() {
        let list = |inner| Value::Array(vec![inner]);
        let object = |inner| Value::Object([("a".to_owned(), inner)].into_iter().collect());
        let wrappings: [&dyn Fn(Value) -> Value; 2] = [&list, &object];
        for wrap in wrappings {
            let nested = |levels| (0..levels).fold(json!(1), |inner, _| wrap(inner));
            let new = |levels| NewDocument::new(json!("t"), Value::Null, nested(levels));
            assert!(new(NewDocument::MAX_DEPTH).is_ok());
            for levels in [NewDocument::MAX_DEPTH + 1, 200_000] {
                assert!(matches!(new(levels), Err(Error::DocumentTooDeep)));
            }
        }
        let wide = vec![json!([[], {}]); 1000];
        assert!(NewDocument::new(json!("t"), Value::Null, wide.into()).is_ok());
    }
}
