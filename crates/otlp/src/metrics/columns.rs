//! The columns of `metrics`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, FixedSizeBinaryBuilder, Float64Array, Float64Builder, Int32Builder, Int64Builder,
    ListBuilder, PrimitiveBuilder, RecordBatch, StringBuilder, UInt32Array, UInt64Builder,
};
use arrow::datatypes::{ArrowPrimitiveType, Float64Type, UInt64Type};
use opentelemetry_proto::tonic::metrics::v1::exemplar::Value;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, Metric};
use tracehound_schema::Dataset;

use super::point::{Kind, Point, without_negative_zero};
use crate::attributes::AttributeMaps;
use crate::decode::Context;
use crate::entities::{Entities, Found};
use crate::ids::Ids;
use crate::lists::Lists;
use crate::names::{TEMPORALITIES, name_of};
use crate::origin::Origins;
use crate::receipt::{TimeFlags, TimeFlagsColumn, ingest_times, key_ids, optional_times, stored, times};
use crate::text::append_text;

#[derive(Debug)]
pub(super) struct Columns {
    time: Vec<i64>,
    start_time: Vec<Option<i64>>,
    name: StringBuilder,
    description: StringBuilder,
    unit: StringBuilder,
    metadata: AttributeMaps,
    kind: StringBuilder,
    temporality: StringBuilder,
    is_monotonic: BooleanBuilder,
    series_id: FixedSizeBinaryBuilder,
    flags: Vec<u32>,
    value: Float64Builder,
    value_int: Int64Builder,
    count: UInt64Builder,
    sum: Float64Builder,
    min: Float64Builder,
    max: Float64Builder,
    bucket_counts: Numbers<UInt64Type>,
    explicit_bounds: Numbers<Float64Type>,
    scale: Int32Builder,
    zero_count: UInt64Builder,
    zero_threshold: Float64Builder,
    positive_offset: Int32Builder,
    positive_bucket_counts: Numbers<UInt64Type>,
    negative_offset: Int32Builder,
    negative_bucket_counts: Numbers<UInt64Type>,
    quantiles: Quantiles,
    exemplars: Exemplars,
    attributes: AttributeMaps,
    pub(super) origins: Origins,
    time_flags: TimeFlagsColumn,
    entities: Entities,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            time: Vec::new(),
            start_time: Vec::new(),
            name: StringBuilder::new(),
            description: StringBuilder::new(),
            unit: StringBuilder::new(),
            metadata: AttributeMaps::default(),
            kind: StringBuilder::new(),
            temporality: StringBuilder::new(),
            is_monotonic: BooleanBuilder::new(),
            series_id: FixedSizeBinaryBuilder::new(16),
            flags: Vec::new(),
            value: Float64Builder::new(),
            value_int: Int64Builder::new(),
            count: UInt64Builder::new(),
            sum: Float64Builder::new(),
            min: Float64Builder::new(),
            max: Float64Builder::new(),
            bucket_counts: Numbers::default(),
            explicit_bounds: Numbers::default(),
            scale: Int32Builder::new(),
            zero_count: UInt64Builder::new(),
            zero_threshold: Float64Builder::new(),
            positive_offset: Int32Builder::new(),
            positive_bucket_counts: Numbers::default(),
            negative_offset: Int32Builder::new(),
            negative_bucket_counts: Numbers::default(),
            quantiles: Quantiles::default(),
            exemplars: Exemplars::default(),
            attributes: AttributeMaps::default(),
            origins: Origins::default(),
            time_flags: TimeFlagsColumn::default(),
            entities: Entities::default(),
        }
    }
}

impl Columns {
    pub(super) fn append(
        &mut self,
        metric: &Metric,
        kind: &Kind,
        point: &Point<'_>,
        series_id: [u8; 16],
        found: &Found<'_>,
        context: Context<'_>,
    ) {
        let (start, time) = (point.start_time, point.time);
        self.time.push(stored(time));
        self.start_time.push((start != 0).then(|| stored(start)));
        self.name.append_value(&metric.name);
        append_text(&mut self.description, &metric.description);
        append_text(&mut self.unit, &metric.unit);
        self.metadata.append(&metric.metadata);
        self.kind.append_value(kind.name);
        let temporality = kind.temporality.map(|number| name_of(TEMPORALITIES, number));
        self.temporality.append_option(temporality);
        self.is_monotonic.append_option(kind.is_monotonic);
        self.series_id.append_value(series_id).expect("series ids have 16 bytes");
        self.flags.push(point.flags);
        self.value.append_option(point.value);
        self.value_int.append_option(point.value_int);
        self.count.append_option(point.count);
        self.sum.append_option(point.sum);
        self.min.append_option(point.min);
        self.max.append_option(point.max);
        self.bucket_counts.append(point.bucket_counts);
        self.explicit_bounds.append(point.explicit_bounds);
        self.scale.append_option(point.scale);
        self.zero_count.append_option(point.zero_count);
        self.zero_threshold.append_option(point.zero_threshold);
        self.positive_offset.append_option(point.positive.map(|(offset, _)| offset));
        self.positive_bucket_counts.append(point.positive.map(|(_, counts)| counts));
        self.negative_offset.append_option(point.negative.map(|(offset, _)| offset));
        self.negative_bucket_counts.append(point.negative.map(|(_, counts)| counts));
        self.quantiles.append(point.quantiles);
        self.exemplars.append(point.exemplars);
        self.attributes.append(point.attributes);
        self.origins.append();
        self.time_flags.append(TimeFlags {
            zero: time == 0,
            end_before_start: start != 0 && time < start,
            ..TimeFlags::of(&[start, time], context.received_at_ns)
        });
        self.entities.append(found, 0);
    }

    pub(super) fn finish(mut self, context: Context<'_>) -> RecordBatch {
        let rows = self.time.len();
        let mut columns: Vec<ArrayRef> = vec![
            times(self.time),
            optional_times(self.start_time),
            Arc::new(self.name.finish()),
            Arc::new(self.description.finish()),
            Arc::new(self.unit.finish()),
            self.metadata.finish(),
            Arc::new(self.kind.finish()),
            Arc::new(self.temporality.finish()),
            Arc::new(self.is_monotonic.finish()),
            Arc::new(self.series_id.finish()),
            Arc::new(UInt32Array::from(self.flags)),
            Arc::new(self.value.finish()),
            Arc::new(self.value_int.finish()),
            Arc::new(self.count.finish()),
            Arc::new(self.sum.finish()),
            Arc::new(self.min.finish()),
            Arc::new(self.max.finish()),
            self.bucket_counts.finish(),
            self.explicit_bounds.finish(),
            Arc::new(self.scale.finish()),
            Arc::new(self.zero_count.finish()),
            Arc::new(self.zero_threshold.finish()),
            Arc::new(self.positive_offset.finish()),
            self.positive_bucket_counts.finish(),
            Arc::new(self.negative_offset.finish()),
            self.negative_bucket_counts.finish(),
            self.quantiles.finish(),
            self.exemplars.finish(),
            self.attributes.finish(),
        ];
        columns.extend(self.origins.finish());
        columns.push(ingest_times(context.received_at_ns, rows));
        columns.push(key_ids(context.ingest_key_id, rows));
        columns.push(self.time_flags.finish());
        columns.extend(self.entities.finish());
        RecordBatch::try_new(Dataset::Metrics.schema(), columns).expect("columns stand in the order of the schema")
    }
}

/// A column of lists of numbers.
#[derive(Debug)]
struct Numbers<T: ArrowPrimitiveType>(ListBuilder<PrimitiveBuilder<T>>);

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Self(ListBuilder::new(PrimitiveBuilder::new()))
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    fn append(&mut self, numbers: Option<&[T::Native]>) {
        self.0.values().append_slice(numbers.unwrap_or(&[]));
        self.0.append(numbers.is_some());
    }

    fn finish(mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

#[derive(Debug, Default)]
struct Quantiles {
    lists: Lists,
    quantile: Vec<f64>,
    value: Vec<f64>,
}

impl Quantiles {
    fn append(&mut self, quantiles: Option<&[ValueAtQuantile]>) {
        self.lists.append(quantiles.map(<[_]>::len));
        for at in quantiles.unwrap_or(&[]) {
            self.quantile.push(without_negative_zero(at.quantile));
            self.value.push(without_negative_zero(at.value));
        }
    }

    fn finish(self) -> ArrayRef {
        let schema = Dataset::Metrics.schema();
        let field = schema.field_with_name("quantiles").expect("metrics have quantiles");
        let fields: Vec<ArrayRef> =
            vec![Arc::new(Float64Array::from(self.quantile)), Arc::new(Float64Array::from(self.value))];
        self.lists.finish(field.data_type(), fields)
    }
}

#[derive(Debug, Default)]
struct Exemplars {
    lists: Lists,
    time: Vec<i64>,
    value: Float64Builder,
    value_int: Int64Builder,
    trace_id: Ids<16>,
    span_id: Ids<8>,
    attributes: AttributeMaps,
}

impl Exemplars {
    fn append(&mut self, exemplars: &[Exemplar]) {
        self.lists.append_some(exemplars.len());
        for exemplar in exemplars {
            let (value, value_int) = match exemplar.value {
                None => (None, None),
                Some(Value::AsDouble(value)) => (Some(value), None),
                Some(Value::AsInt(value)) => (Some(value as f64), Some(value)),
            };
            self.time.push(stored(exemplar.time_unix_nano));
            self.value.append_option(value);
            self.value_int.append_option(value_int);
            self.trace_id.append(&exemplar.trace_id);
            self.span_id.append(&exemplar.span_id);
            self.attributes.append(&exemplar.filtered_attributes);
        }
    }

    fn finish(mut self) -> ArrayRef {
        let schema = Dataset::Metrics.schema();
        let field = schema.field_with_name("exemplars").expect("metrics have exemplars");
        let fields: Vec<ArrayRef> = vec![
            times(self.time),
            Arc::new(self.value.finish()),
            Arc::new(self.value_int.finish()),
            self.trace_id.finish(),
            self.span_id.finish(),
            self.attributes.finish(),
        ];
        self.lists.finish(field.data_type(), fields)
    }
}
