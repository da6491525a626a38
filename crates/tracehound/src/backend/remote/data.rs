//! Tasks on stored data, over the HTTP API.

use serde_json::Value;
use tracehound_server::DataTask;

use super::{ANSWER_BYTES_MAX, Remote};
use crate::failure::Failure;

impl Remote {
    /// Has the server do a task, however long it takes, and returns its report.
    pub(crate) fn data_task(&self, task: &DataTask) -> Result<Value, Failure> {
        let call = self.agent.post(format!("{}/api/v1/data/{}", self.place.url, task.name()));
        let call = self.headers().fold(call, |call, (name, value)| call.header(name, value));
        let mut reply = call.send_json(task.body()).map_err(|error| self.unreachable(&error))?;
        if !reply.status().is_success() {
            return Err(self.problem(&mut reply, ""));
        }
        reply.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_json().map_err(|error| self.unreachable(&error))
    }

    /// Reads a list of the stored data: `tenants` or `quarantine`.
    pub(crate) fn data_list(&self, name: &str) -> Result<Vec<Value>, Failure> {
        let call = self.agent.get(format!("{}/api/v1/data/{name}", self.place.url));
        let call = self.headers().fold(call, |call, (name, value)| call.header(name, value));
        let mut reply = call.call().map_err(|error| self.unreachable(&error))?;
        if !reply.status().is_success() {
            return Err(self.problem(&mut reply, ""));
        }
        let mut answer: Value = reply
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_json()
            .map_err(|error| self.unreachable(&error))?;
        match answer.get_mut(name).map(Value::take) {
            Some(Value::Array(rows)) => Ok(rows),
            _ => Err(Failure::failed("protocol", format!("the server's answer has no {name}"))
                .hint("is the server of this release?")),
        }
    }
}
