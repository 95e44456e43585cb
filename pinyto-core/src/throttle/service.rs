use super::{failures::Refusal, local::Account};
use crate::{audit::Event, cloud::Cloud, error::Error, user::UserName};

/// A try that runs. It counts as failed unless it is forgiven.
#[must_use = "a try that is dropped has failed"]
pub(crate) struct Try {
    cloud: Cloud,
    account: Option<UserName>,
    forgiven: bool,
}

impl Try {
    /// Takes the try back: it was no guess.
    pub(crate) fn forgive(mut self) {
        self.forgiven = true;
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        let (account, address) = (self.account.as_ref(), self.cloud.address());
        self.cloud.throttle().end(account, address, self.forgiven);
    }
}

impl Cloud {
    /// Refuses who has failed too often, before anything is done for him.
    pub(crate) fn refuse_guessing(&self, account: Account<'_>) -> Result<(), Error> {
        let checked = self.throttle().check(account, self.address());
        self.refuse(account, checked)
    }

    /// Lets a try begin that may turn out to be a guess, or refuses it.
    ///
    /// To be called when the turn at the processor has come. So tries that wait don't count, and
    /// those that run are as many as processors at most: fewer than a burst, unless there are
    /// more processors than that. Then that many good tries at once of one account can be refused
    /// as well; letting them through would let through as many guesses.
    pub(crate) fn begin_try(&self, account: Account<'_>) -> Result<Try, Error> {
        let begun = self.throttle().begin(account, self.address());
        self.refuse(account, begun)?;
        Ok(Try {
            cloud: self.clone(),
            account: account.cloned(),
            forgiven: false,
        })
    }

    /// Has the outcome of a try settled with those that end on other servers. To be called before
    /// anybody learns it: who is refused may not even notice that he has guessed right.
    pub(crate) async fn settle(&self, account: Account<'_>, failed: bool) -> Result<(), Error> {
        let address = self.address();
        let Some(attempt) = self.throttle().attempt(account, address, failed) else {
            return Ok(());
        };
        let settled = self.store().failures().settle(&attempt).await?;
        let learned = self.throttle().learn(account, address, &settled);
        self.refuse(account, learned)
    }

    /// Tells the other servers of a failure that is no secret and has been counted here.
    pub(crate) async fn share_failure(&self, account: Account<'_>) {
        match self.settle(account, true).await {
            Ok(()) | Err(Error::Throttled { .. }) => {}
            // Whoever fails can have this logged as often as he likes.
            Err(error) => tracing::debug!(%error, "a failed try counts on this server only"),
        }
    }

    /// Counts what has turned out to be a failure after all.
    pub(crate) async fn count_failure(&self, account: Account<'_>) {
        self.throttle().count(account, self.address());
        self.share_failure(account).await;
    }

    /// Logs only the first of the requests that are refused in a row: they cost the sender
    /// nothing, so he could fill the log.
    fn refuse(&self, account: Account<'_>, decision: Result<(), Refusal>) -> Result<(), Error> {
        decision.map_err(|Refusal { wait, is_news }| {
            if is_news {
                self.audit(Event::Throttled, account, None);
            }
            Error::Throttled { retry_after: wait }
        })
    }
}
