//! Assemblies of the program itself: those that come with the server, and an application's.

use super::{AssemblyRef, AssemblySource};
use crate::{
    cloud::Cloud,
    error::Error,
    id::UserId,
    user::{User, UserName},
};

impl Cloud {
    /// Makes sure that an assembly of the program's own is there as `source` has it, for users to
    /// install: saves it, or replaces the one of its name (whoever installed it keeps it). To be
    /// called at each start; it writes only what differs.
    ///
    /// Its author is an account without any key, made if there is none: nobody logs in as it, so
    /// nobody else changes its assemblies. An account that somebody can log in to is refused,
    /// whatever it has published. Its name had better be among
    /// [`Settings::reserved_user_names`](crate::Settings::reserved_user_names), so that nobody takes
    /// it before the first start. The limits of authors hold, and code is checked as any author's.
    ///
    /// ```
    /// # use pinyto_core::{Cloud, Error, assembly::*, user::UserName};
    /// # async fn at_the_start(cloud: &Cloud) -> Result<(), Error> {
    /// let hello = Function::new(FunctionName::parse("hello")?, "return {\"hello\": request.user}");
    /// let source = AssemblySource::builder(AssemblyName::parse("Greetings")?)
    ///     .description("Says hello.")
    ///     .functions([hello])
    ///     .build()?;
    /// cloud.publish_assembly(&UserName::parse("app")?, &source).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::AuthorHasKeys`] if somebody can log in as the author, [`Error::ReservedUserName`] if
    /// the name is part of a fixed route; [`Error::LimitReached`]; [`Error::InvalidAssembly`] if there
    /// is a runtime that can't run the code. Then nothing is published.
    pub async fn publish_assembly(
        &self,
        author: &UserName,
        source: &AssemblySource,
    ) -> Result<(), Error> {
        if author.is_reserved() && *author != UserName::bundled_author() {
            return Err(Error::ReservedUserName);
        }
        let Some(author) = self.unless_published(author, source).await? else {
            return Ok(());
        };
        self.check_code_in_task(author, source).await?;
        let limits = self.settings().author_limits;
        self.save_as(author, Some(source.name()), source, limits)
            .await
    }

    /// The keyless author, unless the assembly is there as `source` has it.
    pub(super) async fn unless_published(
        &self,
        author: &UserName,
        source: &AssemblySource,
    ) -> Result<Option<UserId>, Error> {
        let User { id, name } = self.keyless_author(author).await?;
        let assembly = AssemblyRef {
            author: name,
            name: source.name().clone(),
        };
        let present = self.store().assemblies().find(&assembly).await?;
        Ok(present
            .is_none_or(|present| present.source != *source)
            .then_some(id))
    }

    /// An account without keys never gets one: who adds a key has to be logged in.
    async fn keyless_author(&self, name: &UserName) -> Result<User, Error> {
        let users = self.store().users();
        let author = match users.find(name).await? {
            Some(author) => author,
            // Somebody may register it just now.
            None => users.ensure_keyless(name, self.now()).await?,
        };
        if self.store().keys().list(author.id).await?.is_empty() {
            Ok(author)
        } else {
            Err(Error::AuthorHasKeys {
                author: author.name,
            })
        }
    }
}
