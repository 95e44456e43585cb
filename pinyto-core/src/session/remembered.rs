use std::sync::Arc;

use quick_cache::sync::Cache;

use super::SessionClaim;
use crate::challenge::RequestTokenDigest;

/// Which session a request token's text belongs to, so that a token is decrypted only once.
///
/// Only a shortcut past the decryption: whether the session lives is asked of the store each
/// time. Bounded, and so is what one session may occupy, because a session token has unlimited
/// valid ciphertexts.
pub(crate) struct RememberedTokens {
    sessions: Cache<RequestTokenDigest, SessionClaim>,
    texts: Cache<SessionClaim, Arc<[RequestTokenDigest]>>,
}

/// How many texts of one session are remembered; real clients send one.
const TEXTS_PER_SESSION: usize = 4;

impl RememberedTokens {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            sessions: Cache::new(capacity),
            texts: Cache::new(capacity),
        }
    }

    pub(crate) fn get(&self, text: &RequestTokenDigest) -> Option<SessionClaim> {
        self.sessions.get(text)
    }

    /// Remembers the text; says whether an older one of the session had to be forgotten for it.
    pub(crate) fn insert(&self, text: RequestTokenDigest, session: SessionClaim) -> bool {
        let known = self.texts.get(&session);
        let known = known.as_deref().unwrap_or_default();
        if known.contains(&text) {
            // Requests that ran side by side have all decrypted it.
            self.sessions.insert(text, session);
            return false;
        }
        let surplus = (known.len() + 1).saturating_sub(TEXTS_PER_SESSION);
        let (forgotten, kept) = known.split_at(surplus);
        for text in forgotten {
            self.sessions.remove(text);
        }
        self.texts
            .insert(session, kept.iter().copied().chain([text]).collect());
        self.sessions.insert(text, session);
        !forgotten.is_empty()
    }

    pub(crate) fn forget(&self, session: SessionClaim) {
        if let Some((_, texts)) = self.texts.remove(&session) {
            for text in texts.iter() {
                self.sessions.remove(text);
            }
        }
    }
}
