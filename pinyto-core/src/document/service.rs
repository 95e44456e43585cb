use std::ops::Deref;

use serde_json::{Map, Value};

use super::{
    Document, DocumentId, NewDocument, Scope, Search,
    access::DocumentAccess,
    new_document::{is_too_deep, take_apart},
};
use crate::{
    assembly::{AssemblyCounts, AssemblyRef},
    cloud::Cloud,
    error::Error,
    job::JobRef,
    query::{Path, Query},
    session::{Session, SessionClaim},
    usage::Usage,
};

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
    /// `job` that names a job of hers queues it. [Doesn't ask](super#sessions) whether the session
    /// lives.
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
        let mut fields = Map::new();
        fields.insert("type".into(), kind.into());
        fields.insert("tags".into(), tags.into());
        fields.insert("data".into(), data);
        let job = JobRef::of_document(&fields).map_err(|_| Error::UnknownJob)?;
        let documents = DocumentAccess::new(self.clone(), Scope::all_of(session.user.id));
        documents.insert(assembly, fields, job, None).await
    }

    /// The document of the user with that identifier, whichever assembly stored it. [Doesn't
    /// ask](super#sessions) whether the session lives.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaExceeded`] if she has used up her CPU time: reading documents takes of it
    /// what the store works for it.
    pub async fn find_document(
        &self,
        session: &Session,
        id: DocumentId,
    ) -> Result<Option<Document>, Error> {
        self.charged(session).await?.find(id).await
    }

    /// The documents of the user that a search asks for, whichever assemblies stored them; at most
    /// [`QueryLimits::found`](super::QueryLimits::found).
    ///
    /// All of them together have at most
    /// [`CodeLimits::service_bytes`](crate::runtime::CodeLimits::service_bytes) bytes as JSON, and
    /// in memory many times that. Who only passes them on asks for their text:
    /// [`Cloud::search_documents_as_json`]. [Doesn't ask](super#sessions) whether the session lives.
    ///
    /// # Errors
    ///
    /// [`Error::QueryGivenUp`] if it takes more than
    /// [`Settings::query_limits`](crate::Settings::query_limits) allow; otherwise as
    /// [`Cloud::find_document`].
    pub async fn search_documents(
        &self,
        session: &Session,
        search: Search,
    ) -> Result<Vec<Document>, Error> {
        self.charged(session).await?.search(search).await
    }

    /// [`Cloud::search_documents`] as the text of a JSON array of [`Document::to_json`]. [Doesn't
    /// ask](super#sessions) whether the session lives.
    ///
    /// # Errors
    ///
    /// As [`Cloud::search_documents`].
    pub async fn search_documents_as_json(
        &self,
        session: &Session,
        search: Search,
    ) -> Result<String, Error> {
        self.charged(session).await?.search_text(search).await
    }

    /// How many documents of the user a query asks for. [Doesn't ask](super#sessions) whether the
    /// session lives.
    ///
    /// # Errors
    ///
    /// As [`Cloud::search_documents`].
    pub async fn count_documents(&self, session: &Session, query: &Query) -> Result<u64, Error> {
        self.charged(session).await?.count(query).await
    }

    /// The [different values](Path::distinct_values) at a path of the user's documents that a
    /// query asks for, in the [order of values](crate::query::compare). [Doesn't ask](super#sessions)
    /// whether the session lives.
    ///
    /// # Errors
    ///
    /// As [`Cloud::search_documents`].
    pub async fn distinct_values(
        &self,
        session: &Session,
        query: &Query,
        path: &Path,
    ) -> Result<Vec<Value>, Error> {
        self.charged(session).await?.distinct(query, path).await
    }

    /// Gives a document of the user the fields and the time that `document` has. The assembly that
    /// stored it stays, and it queues no job.
    ///
    /// It replaces whatever is stored by then: what others have saved since `document` was read is
    /// lost, so the last writer wins. [Doesn't ask](super#sessions) whether the session lives.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownDocument`], [`Error::DocumentTooDeep`] (if a field has more than
    /// [`NewDocument::MAX_DEPTH`] levels), [`Error::StorageFull`] if it grows. A refused save changes
    /// nothing.
    pub async fn save_document(&self, session: &Session, document: Document) -> Result<(), Error> {
        let Document {
            id,
            time,
            mut fields,
            ..
        } = document;
        if fields.values().any(is_too_deep) {
            take_apart(Value::Object(fields));
            return Err(Error::DocumentTooDeep);
        }
        for given in ["_id", "time", "assembly"] {
            fields.remove(given);
        }
        let documents = DocumentAccess::new(self.clone(), Scope::all_of(session.user.id));
        documents.save(id, fields, Some(time)).await
    }

    /// Removes a document of the user; says whether there was one. [Doesn't ask](super#sessions)
    /// whether the session lives.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and what comes of it.
    pub async fn remove_document(&self, session: &Session, id: DocumentId) -> Result<bool, Error> {
        let documents = DocumentAccess::new(self.clone(), Scope::all_of(session.user.id));
        documents.remove(id).await
    }

    /// The user's documents to be read, unless she is over her quota.
    async fn charged(&self, session: &Session) -> Result<Charged, Error> {
        let user = session.user.id;
        self.check_cpu_quota(user).await?;
        let documents = DocumentAccess::new(self.clone(), Scope::all_of(user));
        Ok(Charged(documents))
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

/// Documents of a user, to whom the work is booked that has been done however it ended.
struct Charged(DocumentAccess);

impl Deref for Charged {
    type Target = DocumentAccess;

    fn deref(&self) -> &DocumentAccess {
        &self.0
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        let (user, work) = (self.0.scope().user, self.0.ledger().work());
        if !work.is_zero() {
            self.0.cloud().book(user, work);
        }
    }
}
