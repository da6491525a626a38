use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, metric::Data,
    number_data_point::Value,
};
use rand::RngExt;

use super::calendar::{Calendar, DAY_NS, HOUR_NS, chance, rhythm};
use super::company::SERVICES;
use super::trace::{Placed, text};

/// A time in which a service works harder than usual.
#[derive(Debug, Clone)]
pub(super) struct Strain {
    pub(super) service: &'static str,
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
    pub(super) cpu: f64,
    pub(super) network: f64,
}

/// CPU, network and request durations of the services: a gauge, a counter that
/// restarts now and then, and a histogram.
pub(super) struct LoadMeter {
    seed: u64,
    strains: Vec<Strain>,
    sent: Vec<(u64, i64)>,
}

const BOUNDS_S: [f64; 7] = [0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0];

impl LoadMeter {
    pub(super) fn new(seed: u64, calendar: Calendar, strains: Vec<Strain>) -> Self {
        let sent = vec![(calendar.first_ns(), 0); SERVICES.len()];
        Self { seed, strains, sent }
    }

    /// The points of an hour, one or six for each metric.
    pub(super) fn measure(&mut self, hour_ns: u64, busy: bool) -> Vec<Placed<Metric>> {
        let mut rng = chance(self.seed, 3, hour_ns / HOUR_NS);
        let steps = if busy { 6 } else { 1 };
        let length_ns = HOUR_NS / steps;
        let mut metrics = Vec::new();
        for (index, (service, _)) in SERVICES.iter().enumerate() {
            let index_day = index as u64;
            // A deployment a fortnight, each service on its own day.
            if (hour_ns / DAY_NS + index_day).is_multiple_of(14) && hour_ns / HOUR_NS % 24 == 9 {
                self.sent[index] = (hour_ns, 0);
            }
            let (mut cpu, mut network, mut durations) = (Vec::new(), Vec::new(), Vec::new());
            for step in 0..steps {
                let taken_ns = hour_ns + (step + 1) * length_ns - 1;
                let usual = 0.15 + 0.012 * f64::from(rhythm(hour_ns)) + 0.004 * (index % 7) as f64;
                let strain =
                    self.strains.iter().find(|s| s.service == *service && s.from_ns <= taken_ns && taken_ns < s.to_ns);
                let (more_cpu, more_network) = strain.map_or((1.0, 1.0), |s| (s.cpu, s.network));
                let used = (usual * more_cpu * rng.random_range(0.94..1.06)).min(0.99);
                let bytes =
                    2e8 / steps as f64 * f64::from(4 + rhythm(hour_ns)) * more_network * rng.random_range(0.9..1.1);
                #[expect(clippy::cast_possible_truncation, reason = "below 2^40")]
                let bytes = bytes as i64;
                self.sent[index].1 += bytes;
                cpu.push(number(hour_ns, taken_ns, Value::AsDouble(used)));
                let (since_ns, total) = self.sent[index];
                let mut sent = number(since_ns, taken_ns, Value::AsInt(total));
                sent.attributes.push(text("network.io.direction", "transmit"));
                network.push(sent);
                let counts: Vec<u64> =
                    [30u64, 60, 200, 120, 30, 6, 1, 0].iter().map(|n| n * rng.random_range(6..14) / 10).collect();
                durations.push(HistogramDataPoint {
                    start_time_unix_nano: hour_ns + step * length_ns,
                    time_unix_nano: taken_ns,
                    count: counts.iter().sum(),
                    sum: Some(counts.iter().sum::<u64>() as f64 * 0.06),
                    bucket_counts: counts,
                    explicit_bounds: BOUNDS_S.to_vec(),
                    ..HistogramDataPoint::default()
                });
            }
            let cumulative = AggregationTemporality::Cumulative.into();
            let network = Sum { data_points: network, aggregation_temporality: cumulative, is_monotonic: true };
            let durations =
                Histogram { data_points: durations, aggregation_temporality: AggregationTemporality::Delta.into() };
            let of_service = [
                ("process.cpu.utilization", "1", Data::Gauge(Gauge { data_points: cpu })),
                ("k8s.pod.network.io", "By", Data::Sum(network)),
                ("http.server.request.duration", "s", Data::Histogram(durations)),
            ];
            for (name, unit, data) in of_service {
                let record =
                    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() };
                metrics.push(Placed { service, record });
            }
        }
        metrics
    }
}

fn number(start_ns: u64, taken_ns: u64, value: Value) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: start_ns,
        time_unix_nano: taken_ns,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}
