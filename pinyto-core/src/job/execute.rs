//! The one place where a job meets the runtime.

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::ClaimedJob;
use crate::{
    cloud::Cloud,
    runtime::{
        CodeCall, CodeLimits, CodeRuntime, Execution, Service, ServiceError, ServiceException,
        Services,
    },
};

impl Cloud {
    /// Runs the code of a claimed job for its user. Its request is empty.
    pub(super) async fn execute_job(
        &self,
        runtime: &dyn CodeRuntime,
        job: &ClaimedJob,
    ) -> Execution {
        let call = CodeCall {
            code: job.code.as_str().into(),
            user: job.user.id,
            user_name: job.user.name.clone(),
            body: "{}".into(),
            limits: CodeLimits::default(),
        };
        runtime.run(&call, &NoServices).await
    }
}

/// Until function calls and jobs share the services of a user's documents.
struct NoServices;

#[async_trait]
impl Services for NoServices {
    async fn call(&self, _: Service, _: Map<String, Value>) -> Result<Value, ServiceError> {
        Err(ServiceError::raised(
            ServiceException::Runtime,
            "This server gives jobs no access to documents or the network.",
        ))
    }
}
