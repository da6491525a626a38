//! Promoted files, written here by the words of docs/format.md, answer like the maps they were made of.

use std::fs::File;
use std::path::Path;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, MapArray, RecordBatch, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Schema};
use async_trait::async_trait;
use datafusion::catalog::CatalogProvider;
use datafusion::catalog::{MemTable, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, Session};
use datafusion::common::DFSchema;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::{TableProvider, TableType};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::metrics::MetricValue;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::SessionContext;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tracehound_schema::{PROMOTED_METADATA, PromotedKind, attribute_map_type, attribute_value_fields};

use super::*;
use crate::render;
use crate::session::{CATALOG, SCHEMA, base_state};

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    /// The protobuf of a value.
    Other(Vec<u8>),
    Absent,
}

/// A row's attributes, as sent.
type Map = Vec<(String, Value)>;

/// Numbers that look random, the same in every run.
struct Seed(u64);

impl Seed {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    fn value(&mut self) -> Value {
        match self.below(12) {
            0..4 => Value::Text((*self.of(&["GET", "POST", "12", " 7 ", "8.5", "true", "", "ünï"])).to_owned()),
            4..7 => Value::Int(*self.of(&[0, 7, 12, 200, 404, 500, i64::MAX])),
            7..9 => Value::Double(*self.of(&[0.5, 7.0, -0.0, 1e300, f64::INFINITY])),
            9 => Value::Bool(self.below(2) == 0),
            10 => Value::Other(b"\x2a\x04\x0a\x02\x18\x01".to_vec()),
            _ => Value::Absent,
        }
    }

    /// A few keys, each mostly of one type, sometimes doubled, sometimes in another order.
    fn map(&mut self) -> Map {
        let mut map = Vec::new();
        for key in KEYS {
            match self.below(10) {
                0..6 => map.push((key.to_owned(), self.typical(key))),
                6 => map.push((key.to_owned(), self.value())),
                7 => map.extend([(key.to_owned(), self.typical(key)), (key.to_owned(), self.value())]),
                _ => {}
            }
        }
        if self.below(3) == 0 && !map.is_empty() {
            let by = self.below(map.len());
            map.rotate_left(by);
        }
        map
    }

    fn typical(&mut self, key: &str) -> Value {
        match key {
            "method" => Value::Text((*self.of(&["GET", "POST", "PUT"])).to_owned()),
            "http.response.status_code" | "count" => Value::Int(*self.of(&[7, 200, 404, 500])),
            "ratio" => Value::Double(*self.of(&[0.25, 0.5, 7.0])),
            "flag" => Value::Bool(self.below(2) == 0),
            _ => self.value(),
        }
    }
}

const KEYS: [&str; 6] = ["method", "http.response.status_code", "count", "ratio", "flag", "odd"];

fn maps(rows: &[Map]) -> MapArray {
    let entries: Vec<_> = rows.iter().flatten().collect();
    let part = |of: fn(&Value) -> Option<&Value>| entries.iter().map(move |(_, value)| of(value)).collect::<Vec<_>>();
    let texts = part(|v| matches!(v, Value::Text(_)).then_some(v));
    let texts = texts.into_iter().map(|v| match v {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    });
    let values = StructArray::new(
        attribute_value_fields(),
        vec![
            Arc::new(texts.collect::<StringArray>()),
            Arc::new(
                entries
                    .iter()
                    .map(|(_, v)| match v {
                        Value::Int(n) => Some(*n),
                        _ => None,
                    })
                    .collect::<Int64Array>(),
            ),
            Arc::new(
                entries
                    .iter()
                    .map(|(_, v)| match v {
                        Value::Double(n) => Some(*n),
                        _ => None,
                    })
                    .collect::<Float64Array>(),
            ),
            Arc::new(
                entries
                    .iter()
                    .map(|(_, v)| match v {
                        Value::Bool(b) => Some(*b),
                        _ => None,
                    })
                    .collect::<BooleanArray>(),
            ),
            Arc::new(BinaryArray::from_iter(entries.iter().map(|(_, v)| match v {
                Value::Other(b) => Some(b.clone()),
                _ => None,
            }))),
        ],
        Some(entries.iter().map(|(_, v)| *v != Value::Absent).collect::<Vec<_>>().into()),
    );
    let DataType::Map(entry, _) = attribute_map_type() else { unreachable!() };
    let DataType::Struct(fields) = entry.data_type().clone() else { unreachable!() };
    let keys = Arc::new(StringArray::from_iter_values(entries.iter().map(|(key, _)| key)));
    let structs = StructArray::new(fields, vec![keys, Arc::new(values)], None);
    MapArray::new(entry, OffsetBuffer::from_lengths(rows.iter().map(Vec::len)), structs, None, false)
}

fn table_schema() -> SchemaRef {
    let map = |name: &str| Field::new(name, attribute_map_type(), false);
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), map("attributes"), map("resource")]))
}

/// Rows of the table: attributes and resource.
type Row = (Map, Map);

fn batch(rows: &[Row], first_id: i64) -> RecordBatch {
    let ids = (first_id..).take(rows.len()).collect::<Int64Array>();
    let of = |part: fn(&Row) -> &Map| Arc::new(maps(&rows.iter().map(|row| part(row).clone()).collect::<Vec<_>>()));
    RecordBatch::try_new(table_schema(), vec![Arc::new(ids), of(|row| &row.0), of(|row| &row.1)]).unwrap()
}

fn is_of(value: &Value, kind: PromotedKind) -> bool {
    matches!(
        (value, kind),
        (Value::Text(_), PromotedKind::String)
            | (Value::Int(_), PromotedKind::Int)
            | (Value::Double(_), PromotedKind::Double)
            | (Value::Bool(_), PromotedKind::Bool)
    )
}

/// Splits the maps of one scope: what stays, a column a key, the orders, and which keys stay somewhere.
fn split(rows: &[Map], promoted: &[(&str, PromotedKind)]) -> (Vec<Map>, Vec<ArrayRef>, BinaryArray, Vec<bool>) {
    let place_of = |map: &Map, key: &str, value: &Value| {
        let place = promoted.iter().position(|(known, kind)| *known == key && is_of(value, *kind))?;
        (map.iter().filter(|(other, _)| other == key).count() == 1).then_some(place)
    };
    let (mut overflow, mut orders) = (Vec::new(), Vec::new());
    let mut taken = vec![vec![None; rows.len()]; promoted.len()];
    for (row, map) in rows.iter().enumerate() {
        let places: Vec<_> = map.iter().map(|(key, value)| place_of(map, key, value)).collect();
        for ((_, value), place) in map.iter().zip(&places) {
            if let Some(place) = place {
                taken[*place][row] = Some(value.clone());
            }
        }
        let kept = map.iter().zip(&places).filter(|(_, place)| place.is_none());
        overflow.push(kept.map(|(entry, _)| entry.clone()).collect::<Map>());
        let usual = places.iter().map(|place| place.unwrap_or(usize::MAX)).is_sorted();
        let codes = places.iter().map(|place| place.map_or(0xFFFF, |place| u16::try_from(place).unwrap()));
        orders.push((!usual).then(|| codes.flat_map(u16::to_le_bytes).collect::<Vec<u8>>()));
    }
    let residual = promoted.iter().map(|(key, _)| overflow.iter().flatten().any(|(other, _)| other == key)).collect();
    let columns = promoted.iter().zip(taken).map(|((_, kind), values)| -> ArrayRef {
        match kind {
            PromotedKind::String => Arc::new(
                values
                    .iter()
                    .map(|v| match v {
                        Some(Value::Text(text)) => Some(text.clone()),
                        _ => None,
                    })
                    .collect::<StringArray>(),
            ),
            PromotedKind::Int => Arc::new(
                values
                    .iter()
                    .map(|v| match v {
                        Some(Value::Int(n)) => Some(*n),
                        _ => None,
                    })
                    .collect::<Int64Array>(),
            ),
            PromotedKind::Double => Arc::new(
                values
                    .iter()
                    .map(|v| match v {
                        Some(Value::Double(n)) => Some(*n),
                        _ => None,
                    })
                    .collect::<Float64Array>(),
            ),
            PromotedKind::Bool => Arc::new(
                values
                    .iter()
                    .map(|v| match v {
                        Some(Value::Bool(b)) => Some(*b),
                        _ => None,
                    })
                    .collect::<BooleanArray>(),
            ),
        }
    });
    (overflow, columns.collect(), BinaryArray::from_iter(orders), residual)
}

/// Writes rows as a file, with these keys promoted in both scopes.
fn write(path: &Path, rows: &[Row], first_id: i64, promoted: &[(&str, PromotedKind)], group_rows: usize) {
    let whole = batch(rows, first_id);
    let (mut fields, mut columns) = (vec![Arc::clone(&whole.schema().fields()[0])], vec![Arc::clone(whole.column(0))]);
    let (mut extra_fields, mut extra_columns, mut listed) = (Vec::new(), Vec::new(), Vec::new());
    for (index, scope) in ["attributes", "resource"].into_iter().enumerate() {
        let maps_of: Vec<_> = rows.iter().map(|row| if index == 0 { row.0.clone() } else { row.1.clone() }).collect();
        let (overflow, taken, order, residual) = split(&maps_of, promoted);
        fields.push(Arc::clone(&whole.schema().fields()[index + 1]));
        columns.push(Arc::new(maps(&overflow)));
        for (((key, kind), column), residual) in promoted.iter().zip(taken).zip(residual) {
            let promoted = Promoted { scope: scope.to_owned(), key: (*key).to_owned(), kind: *kind, residual };
            extra_fields.push(Arc::new(promoted.field()));
            extra_columns.push(column);
            listed.push(promoted);
        }
        if !promoted.is_empty() {
            extra_fields.push(Arc::new(Field::new(attribute_order_column(scope), DataType::Binary, true)));
            extra_columns.push(Arc::new(order));
        }
    }
    fields.extend(extra_fields);
    columns.extend(extra_columns);
    let schema = Arc::new(Schema::new(fields));
    let mut properties = WriterProperties::builder()
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(group_rows))
        .set_column_bloom_filter_enabled(ColumnPath::from("attr.attributes.method".to_owned()), true);
    if !listed.is_empty() {
        let list = serde_json::to_string(&listed).unwrap();
        properties = properties.set_key_value_metadata(Some(vec![KeyValue::new(PROMOTED_METADATA.to_owned(), list)]));
    }
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), Arc::clone(&schema), Some(properties.build())).unwrap();
    writer.write(&RecordBatch::try_new(schema, columns).unwrap()).unwrap();
    writer.close().unwrap();
}

/// Files, and rows in memory, as the tables of datasets are.
#[derive(Debug)]
struct Files {
    paths: Vec<std::path::PathBuf>,
    memory: Vec<RecordBatch>,
}

#[async_trait]
impl TableProvider for Files {
    fn schema(&self) -> SchemaRef {
        table_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut source = ParquetSource::new(table_schema()).with_pushdown_filters(false).with_enable_page_index(true);
        if let Some(filter) = conjunction(filters.iter().cloned()) {
            source = source.with_predicate(state.create_physical_expr(filter, &DFSchema::try_from(table_schema())?)?);
        }
        let files = self
            .paths
            .iter()
            .map(|path| PartitionedFile::new(path.to_str().unwrap(), std::fs::metadata(path).unwrap().len()));
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
            .with_file_groups(FileGroup::new(files.collect()).split_files(2))
            .with_projection_indices(projection.cloned())?
            .with_expr_adapter(Some(Arc::new(PromotionAdapterFactory)))
            .build();
        let files = DataSourceExec::from_data_source(config);
        if self.memory.is_empty() {
            return Ok(files);
        }
        let memory =
            MemorySourceConfig::try_new(std::slice::from_ref(&self.memory), table_schema(), projection.cloned())?;
        UnionExec::try_new(vec![files, DataSourceExec::from_data_source(memory)])
    }
}

/// `plain`: the rows as they are. `files`: the same rows in files with different promoted keys, and in memory.
fn context(plain: RecordBatch, files: Files) -> SessionContext {
    let schema = Arc::new(MemorySchemaProvider::new());
    schema
        .register_table("plain".to_owned(), Arc::new(MemTable::try_new(table_schema(), vec![vec![plain]]).unwrap()))
        .unwrap();
    schema.register_table("files".to_owned(), Arc::new(files)).unwrap();
    let catalog = Arc::new(MemoryCatalogProvider::new());
    catalog.register_schema(SCHEMA, schema).unwrap();
    let context = SessionContext::new_with_state(base_state(Arc::new(RuntimeEnv::default()), 2).unwrap());
    context.register_catalog(CATALOG, catalog);
    context
}

async fn answer(context: &SessionContext, sql: &str) -> datafusion::common::Result<Vec<String>> {
    let batches = context.sql(sql).await?.collect().await?;
    let rows = batches.iter().flat_map(|batch| render::text_rows(batch).unwrap());
    let mut rows: Vec<_> = rows.map(|row| format!("{row:?}")).collect();
    rows.sort();
    Ok(rows)
}

/// An expression over attributes; text, number or boolean.
fn expression(seed: &mut Seed, alias: &str) -> String {
    let map = format!("{alias}.{}", seed.of(&["attributes", "resource"]));
    let access = format!("{map}['{}']", seed.of(&KEYS));
    match seed.below(9) {
        0 => format!("attribute({map}, '{}', '{}')", seed.of(&KEYS), seed.of(&["text", "int", "double", "bool"])),
        1 => format!("CAST({access} AS {})", seed.of(&["BIGINT", "DOUBLE", "BOOLEAN", "INT"])),
        2 => map,
        3 => format!("map_keys({map})"),
        4 => format!("coalesce(CAST({access} AS BIGINT), -1) + 1"),
        _ => access,
    }
}

fn condition(seed: &mut Seed, alias: &str) -> String {
    let access = format!("{alias}.{}['{}']", seed.of(&["attributes", "resource"]), seed.of(&KEYS));
    match seed.below(10) {
        0 => format!("{access} = {}", seed.of(&["'GET'", "'7'", "7", "7.0", "true", "500", "''"])),
        1 => format!("{access} >= {}", seed.of(&["7", "200", "0.3", "404"])),
        2 => format!("{access} IN ({})", seed.of(&["'GET', 'PUT'", "7, 500", "0.5, 7"])),
        3 => format!("{access} IS {}NULL", seed.of(&["", "NOT "])),
        4 => format!("{access} BETWEEN 7 AND 404"),
        5 => format!("{access} <> {}", seed.of(&["'GET'", "7", "false"])),
        6 => format!("NOT ({access} = true)"),
        7 => format!("({} AND {})", condition(seed, alias), condition(seed, alias)),
        8 => format!("({} OR {})", condition(seed, alias), condition(seed, alias)),
        _ => format!("CAST({access} AS DOUBLE) < 100"),
    }
}

/// A query over `TABLE`, whose answer does not depend on the order of rows.
fn query(seed: &mut Seed) -> String {
    let (one, two) = (expression(seed, "t"), expression(seed, "t"));
    let condition = condition(seed, "t");
    let key = *seed.of(&KEYS);
    match seed.below(8) {
        0 => format!("SELECT t.id, {one} FROM TABLE AS t"),
        1 => format!("SELECT count(*), count(t.attributes['{key}']) FROM TABLE AS t WHERE {condition}"),
        2 => format!("SELECT t.attributes['{key}'], count(*), max(t.id) FROM TABLE AS t WHERE {condition} GROUP BY 1"),
        3 => format!(
            "SELECT t.id, {one}, row_number() OVER (PARTITION BY t.resource['{key}'] ORDER BY t.id) FROM TABLE AS t"
        ),
        4 => {
            format!("SELECT t.id, {one} FROM TABLE AS t WHERE {condition} ORDER BY t.attributes['{key}'], t.id LIMIT 7")
        }
        5 => format!(
            "SELECT t.id, u.id FROM TABLE AS t JOIN TABLE AS u ON t.attributes['{key}'] = u.resource['{key}'] WHERE {condition}"
        ),
        6 => {
            format!("SELECT t.id, {one} FROM TABLE AS t WHERE {condition} UNION ALL SELECT t.id, {one} FROM TABLE AS t")
        }
        _ => format!("SELECT t.id, {one}, {two} FROM TABLE AS t WHERE {condition}"),
    }
}

/// Invariant 6: promotion changes cost, never answers.
#[tokio::test]
async fn invariant_6_promoted_files_answer_like_their_maps() {
    use PromotedKind::{Bool, Double, Int, String};
    let choices: [&[(&str, PromotedKind)]; 5] = [
        &[],
        &[("method", String), ("http.response.status_code", Int), ("count", Int), ("ratio", Double), ("flag", Bool)],
        &[("odd", String), ("method", String)],
        &[("flag", Bool), ("count", String), ("odd", Int)],
        &[("ratio", Double), ("http.response.status_code", Int), ("odd", Double)],
    ];
    let mut found = 0;
    for round in 0..6_u64 {
        let mut seed = Seed(round);
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<Row> = (0..150).map(|_| (seed.map(), seed.map())).collect();
        let mut files = Files { paths: Vec::new(), memory: vec![batch(&all[120..], 120)] };
        for (index, part) in all[..120].chunks(24).enumerate() {
            let path = dir.path().join(format!("{index}.parquet"));
            write(&path, part, i64::try_from(index * 24).unwrap(), choices[index], 10);
            files.paths.push(path);
        }
        let context = context(batch(&all, 0), files);
        for _ in 0..60 {
            let sql = query(&mut seed);
            let expected = answer(&context, &sql.replace("TABLE", "plain")).await.ok();
            found += expected.as_ref().map_or(0, Vec::len);
            let answered = answer(&context, &sql.replace("TABLE", "files")).await;
            // A statement that makes no sense, such as a number beside a word, makes none over files either.
            match (answered, expected) {
                (Err(error), Some(_)) => panic!("seed {round}: {sql}: {error}"),
                (answered, expected) => assert_eq!(answered.ok(), expected, "seed {round}: {sql}"),
            }
        }
    }
    assert!(found > 5000, "only {found} rows were compared");
}

/// What a query reads of files: row groups, row groups ruled out, bytes, and its plan.
async fn cost(context: &SessionContext, sql: &str) -> (usize, usize, usize, String) {
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    fn add(plan: &dyn ExecutionPlan, cost: &mut (usize, usize, usize)) {
        for metric in plan.metrics().iter().flat_map(|metrics| metrics.iter()) {
            match metric.value() {
                MetricValue::PruningMetrics { name, pruning_metrics } if name == "row_groups_pruned_statistics" => {
                    cost.1 += pruning_metrics.pruned();
                }
                MetricValue::PruningMetrics { name, pruning_metrics } if name == "row_groups_pruned_bloom_filter" => {
                    cost.0 += pruning_metrics.matched();
                    cost.1 += pruning_metrics.pruned();
                }
                MetricValue::Count { name, count } if name == "bytes_scanned" => cost.2 += count.value(),
                _ => {}
            }
        }
        plan.children().into_iter().for_each(|child| add(child.as_ref(), cost));
    }
    let mut found = (0, 0, 0);
    add(plan.as_ref(), &mut found);
    (found.0, found.1, found.2, displayable(plan.as_ref()).indent(false).to_string())
}

/// Rows whose attributes lie in the order of rows, with a long text that nobody asks for.
fn sorted_rows() -> Vec<Row> {
    let row = |n: i64| {
        let noise =
            format!("{:x}", u128::from(n.unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0c5b)).repeat(20);
        let attributes = vec![
            ("http.response.status_code".to_owned(), Value::Int(n)),
            ("method".to_owned(), Value::Text(format!("m{}", n * 7919 % 1000))),
            ("noise".to_owned(), Value::Text(noise)),
        ];
        (attributes, Vec::new())
    };
    (0..1000).map(row).collect()
}

#[tokio::test]
async fn accessors_prune_row_groups_and_leave_maps_unread() {
    let dir = tempfile::tempdir().unwrap();
    let all = sorted_rows();
    let promoted = [("http.response.status_code", PromotedKind::Int), ("method", PromotedKind::String)];
    let (path, wide) = (dir.path().join("promoted.parquet"), dir.path().join("plain.parquet"));
    write(&path, &all, 0, &promoted, 100);
    write(&wide, &all, 0, &[], 100);
    let context = context(batch(&all, 0), Files { paths: vec![path.clone()], memory: vec![batch(&all[..1], 0)] });
    let unpromoted = context_of(&wide);

    // Statistics rule out nine row groups of ten, and only the promoted column is read.
    let sql = "SELECT count(*) FROM files WHERE attributes['http.response.status_code'] >= 900";
    let (read, pruned, bytes, plan) = cost(&context, sql).await;
    assert_eq!((read, pruned), (1, 9), "{plan}");
    let (read, pruned, map_bytes, _) = cost(&unpromoted, sql).await;
    assert_eq!((read, pruned), (10, 0));
    assert!(bytes * 20 < map_bytes, "{bytes} bytes are read, {map_bytes} without promotion");
    // A number of another kind is as good.
    let (read, _, _, plan) =
        cost(&context, "SELECT 1 FROM files WHERE attributes['http.response.status_code'] > 949.5").await;
    assert_eq!(read, 1, "{plan}");
    // Blooms rule out what statistics cannot.
    let (read, pruned, _, plan) = cost(&context, "SELECT id FROM files WHERE attributes['method'] = 'm7919'").await;
    assert_eq!((read, pruned), (0, 10), "{plan}");
    let (read, _, _, plan) = cost(&context, "SELECT id FROM files WHERE attributes['method'] = 'm919'").await;
    assert_eq!(read, 1, "{plan}");

    // In every place of a plan.
    for sql in [
        "SELECT attributes['method'] FROM files",
        "SELECT attributes['method'], count(*) FROM files GROUP BY 1",
        "SELECT id FROM files ORDER BY attributes['method'] LIMIT 3",
        "SELECT a.id FROM files AS a JOIN files AS b ON a.attributes['method'] = b.attributes['method']",
        "SELECT attributes['method'] FROM files UNION ALL SELECT attributes['method'] FROM files",
        "SELECT id, rank() OVER (PARTITION BY attributes['method'] ORDER BY id) FROM files",
        "WITH w AS (SELECT id, attributes['method'] AS m FROM files) SELECT m, max(id) FROM w WHERE m > 'm5' GROUP BY m",
    ] {
        let (_, _, bytes, plan) = cost(&context, sql).await;
        let scans = plan.matches("file_type=parquet").count().max(1);
        assert!(bytes * 5 < map_bytes * scans, "{sql} reads {bytes} bytes:\n{plan}");
    }
}

fn context_of(path: &Path) -> SessionContext {
    context(RecordBatch::new_empty(table_schema()), Files { paths: vec![path.to_owned()], memory: Vec::new() })
}

#[tokio::test]
async fn a_list_that_does_not_parse_is_an_error() {
    let mut metadata = std::collections::HashMap::new();
    metadata.insert(PROMOTED_METADATA.to_owned(), "[{\"scope\":1}]".to_owned());
    let schema = Arc::new(table_schema().as_ref().clone().with_metadata(metadata));
    let error = PromotionAdapterFactory.create(table_schema(), schema).unwrap_err();
    assert!(error.to_string().contains(PROMOTED_METADATA), "{error}");
}
