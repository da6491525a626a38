//! The lists: tenants, hours, files, files in quarantine.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};
use tracehound_query::QueryRequest;
use tracehound_server::{DataList, list_sql};

use crate::backend::Backend;
use crate::cli::{FilesArgs, ListArgs, TenantsArgs};
use crate::output;
use crate::place::Place;
use crate::terminal::Output;

pub(super) async fn tenants(args: TenantsArgs) -> anyhow::Result<ExitCode> {
    let backend = Backend::open_any_tenant(Place::choose(&args.place)?).await?;
    let tenants = backend.data_tenants().await;
    backend.close().await?;
    let columns = ["tenant", "entry", "files", "rows", "bytes", "unflushed_rows", "flush_error"];
    write(&columns, &tenants?, args.output.output)
}

pub(super) async fn quarantine(args: TenantsArgs) -> anyhow::Result<ExitCode> {
    let backend = Backend::open(Place::choose(&args.place)?).await?;
    let files = backend.data_quarantine().await;
    backend.close().await?;
    let mut files = files?;
    for file in &mut files {
        let time = file.get("time_ns").and_then(Value::as_i64).map(tracehound_query::time::rfc3339);
        file["since"] = json!(time);
    }
    write(&["path", "since", "detail"], &files, args.output.output)
}

pub(super) async fn partitions(args: ListArgs) -> anyhow::Result<ExitCode> {
    list(&args, DataList::Partitions, args.output.output).await
}

pub(super) async fn files(args: FilesArgs) -> anyhow::Result<ExitCode> {
    if !args.live {
        return list(&args.list, DataList::Files, args.list.output.output).await;
    }
    let place = Place::choose(&args.list.place)?;
    let below = match &place {
        Place::Directory { path, .. } => format!("{}/store/", path.display()),
        Place::Server(_) => String::new(),
    };
    let backend = Backend::open(place).await?;
    let answer = backend.query(request(&args.list, DataList::Files)).await;
    backend.close().await?;
    let answer = answer?;
    let path = answer.columns.iter().position(|column| column == "path").unwrap_or_default();
    let mut out = Output::new();
    answer.for_each(|row| {
        let path = row.get(path).and_then(Value::as_str).unwrap_or_default();
        Ok(writeln!(out, "{below}{path}")?)
    })?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn list(args: &ListArgs, what: DataList, format: output::Format) -> anyhow::Result<ExitCode> {
    let backend = Backend::open(Place::choose(&args.place)?).await?;
    let answer = backend.query(request(args, what)).await;
    let written = answer.map_err(anyhow::Error::from).and_then(|answer| output::write(answer, format));
    backend.close().await?;
    written?;
    Ok(ExitCode::SUCCESS)
}

fn request(args: &ListArgs, what: DataList) -> QueryRequest {
    QueryRequest { max_rows: Some(usize::MAX), ..QueryRequest::new(list_sql(what, args.dataset)) }
}

/// Writes objects as rows of their fields.
fn write(columns: &[&str], objects: &[Value], format: output::Format) -> anyhow::Result<ExitCode> {
    let row = |object: &Value| columns.iter().map(|column| object.get(column).cloned().unwrap_or_default()).collect();
    output::write_list(columns, objects.iter().map(row).collect(), format)?;
    Ok(ExitCode::SUCCESS)
}
