//! The one place where DataFusion sessions are made: one per query, over one snapshot of one tenant.

use std::sync::Arc;

use chrono::DateTime;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider,
};
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::datasource::ViewTable;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::ScalarUDF;
use datafusion::optimizer::Analyzer;
use datafusion::prelude::SessionConfig;
use object_store::ObjectStore;
use tracehound_schema::Dataset;
use tracehound_storage::{Engine, Snapshot};
use url::Url;

use crate::bounded::{self, Bounded};
use crate::planner::{
    PushAttributesBelowUnion, PushSemiJoinBelowAggregate, ReadAttributesBelowWindow, TracehoundAnalyzer,
    TracehoundPlanner,
};
use crate::provider::{DatasetTable, Source};
use crate::receipt::Counts;
use crate::views::View;
use crate::{QueryLimits, system};

/// The catalog and the schema that names without one mean.
pub(crate) const CATALOG: &str = "tracehound";
pub(crate) const SCHEMA: &str = "public";
const SYSTEM: &str = "system";
const STORE_URL: &str = "tracehound://store";

/// Functions that would tell about the server instead of the data, or reach beyond the tables.
const REMOVED: [&str; 6] = ["version", "input_file_name", "arrow_metadata", "current_setting", "input_file", "getenv"];

/// What all sessions share: functions, rules, memory, the cache of file footers.
pub(crate) struct Sessions {
    base: SessionState,
    source: Source,
}

/// A state of the data that a query looks at.
pub(crate) struct State {
    /// The schema that has its tables.
    pub(crate) schema: String,
    /// What it was.
    pub(crate) snapshot: Arc<Snapshot>,
}

/// A registry that knows one store and takes no other.
#[derive(Debug)]
struct OneStore {
    store: Arc<dyn ObjectStore>,
}

impl ObjectStoreRegistry for OneStore {
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if url.as_str().trim_end_matches('/') == STORE_URL {
            return Ok(Arc::clone(&self.store));
        }
        exec_err!("there is no store at this address")
    }
}

impl Sessions {
    pub(crate) fn new(engine: Engine, limits: &QueryLimits, threads: usize) -> Result<Self> {
        let store: Arc<dyn ObjectStore> = engine.object_store();
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(TrackConsumersPool::new(
                GreedyMemoryPool::new(limits.memory_bytes),
                std::num::NonZeroUsize::MIN,
            )))
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
            .with_object_store_registry(Arc::new(OneStore { store: Arc::clone(&store) }))
            .with_metadata_cache_limit(limits.footer_cache_bytes)
            .build_arc()?;

        let base = base_state(runtime, threads)?;
        let source = Source { engine, store, store_url: ObjectStoreUrl::parse(STORE_URL)? };
        Ok(Self { base, source })
    }

    /// The names that `sql-unknown-function` may suggest.
    pub(crate) fn function_names(&self) -> Vec<String> {
        let scalar = self.base.scalar_functions().keys();
        scalar
            .chain(self.base.aggregate_functions().keys())
            .chain(self.base.window_functions().keys())
            .cloned()
            .collect()
    }

    /// The functions with documentation, as name, syntax and description.
    pub(crate) fn documented(&self) -> Vec<(String, String, String)> {
        let scalar = self.base.scalar_functions().iter().filter_map(|(name, f)| Some((name, f.documentation()?)));
        let aggregate = self.base.aggregate_functions().iter().filter_map(|(name, f)| Some((name, f.documentation()?)));
        let window = self.base.window_functions().iter().filter_map(|(name, f)| Some((name, f.documentation()?)));
        let shown = |(name, doc): (&String, &datafusion::logical_expr::Documentation)| {
            (name.clone(), doc.syntax_example.clone(), doc.description.clone())
        };
        let mut documented: Vec<_> = scalar.chain(aggregate).chain(window).map(shown).collect();
        documented.sort();
        documented
    }

    /// A session over states of the data, the first of which has the name that no schema means. Views are planned
    /// in the order given, which must be that of their needs.
    pub(crate) async fn session(
        &self,
        states: &[State],
        views: &[View],
        counts: &Arc<Counts>,
        query_id: &str,
        now_ns: i64,
    ) -> Result<SessionState> {
        let catalog = Arc::new(MemoryCatalogProvider::new());
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.to_owned(), Arc::clone(&catalog) as Arc<dyn CatalogProvider>);
        let mut state = SessionStateBuilder::new_from_existing(self.base.clone())
            .with_session_id(query_id.to_owned())
            .with_catalog_list(Arc::new(catalogs))
            .build();
        state.execution_props_mut().query_execution_start_time = Some(DateTime::from_timestamp_nanos(now_ns));
        for (index, at) in states.iter().enumerate() {
            let public = Arc::new(MemorySchemaProvider::new());
            let internal = if index == 0 { Arc::new(MemorySchemaProvider::new()) } else { Arc::clone(&public) };
            for dataset in Dataset::ALL {
                let (snapshot, counts) = (Arc::clone(&at.snapshot), Arc::clone(counts));
                let table = DatasetTable::new(dataset, snapshot, self.source.clone(), counts);
                let schema = if dataset == Dataset::IngestRejects { &internal } else { &public };
                schema.register_table(dataset.to_string(), Arc::new(table))?;
            }
            catalog.register_schema(&at.schema, Arc::clone(&public) as Arc<dyn SchemaProvider>)?;
            if index == 0 {
                for table in system::TABLES {
                    let computed = table.over(&self.source.engine, &at.snapshot);
                    internal.register_table(table.name().to_owned(), Arc::new(computed))?;
                }
                catalog.register_schema(SYSTEM, internal)?;
            }
            if views.is_empty() {
                continue;
            }
            // Views see the tables of their own state.
            let config = state.config().clone().with_default_catalog_and_schema(CATALOG, &at.schema);
            let planner = SessionStateBuilder::new_from_existing(state.clone()).with_config(config).build();
            for view in views {
                let plan = planner
                    .create_logical_plan(view.sql)
                    .await
                    .map_err(|e| DataFusionError::Internal(format!("view {} does not plan: {e}", view.name)))?;
                let table = ViewTable::new(plan, Some(view.sql.to_owned()));
                public.register_table(view.name.to_owned(), Arc::new(table))?;
            }
        }
        Ok(state)
    }
}

/// What all sessions have before they have tables: functions, planner rules, settings.
pub(crate) fn base_state(runtime: Arc<RuntimeEnv>, threads: usize) -> Result<SessionState> {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_target_partitions(threads.max(1));
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.parquet.pushdown_filters = false;
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;

    let mut planners = SessionStateDefaults::default_expr_planners();
    planners.insert(0, Arc::new(TracehoundPlanner));
    let mut rules = Analyzer::new().rules;
    rules.insert(0, Arc::new(TracehoundAnalyzer));
    let base = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_table_factories(Default::default())
        .with_file_formats(Vec::new())
        .with_expr_planners(planners)
        .with_analyzer_rules(rules)
        .with_optimizer_rule(Arc::new(PushSemiJoinBelowAggregate))
        .with_optimizer_rule(Arc::new(ReadAttributesBelowWindow))
        .build();
    let mut physical_rules = base.physical_optimizers().to_vec();
    physical_rules.insert(0, Arc::new(PushAttributesBelowUnion));
    let mut base = SessionStateBuilder::new_from_existing(base).with_physical_optimizer_rules(physical_rules).build();
    for name in REMOVED {
        base.deregister_udf(name)?;
    }
    for name in bounded::NAMES {
        if let Ok(function) = base.udf(name)
            && function.inner().downcast_ref::<Bounded>().is_none()
        {
            base.register_udf(Arc::new(ScalarUDF::from(Bounded::new(function))))?;
        }
    }
    for function in tracehound_functions::scalar_functions() {
        base.register_udf(function)?;
    }
    for function in tracehound_functions::aggregate_functions() {
        base.register_udaf(function)?;
    }
    Ok(base)
}
