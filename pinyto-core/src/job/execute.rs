//! The one place where a job meets the runtime.

use super::ClaimedJob;
use crate::{
    assembly::{CallRequest, Task},
    cloud::Cloud,
    run::{RunId, RunPart},
    runtime::{CodeRuntime, Execution},
};

impl Cloud {
    /// Runs the code of a claimed job for its user. Its request is empty.
    pub(super) async fn execute_job(
        &self,
        runtime: &dyn CodeRuntime,
        run: RunId,
        job: &ClaimedJob,
    ) -> Execution {
        let task = Task {
            run,
            user: job.user.clone(),
            assembly: job.assembly,
            assembly_name: job.job.assembly.clone(),
            part: RunPart::Job(job.job.name.clone()),
            only_own_data: job.only_own_data,
            http_hosts: job.http_hosts.clone(),
            code: job.code.as_str().into(),
            request: CallRequest::empty(),
        };
        self.execute(runtime, task).await
    }
}
