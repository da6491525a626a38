use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt32Type, UInt64Type};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar, number_data_point,
};
use prost::Message;

use super::origin::Origins;
use super::rows::{Attributes, Columns, Ids, Lists, NumberLists, Numbers, Texts};
use super::spans::number;
use crate::Error;
use crate::metrics::{EXPONENTIAL_HISTOGRAM, GAUGE, HISTOGRAM, SUM, SUMMARY};
use crate::names::TEMPORALITIES;

/// Turns rows of `metrics` back into the request they came in.
///
/// # Errors
/// [`Error::Rows`] if a column is missing or of another type, or holds what no decoding gives.
pub fn encode_metrics(rows: &RecordBatch) -> Result<ExportMetricsServiceRequest, Error> {
    let columns = Columns::of_rows(rows);
    let mut origins = Origins::new(&columns)?;
    let metrics = Metrics::new(&columns)?;
    let points = Points::new(&columns)?;
    let mut resource_metrics: Vec<ResourceMetrics> = Vec::new();
    let mut last = Vec::new();
    for row in 0..rows.num_rows() {
        let origin = origins.next(row)?;
        if origin.new_resource {
            resource_metrics.push(ResourceMetrics {
                resource: Some(origin.resource),
                scope_metrics: Vec::new(),
                schema_url: origin.resource_schema_url,
            });
        }
        let of_resource = resource_metrics.last_mut().expect("the first row has a new resource");
        if origin.new_scope {
            of_resource.scope_metrics.push(ScopeMetrics {
                scope: Some(origin.scope),
                metrics: Vec::new(),
                schema_url: origin.scope_schema_url,
            });
        }
        let of_scope = of_resource.scope_metrics.last_mut().expect("a resource begins with a scope");
        let metric = metrics.get(row)?;
        let identity = metric.encode_to_vec();
        if origin.new_scope || identity != last {
            of_scope.metrics.push(metric);
            last = identity;
        }
        let metric = of_scope.metrics.last_mut().expect("a scope begins with a metric");
        points.push(row, metric)?;
    }
    Ok(ExportMetricsServiceRequest { resource_metrics })
}

struct Metrics {
    name: Texts,
    description: Texts,
    unit: Texts,
    metadata: Attributes,
    kind: Texts,
    temporality: Texts,
    is_monotonic: BooleanArray,
}

impl Metrics {
    fn new(columns: &Columns) -> Result<Self, Error> {
        Ok(Self {
            name: columns.texts("name")?,
            description: columns.texts("description")?,
            unit: columns.texts("unit")?,
            metadata: columns.attributes("metadata")?,
            kind: columns.texts("kind")?,
            temporality: columns.texts("temporality")?,
            is_monotonic: columns.bools("is_monotonic")?,
        })
    }

    /// The metric of a row, without points.
    fn get(&self, row: usize) -> Result<Metric, Error> {
        let temporality = || number("temporality", TEMPORALITIES, self.temporality.str(row));
        let data = match self.kind.str(row) {
            GAUGE => Data::Gauge(Gauge::default()),
            SUM => Data::Sum(Sum {
                aggregation_temporality: temporality()?,
                is_monotonic: self.is_monotonic.is_valid(row) && self.is_monotonic.value(row),
                ..Sum::default()
            }),
            HISTOGRAM => Data::Histogram(Histogram { aggregation_temporality: temporality()?, ..Histogram::default() }),
            EXPONENTIAL_HISTOGRAM => Data::ExponentialHistogram(ExponentialHistogram {
                aggregation_temporality: temporality()?,
                ..ExponentialHistogram::default()
            }),
            SUMMARY => Data::Summary(Summary::default()),
            kind => return Err(Error::Rows { detail: format!("column kind holds {kind:?}") }),
        };
        Ok(Metric {
            name: self.name.get(row),
            description: self.description.get(row),
            unit: self.unit.get(row),
            metadata: self.metadata.get(row)?,
            data: Some(data),
        })
    }
}

struct Points {
    time: Numbers<TimestampNanosecondType>,
    start_time: Numbers<TimestampNanosecondType>,
    flags: Numbers<UInt32Type>,
    value: Numbers<Float64Type>,
    value_int: Numbers<Int64Type>,
    count: Numbers<UInt64Type>,
    sum: Numbers<Float64Type>,
    min: Numbers<Float64Type>,
    max: Numbers<Float64Type>,
    bucket_counts: NumberLists<UInt64Type>,
    explicit_bounds: NumberLists<Float64Type>,
    scale: Numbers<Int32Type>,
    zero_count: Numbers<UInt64Type>,
    zero_threshold: Numbers<Float64Type>,
    positive_offset: Numbers<Int32Type>,
    positive_bucket_counts: NumberLists<UInt64Type>,
    negative_offset: Numbers<Int32Type>,
    negative_bucket_counts: NumberLists<UInt64Type>,
    quantiles: Lists,
    quantile: Numbers<Float64Type>,
    quantile_value: Numbers<Float64Type>,
    exemplars: Exemplars,
    attributes: Attributes,
}

impl Points {
    fn new(columns: &Columns) -> Result<Self, Error> {
        let (quantiles, quantile) = columns.structs("quantiles")?;
        Ok(Self {
            time: columns.numbers("time")?,
            start_time: columns.numbers("start_time")?,
            flags: columns.numbers("flags")?,
            value: columns.numbers("value")?,
            value_int: columns.numbers("value_int")?,
            count: columns.numbers("count")?,
            sum: columns.numbers("sum")?,
            min: columns.numbers("min")?,
            max: columns.numbers("max")?,
            bucket_counts: columns.number_lists("bucket_counts")?,
            explicit_bounds: columns.number_lists("explicit_bounds")?,
            scale: columns.numbers("scale")?,
            zero_count: columns.numbers("zero_count")?,
            zero_threshold: columns.numbers("zero_threshold")?,
            positive_offset: columns.numbers("positive_offset")?,
            positive_bucket_counts: columns.number_lists("positive_bucket_counts")?,
            negative_offset: columns.numbers("negative_offset")?,
            negative_bucket_counts: columns.number_lists("negative_bucket_counts")?,
            quantiles,
            quantile: quantile.numbers("quantile")?,
            quantile_value: quantile.numbers("value")?,
            exemplars: Exemplars::new(columns)?,
            attributes: columns.attributes("attributes")?,
        })
    }

    /// Adds the point of a row to its metric.
    fn push(&self, row: usize, metric: &mut Metric) -> Result<(), Error> {
        match metric.data.as_mut().expect("rows have a kind") {
            Data::Gauge(Gauge { data_points }) | Data::Sum(Sum { data_points, .. }) => {
                data_points.push(self.number(row)?);
            }
            Data::Histogram(data) => data.data_points.push(self.histogram(row)?),
            Data::ExponentialHistogram(data) => data.data_points.push(self.exponential(row)?),
            Data::Summary(data) => data.data_points.push(self.summary(row)?),
        }
        Ok(())
    }

    fn start_time(&self, row: usize) -> u64 {
        self.start_time.get(row).cast_unsigned()
    }

    fn time(&self, row: usize) -> u64 {
        self.time.get(row).cast_unsigned()
    }

    fn number(&self, row: usize) -> Result<NumberDataPoint, Error> {
        let value = match (self.value_int.optional(row), self.value.optional(row)) {
            (Some(value), _) => Some(number_data_point::Value::AsInt(value)),
            (None, Some(value)) => Some(number_data_point::Value::AsDouble(value)),
            (None, None) => None,
        };
        Ok(NumberDataPoint {
            attributes: self.attributes.get(row)?,
            start_time_unix_nano: self.start_time(row),
            time_unix_nano: self.time(row),
            exemplars: self.exemplars.get(row)?,
            flags: self.flags.get(row),
            value,
        })
    }

    fn histogram(&self, row: usize) -> Result<HistogramDataPoint, Error> {
        Ok(HistogramDataPoint {
            attributes: self.attributes.get(row)?,
            start_time_unix_nano: self.start_time(row),
            time_unix_nano: self.time(row),
            count: self.count.get(row),
            sum: self.sum.optional(row),
            bucket_counts: self.bucket_counts.get(row),
            explicit_bounds: self.explicit_bounds.get(row),
            exemplars: self.exemplars.get(row)?,
            flags: self.flags.get(row),
            min: self.min.optional(row),
            max: self.max.optional(row),
        })
    }

    fn exponential(&self, row: usize) -> Result<ExponentialHistogramDataPoint, Error> {
        Ok(ExponentialHistogramDataPoint {
            attributes: self.attributes.get(row)?,
            start_time_unix_nano: self.start_time(row),
            time_unix_nano: self.time(row),
            count: self.count.get(row),
            sum: self.sum.optional(row),
            scale: self.scale.get(row),
            zero_count: self.zero_count.get(row),
            positive: Some(Buckets {
                offset: self.positive_offset.get(row),
                bucket_counts: self.positive_bucket_counts.get(row),
            }),
            negative: Some(Buckets {
                offset: self.negative_offset.get(row),
                bucket_counts: self.negative_bucket_counts.get(row),
            }),
            flags: self.flags.get(row),
            exemplars: self.exemplars.get(row)?,
            min: self.min.optional(row),
            max: self.max.optional(row),
            zero_threshold: self.zero_threshold.get(row),
        })
    }

    fn summary(&self, row: usize) -> Result<SummaryDataPoint, Error> {
        let quantile =
            |index| ValueAtQuantile { quantile: self.quantile.get(index), value: self.quantile_value.get(index) };
        Ok(SummaryDataPoint {
            attributes: self.attributes.get(row)?,
            start_time_unix_nano: self.start_time(row),
            time_unix_nano: self.time(row),
            count: self.count.get(row),
            sum: self.sum.get(row),
            quantile_values: self.quantiles.get(row).map(quantile).collect(),
            flags: self.flags.get(row),
        })
    }
}

struct Exemplars {
    lists: Lists,
    time: Numbers<TimestampNanosecondType>,
    value: Numbers<Float64Type>,
    value_int: Numbers<Int64Type>,
    trace_id: Ids,
    span_id: Ids,
    attributes: Attributes,
}

impl Exemplars {
    fn new(columns: &Columns) -> Result<Self, Error> {
        let (lists, fields) = columns.structs("exemplars")?;
        Ok(Self {
            lists,
            time: fields.numbers("time")?,
            value: fields.numbers("value")?,
            value_int: fields.numbers("value_int")?,
            trace_id: fields.ids("trace_id")?,
            span_id: fields.ids("span_id")?,
            attributes: fields.attributes("attributes")?,
        })
    }

    fn get(&self, row: usize) -> Result<Vec<Exemplar>, Error> {
        let exemplar = |index| {
            let value = match (self.value_int.optional(index), self.value.optional(index)) {
                (Some(value), _) => Some(exemplar::Value::AsInt(value)),
                (None, Some(value)) => Some(exemplar::Value::AsDouble(value)),
                (None, None) => None,
            };
            Ok(Exemplar {
                filtered_attributes: self.attributes.get(index)?,
                time_unix_nano: self.time.get(index).cast_unsigned(),
                span_id: self.span_id.get(index),
                trace_id: self.trace_id.get(index),
                value,
            })
        };
        self.lists.get(row).map(exemplar).collect()
    }
}
