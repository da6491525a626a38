//! A data point of any kind, in one shape.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, Sum, Summary, SummaryDataPoint,
};

use crate::attributes::map_bytes;

pub(crate) const GAUGE: &str = "gauge";
pub(crate) const SUM: &str = "sum";
pub(crate) const HISTOGRAM: &str = "histogram";
pub(crate) const EXPONENTIAL_HISTOGRAM: &str = "exponential_histogram";
pub(crate) const SUMMARY: &str = "summary";

/// What a metric's data say of all its points.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) temporality: Option<i32>,
    pub(super) is_monotonic: Option<bool>,
}

impl Kind {
    pub(super) fn of(data: &Data) -> Self {
        let (name, temporality, is_monotonic) = match data {
            Data::Gauge(_) => (GAUGE, None, None),
            Data::Sum(sum) => (SUM, Some(sum.aggregation_temporality), Some(sum.is_monotonic)),
            Data::Histogram(data) => (HISTOGRAM, Some(data.aggregation_temporality), None),
            Data::ExponentialHistogram(data) => (EXPONENTIAL_HISTOGRAM, Some(data.aggregation_temporality), None),
            Data::Summary(_) => (SUMMARY, None, None),
        };
        Self { name, temporality, is_monotonic }
    }
}

/// A data point; what its kind does not have is `None`.
#[derive(Debug, Default)]
pub(super) struct Point<'a> {
    pub(super) start_time: u64,
    pub(super) time: u64,
    pub(super) flags: u32,
    pub(super) value: Option<f64>,
    pub(super) value_int: Option<i64>,
    pub(super) count: Option<u64>,
    pub(super) sum: Option<f64>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) bucket_counts: Option<&'a [u64]>,
    pub(super) explicit_bounds: Option<&'a [f64]>,
    pub(super) scale: Option<i32>,
    pub(super) zero_count: Option<u64>,
    pub(super) zero_threshold: Option<f64>,
    pub(super) positive: Option<(i32, &'a [u64])>,
    pub(super) negative: Option<(i32, &'a [u64])>,
    pub(super) quantiles: Option<&'a [ValueAtQuantile]>,
    pub(super) exemplars: &'a [Exemplar],
    pub(super) attributes: &'a [KeyValue],
}

impl Point<'_> {
    /// Its lists, to be checked against the limit.
    pub(super) fn children(&self) -> [(&'static str, usize); 6] {
        [
            ("exemplars", self.exemplars.len()),
            ("buckets", self.bucket_counts.map_or(0, <[u64]>::len)),
            ("bounds", self.explicit_bounds.map_or(0, <[f64]>::len)),
            ("positive buckets", self.positive.map_or(0, |(_, counts)| counts.len())),
            ("negative buckets", self.negative.map_or(0, |(_, counts)| counts.len())),
            ("quantiles", self.quantiles.map_or(0, <[ValueAtQuantile]>::len)),
        ]
    }

    /// What it takes in its row, about.
    pub(super) fn bytes(&self) -> usize {
        let lists: usize = self.children().iter().map(|(_, count)| 16 * count).sum();
        let exemplar = |exemplar: &Exemplar| 64 + map_bytes(&exemplar.filtered_attributes);
        350 + lists + map_bytes(self.attributes) + self.exemplars.iter().map(exemplar).sum::<usize>()
    }
}

/// What a metric takes in the row of each of its points, about.
pub(super) fn metric_bytes(metric: &Metric) -> usize {
    let texts = metric.name.len() + metric.description.len() + metric.unit.len();
    texts + map_bytes(&metric.metadata)
}

/// The points of a metric, in message order.
pub(super) fn points(data: &Data) -> Box<dyn Iterator<Item = Point<'_>> + '_> {
    match data {
        Data::Gauge(Gauge { data_points }) | Data::Sum(Sum { data_points, .. }) => {
            Box::new(data_points.iter().map(number))
        }
        Data::Histogram(data) => Box::new(data.data_points.iter().map(histogram)),
        Data::ExponentialHistogram(data) => Box::new(data.data_points.iter().map(exponential)),
        Data::Summary(data) => Box::new(data.data_points.iter().map(summary)),
    }
}

fn number(point: &NumberDataPoint) -> Point<'_> {
    let (value, value_int) = match point.value {
        None => (None, None),
        Some(Value::AsDouble(value)) => (Some(value), None),
        Some(Value::AsInt(value)) => (Some(value as f64), Some(value)),
    };
    Point {
        start_time: point.start_time_unix_nano,
        time: point.time_unix_nano,
        flags: point.flags,
        value,
        value_int,
        exemplars: &point.exemplars,
        attributes: &point.attributes,
        ..Point::default()
    }
}

fn histogram(point: &HistogramDataPoint) -> Point<'_> {
    Point {
        start_time: point.start_time_unix_nano,
        time: point.time_unix_nano,
        flags: point.flags,
        count: Some(point.count),
        sum: point.sum,
        min: point.min,
        max: point.max,
        bucket_counts: Some(&point.bucket_counts),
        explicit_bounds: Some(&point.explicit_bounds),
        exemplars: &point.exemplars,
        attributes: &point.attributes,
        ..Point::default()
    }
}

fn exponential(point: &ExponentialHistogramDataPoint) -> Point<'_> {
    Point {
        start_time: point.start_time_unix_nano,
        time: point.time_unix_nano,
        flags: point.flags,
        count: Some(point.count),
        sum: point.sum,
        min: point.min,
        max: point.max,
        scale: Some(point.scale),
        zero_count: Some(point.zero_count),
        zero_threshold: Some(without_negative_zero(point.zero_threshold)),
        positive: Some(buckets(point.positive.as_ref())),
        negative: Some(buckets(point.negative.as_ref())),
        exemplars: &point.exemplars,
        attributes: &point.attributes,
        ..Point::default()
    }
}

/// Absent buckets are the same as empty ones.
fn buckets(buckets: Option<&Buckets>) -> (i32, &[u64]) {
    buckets.map_or((0, &[]), |buckets| (buckets.offset, &buckets.bucket_counts))
}

fn summary(point: &SummaryDataPoint) -> Point<'_> {
    Point {
        start_time: point.start_time_unix_nano,
        time: point.time_unix_nano,
        flags: point.flags,
        count: Some(point.count),
        sum: Some(without_negative_zero(point.sum)),
        quantiles: Some(&point.quantile_values),
        attributes: &point.attributes,
        ..Point::default()
    }
}

/// A plain field's negative zero is zero: protobuf does not send it.
pub(super) fn without_negative_zero(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value }
}

/// A metric with only one of its points, as a rejected point is kept.
pub(super) fn with_one_point(metric: &Metric, data: &Data, index: usize) -> Metric {
    let data = match data {
        Data::Gauge(data) => Data::Gauge(Gauge { data_points: vec![data.data_points[index].clone()] }),
        Data::Sum(data) => Data::Sum(Sum { data_points: vec![data.data_points[index].clone()], ..*data }),
        Data::Histogram(data) => {
            Data::Histogram(Histogram { data_points: vec![data.data_points[index].clone()], ..*data })
        }
        Data::ExponentialHistogram(data) => Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![data.data_points[index].clone()],
            ..*data
        }),
        Data::Summary(data) => Data::Summary(Summary { data_points: vec![data.data_points[index].clone()] }),
    };
    Metric {
        name: metric.name.clone(),
        description: metric.description.clone(),
        unit: metric.unit.clone(),
        metadata: metric.metadata.clone(),
        data: Some(data),
    }
}
