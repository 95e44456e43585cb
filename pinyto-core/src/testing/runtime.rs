use std::{collections::HashMap, fmt, time::Duration};

use async_trait::async_trait;

use crate::{
    id::UserId,
    runtime::{Checked, CodeCall, CodeError, CodeRuntime, Execution, Services},
};

type Script = Box<dyn Fn(&CodeCall) -> Execution + Send + Sync>;

/// A runtime that knows no Python: a closure for each text of a code says what that does.
///
/// ```
/// use pinyto_core::testing::{ScriptedRuntime, executed};
///
/// let runtime = ScriptedRuntime::default()
///     .on("return request.body", |call| executed(Ok(call.body.to_string())));
/// ```
#[derive(Default)]
pub struct ScriptedRuntime(HashMap<String, Script>);

impl ScriptedRuntime {
    /// Runs `script` for calls of this code. Any other code is a mistake in the syntax.
    #[must_use]
    pub fn on(
        mut self,
        code: &str,
        script: impl Fn(&CodeCall) -> Execution + Send + Sync + 'static,
    ) -> Self {
        self.0.insert(code.to_owned(), Box::new(script));
        self
    }

    fn script(&self, code: &str) -> Result<&Script, CodeError> {
        self.0.get(code).ok_or_else(|| {
            let missing = CodeError::syntax("there is no script for this code");
            missing.at_line(1)
        })
    }
}

/// What has used 7 ms of CPU time and printed nothing.
#[must_use]
pub fn executed(outcome: Result<String, CodeError>) -> Execution {
    Execution::new(outcome, Duration::from_millis(7))
}

#[async_trait]
impl CodeRuntime for ScriptedRuntime {
    async fn check(&self, _author: UserId, code: &str) -> Checked {
        Checked::new(self.script(code).map(|_| ()), Duration::ZERO)
    }

    async fn run(&self, call: &CodeCall, services: &dyn Services) -> Execution {
        if let Err(refused) = services.begin().await {
            return Execution::new(Err(refused), Duration::ZERO);
        }
        match self.script(&call.code) {
            Ok(script) => script(call),
            Err(error) => executed(Err(error)),
        }
    }
}

impl fmt::Debug for ScriptedRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}
