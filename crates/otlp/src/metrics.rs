//! Metrics: one row per data point.

mod columns;
mod point;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use tracehound_schema::{DecodeLimits, Decoded, Signal};

use crate::Error;
use crate::attributes::check_attributes;
use crate::budget::Budget;
use crate::decode::Context;
use crate::entities::{Entities, Found};
use crate::ids::check_optional;
use crate::origin::Origin;
use crate::rejects::{Rejection, Rejects};
use crate::series::Series;
use crate::spans::check_children;
use columns::Columns;
use point::{Kind, Point, points, with_one_point};

pub(crate) use point::{EXPONENTIAL_HISTOGRAM, GAUGE, HISTOGRAM, SUM, SUMMARY};

/// Decodes a request's data points.
///
/// # Errors
/// [`Error::TooLarge`] if the rows would be: resource, scope and metric stand in each.
pub(crate) fn decode(request: &ExportMetricsServiceRequest, context: Context<'_>) -> Result<Decoded, Error> {
    let mut decoder = Decoder {
        context,
        budget: Budget::new(context.limits.decoded_bytes_max),
        rejects: Rejects::new(context, Signal::Metrics),
        columns: Columns::default(),
    };
    let (no_resource, no_scope) = Default::default();
    for of_resource in &request.resource_metrics {
        let resource = of_resource.resource.as_ref().unwrap_or(&no_resource);
        let found = Found::on_resource(&resource.attributes);
        for of_scope in &of_resource.scope_metrics {
            if of_scope.metrics.is_empty() {
                continue;
            }
            let origin = Origin {
                resource,
                resource_schema_url: &of_resource.schema_url,
                scope: of_scope.scope.as_ref().unwrap_or(&no_scope),
                scope_schema_url: &of_scope.schema_url,
            };
            decoder.scope(&origin, &found, &of_scope.metrics)?;
        }
    }
    let rows = decoder.columns.finish(context);
    let (rejects, message) = decoder.rejects.finish(rows.num_rows());
    Ok(Decoded { rows, rejects, message })
}

struct Decoder<'a> {
    context: Context<'a>,
    budget: Budget,
    rejects: Rejects<'a>,
    columns: Columns,
}

impl Decoder<'_> {
    fn scope(&mut self, origin: &Origin<'_>, found: &Found<'_>, metrics: &[Metric]) -> Result<(), Error> {
        let limits = self.context.limits;
        let origin_check = origin.check(limits);
        let origin_bytes = origin.bytes();
        if origin_check.is_ok() {
            self.budget.take("the rows", origin_bytes)?;
            self.columns.origins.begin(origin);
        }
        let of_origin = Series::of_origin(origin);
        for metric in metrics {
            let Some(data) = &metric.data else { continue };
            let kind = Kind::of(data);
            let metric_check =
                origin_check.clone().and_then(|()| check_attributes("the metric's metadata", &metric.metadata, limits));
            let metric_bytes = origin_bytes + point::metric_bytes(metric);
            let series = of_origin.of_metric(
                &metric.name,
                &metric.unit,
                kind.name,
                kind.temporality.unwrap_or(0),
                kind.is_monotonic.unwrap_or(false),
            );
            for (index, point) in points(data).enumerate() {
                match metric_check.clone().and_then(|()| check(&point, limits)) {
                    Ok(()) => {
                        let found = found.on_record(point.attributes);
                        let bytes = metric_bytes + point.bytes() + Entities::bytes(&found);
                        self.budget.take("the rows", bytes)?;
                        let id = series.id(point.attributes);
                        self.columns.append(metric, &kind, &point, id, &found, self.context);
                    }
                    Err(rejection) => self.reject(&rejection, origin, metric, data, index)?,
                }
            }
        }
        Ok(())
    }

    fn reject(
        &mut self,
        rejection: &Rejection,
        origin: &Origin<'_>,
        metric: &Metric,
        data: &Data,
        index: usize,
    ) -> Result<(), Error> {
        let service = origin.service_name();
        let record = with_one_point(metric, data, index);
        self.rejects.push(rejection, service.as_deref(), &metric.name, &record, &mut self.budget)
    }
}

fn check(point: &Point<'_>, limits: &DecodeLimits) -> Result<(), Rejection> {
    check_attributes("the data point", point.attributes, limits)?;
    for (what, count) in point.children() {
        check_children(what, count, limits)?;
    }
    for exemplar in point.exemplars {
        check_optional::<16>("trace_id_length", "an exemplar's trace_id", &exemplar.trace_id)?;
        check_optional::<8>("span_id_length", "an exemplar's span_id", &exemplar.span_id)?;
        check_attributes("an exemplar", &exemplar.filtered_attributes, limits)?;
    }
    Ok(())
}
