use std::collections::VecDeque;

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use rand::RngExt;

use super::attacks::{Scene, Truth};
use super::calendar::{Calendar, HISTORY_DAYS, HOUR_NS, Visit, chance, visits};
use super::company::Company;
use super::load::LoadMeter;
use super::logins::{LoginMeter, Logins, logins_of_day};
use super::trace::{Placed, Trace, TraceBuilder};

/// What the company sends within an hour.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Telemetry {
    pub(super) spans: Vec<Placed<Span>>,
    pub(super) logs: Vec<Placed<LogRecord>>,
    pub(super) metrics: Vec<Placed<Metric>>,
}

/// All telemetry of the demo, hour by hour, a function of seed, anchor and scale.
///
/// A few parents come an hour later than their children, or never; what has not
/// ended at the anchor has not been sent.
pub(super) struct Traffic<'a> {
    company: &'a Company,
    calendar: Calendar,
    seed: u64,
    hour_ns: u64,
    visits: VecDeque<Visit>,
    logins: Vec<Logins>,
    planted: VecDeque<Trace>,
    planted_logins: Vec<Logins>,
    planted_logs: Vec<Placed<LogRecord>>,
    login_meter: LoginMeter,
    load_meter: LoadMeter,
    held: Vec<Placed<Span>>,
}

/// The share of traces of which one parent never arrives.
const LOST: f64 = 0.012;
/// The share of traces of which one parent arrives late.
const LATE: f64 = 0.04;
/// How far into the last day the release comes out.
const RELEASE_HOUR: u64 = 6;

impl<'a> Traffic<'a> {
    /// The traffic and what is true of the attacks within it.
    pub(super) fn new(company: &'a Company, calendar: Calendar, seed: u64) -> (Self, Vec<Truth>) {
        let mut scene = Scene::plant(company, calendar, seed);
        scene.traces.sort_by_key(|trace| (began(trace), trace.id));
        let traffic = Self {
            company,
            calendar,
            seed,
            hour_ns: calendar.first_ns(),
            visits: VecDeque::new(),
            logins: Vec::new(),
            planted: scene.traces.into(),
            planted_logins: scene.logins,
            planted_logs: scene.logs,
            login_meter: LoginMeter::default(),
            load_meter: LoadMeter::new(seed, calendar, scene.strains),
            held: Vec::new(),
        };
        (traffic, scene.truths)
    }

    /// How many hours there are, of how many one more brings what was late.
    pub(super) fn hours() -> u64 {
        (HISTORY_DAYS + 1) * 24 + 1
    }

    fn begin_day(&mut self) {
        let day = (self.hour_ns - self.calendar.first_ns()) / (24 * HOUR_NS);
        self.visits = visits(self.company, self.calendar, self.seed, day).into();
        self.logins = logins_of_day(self.company, self.calendar, self.seed, day);
        if day == HISTORY_DAYS {
            self.logins.append(&mut self.planted_logins);
        }
    }

    /// Adds a trace's records, holding back what is late and leaving out what is lost.
    fn deliver(&mut self, trace: Trace, may_lose: bool, telemetry: &mut Telemetry) {
        let mut rng = chance(self.seed, 5, u64::from_le_bytes(first_eight(trace.id)));
        let parents: Vec<Vec<u8>> = trace.spans.iter().map(|span| span.record.parent_span_id.clone()).collect();
        let inner: Vec<usize> =
            (0..trace.spans.len()).filter(|&at| parents.contains(&trace.spans[at].record.span_id)).collect();
        let mut pick = |share: f64| {
            let drawn = rng.random_bool(share) && !inner.is_empty();
            drawn.then(|| inner[rng.random_range(0..inner.len())])
        };
        let lost = pick(LOST).filter(|_| may_lose);
        let late = pick(LATE);
        for (at, span) in trace.spans.into_iter().enumerate() {
            if span.record.end_time_unix_nano >= self.calendar.anchor_ns || lost == Some(at) {
                continue;
            }
            if late == Some(at) {
                self.held.push(span);
            } else {
                telemetry.spans.push(span);
            }
        }
        let anchor_ns = self.calendar.anchor_ns;
        let sent = |log: &Placed<LogRecord>| log.record.time_unix_nano < anchor_ns;
        telemetry.logs.extend(trace.logs.into_iter().filter(sent));
    }
}

impl Iterator for Traffic<'_> {
    type Item = Telemetry;

    fn next(&mut self) -> Option<Telemetry> {
        let mut telemetry = Telemetry { spans: std::mem::take(&mut self.held), ..Telemetry::default() };
        if self.hour_ns >= self.calendar.anchor_ns {
            // The last hour's late spans, and then nothing more.
            return (!telemetry.spans.is_empty()).then_some(telemetry);
        }
        if (self.hour_ns - self.calendar.first_ns()).is_multiple_of(24 * HOUR_NS) {
            self.begin_day();
        }
        let end_ns = self.hour_ns + HOUR_NS;
        while self.visits.front().is_some_and(|visit| visit.at_ns < end_ns) {
            let Some(visit) = self.visits.pop_front() else { break };
            let mut builder = TraceBuilder::new(visit.seed, visit.at_ns);
            builder.all_branches = visit.all_branches;
            builder.released = visit.at_ns >= self.calendar.window_ns() + RELEASE_HOUR * HOUR_NS;
            (visit.run)(&mut builder, self.company, &self.company.users()[visit.user]);
            self.deliver(builder.finish(), true, &mut telemetry);
        }
        while self.planted.front().is_some_and(|trace| began(trace) < end_ns) {
            let Some(trace) = self.planted.pop_front() else { break };
            self.deliver(trace, false, &mut telemetry);
        }
        let logins: Vec<Logins> = self.logins.iter().filter(|login| login.hour_ns == self.hour_ns).cloned().collect();
        telemetry.metrics = self.login_meter.measure(self.company, self.hour_ns, &logins);
        let busy = self.hour_ns >= self.calendar.window_ns();
        telemetry.metrics.extend(self.load_meter.measure(self.hour_ns, busy));
        let hour = self.hour_ns..end_ns;
        let of_hour = |log: &Placed<LogRecord>| hour.contains(&log.record.time_unix_nano);
        telemetry.logs.extend(self.planted_logs.iter().filter(|log| of_hour(log)).cloned());
        self.hour_ns = end_ns;
        Some(telemetry)
    }
}

fn began(trace: &Trace) -> u64 {
    trace.spans.first().map_or(0, |span| span.record.start_time_unix_nano)
}

fn first_eight(id: [u8; 16]) -> [u8; 8] {
    let mut eight = [0; 8];
    eight.copy_from_slice(&id[..8]);
    eight
}
