//! `/api/v1/data`: what a tenant has stored, and what can be done to it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde_json::{Value, json};
use tracehound_query::QueryRequest;
use tracehound_schema::Dataset;

use super::body;
use super::problem::Problem;
use super::query::{Pairs, caller, document, form, read, run as run_query};
use super::reply::reply;
use super::request::{only, segment};
use crate::app::App;
use crate::data_task::{DataList, DataTask, DataTaskContext, DataTaskError, list_sql, tenants as held};

/// What the query string of a list may say.
const LIST: &[&str] = &["dataset", "format", "rows"];

/// What can be looked at.
const LISTS: [&str; 4] = ["tenants", "partitions", "files", "quarantine"];

/// Lists the caller's tenants, or of its tenant the hours, the live files, or the files in quarantine.
pub(crate) async fn look(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    pairs: Pairs,
) -> Result<Response, Problem> {
    let name = segment(name)?;
    if name == "tenants" {
        // A key for several tenants need not choose one to see which they are.
        let only = app.keys.tenants(|name| headers.get(name)?.to_str().ok())?;
        return Ok(document(&json!({"tenants": held(&app.engine, only)})));
    }
    let caller = caller(&app, &headers)?;
    let what = match name.as_str() {
        "partitions" => DataList::Partitions,
        "files" => DataList::Files,
        "quarantine" => {
            let found = app.engine.maintenance().quarantined(&caller.tenant).await.map_err(storage_problem)?;
            return Ok(document(&json!({"quarantine": found})));
        }
        _ => return Err(nothing(&name, "list", &LISTS)),
    };
    let pairs = read(pairs)?;
    only(&pairs, LIST)?;
    let form = form(&pairs, &headers)?;
    let dataset = pairs.iter().find(|(key, _)| key == "dataset");
    let dataset = dataset.map(|(_, name)| name.parse::<Dataset>()).transpose().map_err(Problem::bad_request)?;
    let request = QueryRequest { max_rows: Some(usize::MAX), ..QueryRequest::new(list_sql(what, dataset)) };
    reply(run_query(&app, &caller.tenant, request).await?, form).await
}

fn nothing(name: &str, what: &str, known: &[&str]) -> Problem {
    Problem::new(404, "not-found", format!("there is no {what} {name:?}: {}", known.join(", ")))
}

/// Does a task, and answers with its report.
///
/// One runs at a time, since each reads or writes much. A caller that goes away stops it between two steps.
pub(crate) async fn act(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let caller = caller(&app, &headers)?;
    let name = segment(name)?;
    if !DataTask::NAMES.contains(&name.as_str()) {
        return Err(nothing(&name, "task", &DataTask::NAMES));
    }
    no_foreign_page(&app, &headers)?;
    let body = body::read(&app.config.limits, &headers, body).await?;
    let wrong = |error| Problem::bad_request(format!("the body is not what is expected here: {error}"));
    let task = DataTask::from_body(&name, &body).map_err(wrong)?;
    let caller = if task.only_reads() { caller } else { caller.must_be_admin()? };
    let may_choose = caller.key_id.is_none();
    let backup_to = app.config.backup.to.as_deref();
    if let DataTask::Backup { to: Some(to), .. } = &task
        && !may_choose
        && backup_to != Some(to.as_str())
    {
        let detail = "on a server with keys backups go where its configuration says ([backup] to): leave \"to\" out";
        return Err(Problem::new(403, "forbidden", detail));
    }
    let report: Value = on_a_thread(async move || {
        let Ok(_permit) = app.data_tasks.try_acquire() else {
            let detail = "another data task is running: try again when it has ended";
            return Err(Problem::new(503, "busy", detail).retryable());
        };
        let retention = app.config.retention.options();
        let context = DataTaskContext {
            by: caller.name(),
            retention: retention.policy(&caller.tenant),
            backup_to: app.config.backup.to.as_deref(),
            progress: &|_, _| {},
        };
        tracing::info!(tenant = %caller.tenant, task = %name, by = %context.by, "data task");
        task.run(&app.engine, &caller.tenant, &context).await.map_err(|error| match error {
            DataTaskError::Invalid(detail) => Problem::new(422, "parameter-invalid", detail),
            DataTaskError::Storage(error) => storage_problem(error),
        })
    })
    .await?;
    Ok(document(&report))
}

/// Does work that stays on one thread, and stops it between two steps when the caller goes away.
async fn on_a_thread<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Problem>>,
{
    let runtime = tokio::runtime::Handle::current();
    // Dropped with the caller's request.
    let (_here, gone) = tokio::sync::oneshot::channel::<()>();
    let done = tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            tokio::select! {
                outcome = work() => outcome,
                _ = gone => Err(Problem::new(499, "client-closed-request", "the caller went away")),
            }
        })
    });
    done.await.map_err(|error| Problem::new(500, "internal", error.to_string()))?
}

/// Refuses what a page of somebody else's could send from the browser of a person who reaches this server:
/// a body that needs no preflight and, where no key is asked for, a host name that was bent to this machine.
fn no_foreign_page(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(415, "unsupported-media-type", "send the task as application/json"));
    }
    if app.config.keys.is_empty() && !app.config.listen.allow_unauthenticated {
        let host = text(header::HOST).unwrap_or("localhost");
        let name = host
            .rsplit_once(':')
            .map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host });
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if !name.eq_ignore_ascii_case("localhost") && address.is_err() {
            let detail =
                format!("without keys this server changes nothing for {host:?}: call it by its address or localhost");
            return Err(Problem::new(403, "forbidden", detail));
        }
    }
    Ok(())
}

fn storage_problem(error: tracehound_storage::Error) -> Problem {
    use tracehound_storage::Error as Storage;
    let (status, code) = match &error {
        Storage::NoSuchTenant { .. } | Storage::NoSuchEntry { .. } | Storage::NoSuchFile { .. } => (404, "not-found"),
        Storage::Conflict { .. } => (409, "conflict"),
        Storage::Gone { .. } => (410, "gone"),
        Storage::Overloaded { .. } | Storage::Unavailable { .. } => (503, "storage-unavailable"),
        Storage::Poisoned { .. } | Storage::Closed => (503, "storage-poisoned"),
        Storage::Corrupt { .. } => (500, "storage-corrupt"),
        _ => (500, "internal"),
    };
    if code == "internal" {
        tracing::error!(%error, "data task failed");
        return Problem::new(status, code, "the task failed; the server's log says why");
    }
    let problem = Problem::new(status, code, error.to_string());
    if matches!(status, 409 | 503) { problem.retryable() } else { problem }
}
