use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeBinaryBuilder, ListArray, ListBuilder, StringArray, StringBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit, TimestampNanosecondType};
use datafusion::common::cast::{as_fixed_size_binary_array, as_list_array, as_string_array};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::aggregate_doc_sections::DOC_SECTION_GENERAL;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Documentation, Signature, Volatility};

use crate::span_rows::{Reader, Writer};

/// `trace_actors(span_id, parent_span_id, start_time, user_id, roles)`, grouped by trace: who acted, for each span.
///
/// A list of `{span_id, actor_user_id, actor_roles, actor_role, actor_source}`. The actor is the user of the
/// span itself (`own`), else of its nearest ancestor that has one (`ancestor`), else, where the chain of
/// parents is broken, of the trace's earliest root that has one (`root`), else nobody (`none`). Roles come
/// from the span that names the user, or from one above it that names the same user; a missing role stays
/// NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct TraceActors {
    signature: Signature,
}

impl Default for TraceActors {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn utf8_list() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

fn actor_fields() -> Fields {
    Fields::from(vec![
        Field::new("span_id", DataType::FixedSizeBinary(8), false),
        Field::new("actor_user_id", DataType::Utf8, true),
        Field::new("actor_roles", utf8_list(), true),
        Field::new("actor_role", DataType::Utf8, true),
        Field::new("actor_source", DataType::Utf8, false),
    ])
}

fn actors_item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(actor_fields()), true))
}

impl AggregateUDFImpl for TraceActors {
    fn name(&self) -> &str {
        "trace_actors"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(actors_item()))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let id = DataType::FixedSizeBinary(8);
        match arg_types {
            [span, parent, time, _, roles]
                if *span == id
                    && (*parent == id || *parent == DataType::Null)
                    && matches!(time, DataType::Timestamp(..))
                    && matches!(roles, DataType::List(_) | DataType::Null) =>
            {
                let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
                Ok(vec![id.clone(), id, time, DataType::Utf8, utf8_list()])
            }
            _ => plan_err!("trace_actors takes span_id, parent_span_id, start_time, user_id and roles"),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[spans]", args.name), DataType::LargeBinary, true))])
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Actors::default()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        static DOC: LazyLock<Documentation> = LazyLock::new(|| {
            Documentation::builder(
                DOC_SECTION_GENERAL,
                "Who acted, for each span of a trace: a list of span_id, actor_user_id, actor_roles, actor_role, actor_source (own, ancestor, root, none). The view actors has it as rows.",
                "trace_actors(span_id, parent_span_id, start_time, user_id, roles)",
            )
            .with_sql_example("SELECT trace_id, trace_actors(span_id, parent_span_id, start_time, user_id, roles) FROM spans GROUP BY trace_id")
            .build()
        });
        Some(&DOC)
    }
}

#[derive(Debug, Default)]
struct Actors {
    rows: Writer,
}

impl Accumulator for Actors {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [spans, parents, times, users, roles] = values else { return exec_err!("trace_actors takes five columns") };
        let (spans, parents) = (as_fixed_size_binary_array(spans)?, as_fixed_size_binary_array(parents)?);
        let times = times.as_primitive::<TimestampNanosecondType>();
        let (users, roles) = (as_string_array(users)?, as_list_array(roles)?);
        for row in 0..spans.len() {
            if spans.is_null(row) {
                continue;
            }
            self.rows.id(Some(spans.value(row)));
            self.rows.id(parents.is_valid(row).then(|| parents.value(row)));
            self.rows.time(times.value(row));
            self.rows.text(users.is_valid(row).then(|| users.value(row)));
            if roles.is_null(row) {
                self.rows.count(None);
                continue;
            }
            let roles = roles.value(row);
            let roles: &StringArray = as_string_array(&roles)?;
            self.rows.count(Some(roles.len()));
            roles.iter().for_each(|role| self.rows.text(role));
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let spans = read(&self.rows.bytes)?;
        let actors = resolve(&spans);
        let array = build(&spans, &actors)?;
        Ok(ScalarValue::List(Arc::new(array)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.bytes.capacity()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::LargeBinary(Some(std::mem::take(&mut self.rows.bytes)))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for state in states[0].as_binary::<i64>().iter().flatten() {
            self.rows.bytes.extend_from_slice(state);
        }
        Ok(())
    }
}

struct Span<'a> {
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    time_ns: i64,
    user: Option<&'a str>,
    roles: Option<Vec<Option<&'a str>>>,
}

fn read(bytes: &[u8]) -> Result<Vec<Span<'_>>> {
    let mut reader = Reader::new(bytes);
    let mut spans = Vec::new();
    while !reader.is_empty() {
        let id = reader.id()?.unwrap_or_default();
        let (parent, time_ns, user) = (reader.id()?, reader.time()?, reader.text()?);
        let roles = match reader.count()? {
            None => None,
            Some(count) => Some((0..count).map(|_| reader.text()).collect::<Result<Vec<_>>>()?),
        };
        spans.push(Span { id, parent, time_ns, user, roles: roles.filter(|roles| !roles.is_empty()) });
    }
    Ok(spans)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Own,
    Ancestor,
    Root,
    None,
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Ancestor => "ancestor",
            Self::Root => "root",
            Self::None => "none",
        }
    }
}

/// Who acted: the span that names the user, and the one that has the roles.
#[derive(Debug, Clone, Copy)]
struct Actor {
    user: Option<usize>,
    roles: Option<usize>,
    source: Source,
}

const NOBODY: Actor = Actor { user: None, roles: None, source: Source::None };

/// The actor of each span. Every span is visited once, whatever the shape of the trace.
fn resolve(spans: &[Span<'_>]) -> Vec<Actor> {
    let mut by_id = HashMap::with_capacity(spans.len());
    for (index, span) in spans.iter().enumerate() {
        by_id.entry(span.id).or_insert(index);
    }
    let roots = spans.iter().enumerate().filter(|(_, span)| span.parent.is_none() && span.user.is_some());
    let root = roots.min_by_key(|(_, span)| (span.time_ns, span.id)).map(|(index, _)| index);
    let fallback = root.map_or(NOBODY, |root| Actor {
        user: Some(root),
        roles: spans[root].roles.is_some().then_some(root),
        source: Source::Root,
    });

    let mut actors: Vec<Option<Actor>> = vec![None; spans.len()];
    let mut entered = vec![false; spans.len()];
    let mut chain = Vec::new();
    for start in 0..spans.len() {
        let mut at = start;
        // Upwards, to a span that is known, has no parent, lost its parent, or was met on this way.
        let mut above = loop {
            if let Some(actor) = actors[at] {
                break actor;
            }
            if std::mem::replace(&mut entered[at], true) {
                break fallback;
            }
            chain.push(at);
            match spans[at].parent {
                None => break NOBODY,
                Some(parent) => match by_id.get(&parent) {
                    Some(found) => at = *found,
                    None => break fallback,
                },
            }
        };
        while let Some(index) = chain.pop() {
            above = below(spans, index, above);
            actors[index] = Some(above);
        }
    }
    actors.into_iter().map(|actor| actor.unwrap_or(NOBODY)).collect()
}

/// The actor of a span, given that of its parent.
fn below(spans: &[Span<'_>], index: usize, parent: Actor) -> Actor {
    let span = &spans[index];
    let Some(user) = span.user else {
        let source = if parent.source == Source::Own { Source::Ancestor } else { parent.source };
        return Actor { source, ..parent };
    };
    let same_user = parent.user.is_some_and(|parent| spans[parent].user == Some(user));
    let roles = if span.roles.is_some() { Some(index) } else { parent.roles.filter(|_| same_user) };
    Actor { user: Some(index), roles, source: Source::Own }
}

fn build(spans: &[Span<'_>], actors: &[Actor]) -> Result<ListArray> {
    let mut ids = FixedSizeBinaryBuilder::with_capacity(spans.len(), 8);
    let mut users = StringBuilder::new();
    let mut roles = ListBuilder::new(StringBuilder::new());
    let mut first_roles = StringBuilder::new();
    let mut sources = StringBuilder::new();
    for (span, actor) in spans.iter().zip(actors) {
        ids.append_value(span.id)?;
        users.append_option(actor.user.and_then(|user| spans[user].user));
        let found = actor.roles.and_then(|index| spans[index].roles.as_ref());
        first_roles.append_option(found.and_then(|roles| roles.iter().flatten().next()));
        match found {
            Some(found) => roles.append_value(found.iter().copied()),
            None => roles.append_null(),
        }
        sources.append_value(actor.source.as_str());
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids.finish()),
        Arc::new(users.finish()),
        Arc::new(roles.finish()),
        Arc::new(first_roles.finish()),
        Arc::new(sources.finish()),
    ];
    let rows = StructArray::new(actor_fields(), columns, None);
    Ok(ListArray::new(actors_item(), OffsetBuffer::from_lengths([rows.len()]), Arc::new(rows), None))
}

#[cfg(test)]
mod tests;
