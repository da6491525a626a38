use std::collections::BTreeMap;

use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, Sum, metric::Data, number_data_point::Value,
};
use rand::RngExt;

use super::calendar::{Calendar, DAY_NS, HOUR_NS, chance};
use super::company::{BUILD_ACCOUNT, Company, Role};
use super::trace::{Placed, text};

/// Logins of one user in one hour, from one region.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Logins {
    pub(super) hour_ns: u64,
    pub(super) user: usize,
    pub(super) region: &'static str,
    pub(super) attempts: i64,
    pub(super) failures: i64,
}

/// A region from which hardly anybody logs in.
pub(super) const FAR_REGION: &str = "ca-north";
const ELSEWHERE: [&str; 6] = ["eu-central", "eu-west", "us-east", "us-west", "ap-south", FAR_REGION];

/// What everybody's logins of a day are, attacks aside. Unlike the traces, the
/// metric counts every user on every day.
pub(super) fn logins_of_day(company: &Company, calendar: Calendar, seed: u64, day: u64) -> Vec<Logins> {
    let mut rng = chance(seed, 2, day);
    let mut logins = Vec::new();
    for (user, who) in company.users().iter().enumerate() {
        if who.id == BUILD_ACCOUNT {
            for hour in 0..24 {
                let hour_ns = calendar.day_ns(day) + hour * HOUR_NS;
                logins.push(Logins { hour_ns, user, region: who.region, attempts: 2, failures: 0 });
            }
            continue;
        }
        let share = match who.role {
            Role::Customer => 0.3,
            Role::Service => 0.0,
            _ => 0.8,
        };
        if !rng.random_bool(share) {
            continue;
        }
        let times = if rng.random_bool(0.12) { 2 } else { 1 };
        for _ in 0..times {
            let moment = calendar.moment(&mut rng, day);
            let region =
                if rng.random_bool(0.02) { ELSEWHERE[rng.random_range(0..ELSEWHERE.len())] } else { who.region };
            let failures = i64::from(rng.random_bool(0.04));
            let hour_ns = moment / HOUR_NS * HOUR_NS;
            logins.push(Logins { hour_ns, user, region, attempts: 1 + failures, failures });
        }
    }
    logins
}

/// The counters behind `auth.login.attempts` and `auth.login.failures`.
///
/// Most replicas of `auth` send deltas; one, which serves every twentieth
/// user, sends cumulative sums and restarts each week.
#[derive(Debug, Default)]
pub(super) struct LoginMeter {
    since_ns: u64,
    totals: BTreeMap<(usize, &'static str), (i64, i64)>,
}

/// Whether a user is served by the replica with cumulative sums.
pub(super) fn is_cumulative(user: usize) -> bool {
    user.is_multiple_of(20)
}

impl LoginMeter {
    /// The points of an hour, taken at its end.
    pub(super) fn measure(&mut self, company: &Company, hour_ns: u64, logins: &[Logins]) -> Vec<Placed<Metric>> {
        if self.since_ns == 0 || hour_ns - self.since_ns >= 7 * DAY_NS {
            self.since_ns = hour_ns;
            self.totals.clear();
        }
        let taken_ns = hour_ns + HOUR_NS - 1;
        let mut deltas = BTreeMap::<(usize, &'static str), (i64, i64)>::new();
        let mut changed = BTreeMap::new();
        for login in logins {
            let key = (login.user, login.region);
            let count = match is_cumulative(login.user) {
                true => {
                    changed.insert(key, ());
                    self.totals.entry(key).or_default()
                }
                false => deltas.entry(key).or_default(),
            };
            count.0 += login.attempts;
            count.1 += login.failures;
        }
        // Every sixth hour the whole table goes out, and else what changed.
        let whole = (hour_ns / HOUR_NS).is_multiple_of(6);
        let totals: BTreeMap<_, _> = self
            .totals
            .iter()
            .filter(|(key, _)| whole || changed.contains_key(*key))
            .map(|(key, count)| (*key, *count))
            .collect();
        let delta = AggregationTemporality::Delta;
        let cumulative = AggregationTemporality::Cumulative;
        [(&deltas, delta, hour_ns), (&totals, cumulative, self.since_ns)]
            .into_iter()
            .flat_map(|(counts, temporality, start_ns)| {
                let attempts = points(company, counts, start_ns, taken_ns, |count| count.0);
                let failures = points(company, counts, start_ns, taken_ns, |count| count.1);
                [sum("auth.login.attempts", temporality, attempts), sum("auth.login.failures", temporality, failures)]
            })
            .flatten()
            .map(|record| Placed { service: "auth", record })
            .collect()
    }
}

fn points(
    company: &Company,
    counts: &BTreeMap<(usize, &'static str), (i64, i64)>,
    start_ns: u64,
    taken_ns: u64,
    value: impl Fn((i64, i64)) -> i64,
) -> Vec<NumberDataPoint> {
    let point = |(&(user, region), &count): (&(usize, &'static str), &(i64, i64))| NumberDataPoint {
        attributes: vec![text("user_id", &company.users()[user].id), text("source_region", region)],
        start_time_unix_nano: start_ns,
        time_unix_nano: taken_ns,
        value: Some(Value::AsInt(value(count))),
        ..NumberDataPoint::default()
    };
    counts.iter().map(point).filter(|point| point.value != Some(Value::AsInt(0))).collect()
}

fn sum(name: &str, temporality: AggregationTemporality, data_points: Vec<NumberDataPoint>) -> Option<Metric> {
    let sum = Sum { data_points, aggregation_temporality: temporality.into(), is_monotonic: true };
    (!sum.data_points.is_empty()).then(|| Metric {
        name: name.to_owned(),
        description: "Logins that were tried.".to_owned(),
        unit: "{login}".to_owned(),
        data: Some(Data::Sum(sum)),
        ..Metric::default()
    })
}
