//! Tracehound's SQL functions, usable in any DataFusion session.
//!
//! | function | |
//! | --- | --- |
//! | `attribute(map, 'key' [, 'type'])` | one attribute, typed: what `attributes['key']` means |
//! | `id_hex(id)` | an id as lowercase hex text |
//! | `trace_actors(span_id, parent_span_id, start_time, user_id, roles)` | who acted, for each span of a trace |
//! | `trace_path(service_name, span_id, parent_span_id, start_time)` | the services of a trace, in the order they were entered |
//!
//! Nothing here does I/O or knows tables.

mod attribute;
mod id_hex;
pub mod semconv;
mod span_rows;
mod trace_actors;
mod trace_path;

use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

pub use attribute::{
    Attribute, Kind, ReadPromoted, attribute, is_attribute_map, kind_of_call, read_promoted, whole_map_function,
};
pub use id_hex::{IdHex, id_hex};
pub use trace_actors::TraceActors;
pub use trace_path::TracePath;

/// The scalar functions.
pub fn scalar_functions() -> Vec<Arc<ScalarUDF>> {
    vec![attribute::udf(), id_hex::udf()]
}

/// The aggregate functions.
pub fn aggregate_functions() -> Vec<Arc<AggregateUDF>> {
    vec![Arc::new(AggregateUDF::from(TraceActors::default())), Arc::new(AggregateUDF::from(TracePath::default()))]
}
