use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};
use tracehound_query::Table;
use tracehound_schema::TenantId;

use crate::backend::{Local, now_ns};
use crate::cli::SchemaArgs;
use crate::failure::Failure;
use crate::output;

/// Lists the tables, or the columns of one. The schema is the release's, so no data is needed.
pub(crate) async fn run(args: SchemaArgs) -> anyhow::Result<ExitCode> {
    let scratch = Scratch::new()?;
    let local = Local::open(&scratch.0, TenantId::default_tenant()).await?;
    let tables = match &args.table {
        None => local.queries().tables().await,
        Some(name) => local.queries().describe(name).await.map(|table| vec![table]),
    };
    local.close().await?;
    let tables = tables.map_err(|error| Failure::query(&error, "").hint("`tracehound schema` lists the tables"))?;
    match args.table {
        None => {
            let row = |table: &Table| {
                let kind = if table.is_view { "view" } else { "table" };
                vec![json!(table.name), json!(kind), json!(table.columns.len()), json!(table.description)]
            };
            output::write_list(
                &["table", "kind", "columns", "description"],
                tables.iter().map(row).collect(),
                args.output.output,
            )?;
        }
        Some(_) => {
            let rows: Vec<Vec<Value>> = tables
                .iter()
                .flat_map(|table| &table.columns)
                .map(|column| {
                    vec![json!(column.name), json!(column.type_name), json!(column.nullable), json!(column.description)]
                })
                .collect();
            output::write_list(&["column", "type", "nullable", "description"], rows, args.output.output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An empty data directory that goes when dropped: planning a view needs an engine, and nobody's data.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("tracehound-schema-{}-{}", std::process::id(), now_ns()));
        // Made, not taken: a directory that somebody else put there is refused.
        std::fs::create_dir(&path)
            .map_err(|error| Failure::failed("io", format!("cannot create \"{}\": {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: it is in the system's folder for such things.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
