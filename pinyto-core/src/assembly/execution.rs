//! Running the code of an assembly for a user: function calls and jobs meet here.

use std::sync::Arc;

use super::{AssemblyRef, CallAnswer, CallRequest};
use crate::{
    cloud::Cloud,
    document::{CallServices, Scope},
    egress::HostPattern,
    error::Error,
    id::{AssemblyId, UserId},
    run::{Run, RunError, RunId, RunOutcome, RunPart},
    runtime::{CodeCall, CodeRuntime, Execution, Output},
    user::User,
};

/// Code that is to be run once.
pub(crate) struct Task {
    /// Which run that is.
    pub(crate) run: RunId,
    /// For whom.
    pub(crate) user: User,
    /// The assembly it belongs to.
    pub(crate) assembly: AssemblyId,
    /// What that is called now.
    pub(crate) assembly_name: AssemblyRef,
    /// Which of its functions or jobs it is.
    pub(crate) part: RunPart,
    /// Whether it sees only the documents that its assembly stored.
    pub(crate) only_own_data: bool,
    /// The hosts it may reach, if the assembly names them.
    pub(crate) http_hosts: Option<Vec<HostPattern>>,
    /// The Python source of its body.
    pub(crate) code: Arc<str>,
    /// What it is asked.
    pub(crate) request: CallRequest,
}

impl Cloud {
    /// Runs the code, with everything it has cost in the result.
    pub(crate) async fn execute(&self, runtime: &dyn CodeRuntime, task: Task) -> Execution {
        let scope = Scope {
            user: task.user.id,
            assembly: task.only_own_data.then_some(task.assembly),
        };
        let (assembly, hosts) = (task.assembly_name.clone(), task.http_hosts);
        let services = CallServices::new(self.clone(), task.run, scope, assembly, hosts);
        let call = CodeCall {
            code: task.code,
            user: task.user.id,
            assembly: task.assembly,
            assembly_name: task.assembly_name,
            part: task.part,
            user_name: task.user.name,
            body: task.request.text(),
            limits: self.settings().code_limits.clone(),
        };
        let mut execution = runtime.run(&call, &services).await;
        let tally = services.finish();
        execution.cpu_time += tally.work;
        disown(&mut execution.output);
        for note in &tally.notes {
            append(&mut execution.output, note);
        }
        if tally.queued_job {
            self.release_jobs(scope.user, task.run).await;
        }
        execution
    }

    /// Lets what a run queued run now, because that has ended.
    async fn release_jobs(&self, user: UserId, run: RunId) {
        match self.store().jobs().release(user, run, self.now()).await {
            Ok(_) => self.wake_scheduler(),
            // It becomes due by itself.
            Err(error) => tracing::warn!(?error, "can't release the jobs that a run has queued"),
        }
    }

    /// Calls a function for its user, and notes that as a run.
    pub(super) async fn run_function(
        &self,
        runtime: &dyn CodeRuntime,
        task: Task,
    ) -> Result<CallAnswer, Error> {
        let (id, started_at) = (task.run, self.now());
        let (user, assembly) = (task.user.id, task.assembly);
        let (assembly_name, part) = (task.assembly_name.clone(), task.part.clone());
        let begun = tokio::time::Instant::now();
        let execution = self.execute(runtime, task).await;
        let answer = match execution.outcome {
            Ok(text) => CallAnswer::from_text(text).ok_or(Error::InvalidAnswer),
            Err(error) => Err(Error::from(error)),
        };
        let outcome = match &answer {
            Ok(_) => RunOutcome::Succeeded,
            // Not run at all.
            Err(Error::Busy { .. } | Error::RuntimeUnavailable | Error::QuotaExceeded { .. })
                if execution.cpu_time.is_zero() =>
            {
                return answer;
            }
            Err(Error::CodeFailed(error)) => RunOutcome::Failed(error.into()),
            Err(error) => RunOutcome::Failed(RunError::new(error.code(), &error.to_string(), None)),
        };
        self.note_run(Run {
            id,
            user,
            assembly,
            assembly_name,
            part,
            started_at,
            duration: begun.elapsed(),
            cpu_time: execution.cpu_time,
            outcome,
            output: execution.output,
            attempt: 1,
        });
        answer
    }
}

/// How a line of the server's begins.
const OURS: &str = "[pinyto] ";

/// Sets apart what the code has printed as if the server had.
fn disown(output: &mut Output) {
    if output.text.starts_with(OURS) {
        output.text.insert(0, ' ');
    }
    if output.text.contains("\n[pinyto] ") {
        output.text = output.text.replace("\n[pinyto] ", "\n [pinyto] ");
    }
}

/// What the server has to say, on a line of its own behind what was printed.
fn append(output: &mut Output, note: &str) {
    if !output.text.is_empty() && !output.text.ends_with('\n') {
        output.text.push('\n');
    }
    output.text.push_str(OURS);
    // A path may have any characters.
    let note = note.chars();
    output
        .text
        .extend(note.map(|letter| if letter.is_control() { ' ' } else { letter }));
    output.text.push('\n');
}
