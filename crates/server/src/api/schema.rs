//! `GET /api/v1/schema`: tables, columns and functions with their meaning.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::problem::Problem;
use super::query::{caller, document};
use crate::app::App;

/// What SQL can name.
pub(crate) async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    caller(&app, &headers)?;
    let tables: Vec<Value> = app
        .queries
        .tables()
        .await?
        .into_iter()
        .map(|table| {
            let columns: Vec<_> = table
                .columns
                .into_iter()
                .map(|column| {
                    json!({
                        "name": column.name, "type": column.type_name,
                        "nullable": column.nullable, "description": column.description,
                    })
                })
                .collect();
            json!({
                "name": table.name, "kind": if table.is_view { "view" } else { "table" },
                "description": table.description, "columns": columns,
            })
        })
        .collect();
    let functions: Vec<Value> = app
        .queries
        .functions()
        .into_iter()
        .map(|f| json!({"name": f.name, "syntax": f.syntax, "description": f.description}))
        .collect();
    Ok(document(&json!({"tables": tables, "functions": functions})))
}
