//! Documents, functions of assemblies, and what they have cost.

use std::{borrow::Cow, collections::HashMap};

use pinyto_core::{
    assembly::{AssemblyName, AssemblyRef},
    document::DocumentId,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned, IgnoredAny},
};

use super::{CALL_FUNCTION, Nothing, STATISTICS, STORE, decode};
use crate::client::{
    error::{Error, Sentence},
    session::Session,
    transport::Body,
    types::{NewDocument, Statistics},
};

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "_id", deserialize_with = "id")]
    id: DocumentId,
}

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DocumentId, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}

impl Session {
    /// Stores a document in the name of an assembly that the user has installed.
    ///
    /// If this fails without an answer of the server, the document may have been stored or not.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with the server's codes `assembly_not_installed`, `storage_full`,
    /// `document_too_deep` and others.
    pub async fn store(
        &self,
        assembly: &AssemblyRef,
        document: &NewDocument,
    ) -> Result<DocumentId, Error> {
        let path = format!("/{}/{}/store", assembly.author, assembly.name);
        let body = Body::json(document)?;
        let stored: Stored = decode(&self.exchange(STORE, &path, &body).await?)?;
        Ok(stored.id)
    }

    /// Calls a function of an assembly that the user has installed. `parameters` are an object, or
    /// `()` for none; the answer is whatever the function returns, so `T` is
    /// [`serde_json::Value`] if that isn't known.
    ///
    /// A function is only called again if it has not run. If this fails without an answer of the
    /// server, it may have.
    ///
    /// ```no_run
    /// # async fn count(session: pinyto_http::client::Session)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// use pinyto_core::assembly::AssemblyRef;
    ///
    /// #[derive(serde::Serialize)]
    /// struct Search<'a> {
    ///     author: &'a str,
    /// }
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Found {
    ///     books: Vec<String>,
    /// }
    ///
    /// let books = AssemblyRef::parse("ada/Books").ok_or("no name")?;
    /// let search = Search { author: "Lovelace" };
    /// let found: Found = session.call_function(&books, "search", &search).await?;
    /// # drop(found.books);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::Function`] if the function's answer has the key `error`.
    /// - [`Error::Refused`], with the server's codes `code_exception` (then it has an
    ///   [`exception`](crate::client::Refusal::exception)), `code_limit_reached`, `unknown_function` and
    ///   others. What a function answers with the texts `error` and `code` looks like that, too.
    /// - [`Error::InvalidRequest`] if `parameters` are no object, or have the key `token`, which
    ///   is the protocol's; or `function` is no name, or `store`.
    /// - [`Error::UnexpectedAnswer`] if the answer is no `T`.
    pub async fn call_function<T: DeserializeOwned>(
        &self,
        assembly: &AssemblyRef,
        function: &str,
        parameters: &(impl Serialize + Sync),
    ) -> Result<T, Error> {
        // Also so that it stays in its segment of the path.
        let name = AssemblyName::parse(function).map_err(Error::invalid)?;
        if name.as_str() == "store" {
            return Err(Error::invalid(Sentence(
                "no function can be called store, which stores a document",
            )));
        }
        let body = parameters_body(parameters)?;
        let path = format!("/{}/{}/{name}", assembly.author, assembly.name);
        decode(&self.exchange(CALL_FUNCTION, &path, &body).await?)
    }

    /// What the user has used.
    ///
    /// # Errors
    ///
    /// As of every call: [`Error`].
    pub async fn statistics(&self) -> Result<Statistics, Error> {
        self.read(STATISTICS, &Nothing {}).await
    }
}

fn parameters_body(parameters: &impl Serialize) -> Result<Body, Error> {
    let body = Body::json(parameters)?;
    if body.as_bytes() == b"null" {
        return Ok(Body::empty_object());
    }
    let fields: HashMap<Cow<'_, str>, IgnoredAny> = serde_json::from_slice(body.as_bytes())
        .map_err(|_| Error::invalid(Sentence("the parameters of a function are an object")))?;
    if fields.contains_key("token") {
        return Err(Error::invalid(Sentence(
            "a parameter of a function can't be called token, which is the session's",
        )));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_an_object_without_the_token() {
        let body = |value| parameters_body(&value).map(|body| body.as_bytes().to_vec());
        assert_eq!(body(json!(null)).unwrap(), b"{}");
        assert_eq!(
            body(json!({"a": {"token": 1}})).unwrap(),
            br#"{"a":{"token":1}}"#
        );
        for bad in [json!([]), json!(1), json!("a"), json!({"token": "x"})] {
            let error = body(bad.clone()).unwrap_err();
            assert_eq!(error.code(), "invalid_request", "{bad}");
        }
    }
}
