//! The attacks and near misses hidden in the last day, and what is true of them.

mod agent;
mod distributed_stuffing;
mod exfiltration;
mod lateral;
mod misuse;
mod near_misses;
mod pii;
mod scraping;
mod shadow;
mod stuffing;
mod supply_chain;
mod tenants;

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::calendar::{Calendar, HOUR_NS, chance};
use super::company::{Company, Role, User};
use super::load::Strain;
use super::logins::Logins;
use super::trace::{Placed, Trace, TraceBuilder};

/// What is true of one attack: what a hunt has to say, and which traces it left.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Truth {
    pub(super) attack: &'static str,
    /// One sentence for people.
    pub(super) story: String,
    /// The hunts that have to find it, each with the column and value of its row.
    pub(super) found_by: Vec<(&'static str, &'static str, String)>,
    pub(super) traces: Vec<[u8; 16]>,
}

/// Everything that the last day holds beside the usual traffic.
pub(super) struct Scene<'a> {
    pub(super) company: &'a Company,
    pub(super) calendar: Calendar,
    pub(super) rng: ChaCha8Rng,
    pub(super) traces: Vec<Trace>,
    pub(super) logins: Vec<Logins>,
    pub(super) strains: Vec<Strain>,
    pub(super) logs: Vec<Placed<LogRecord>>,
    pub(super) truths: Vec<Truth>,
    cast: Vec<usize>,
}

impl<'a> Scene<'a> {
    /// Plants every attack and every near miss, the same for the same seed.
    pub(super) fn plant(company: &'a Company, calendar: Calendar, seed: u64) -> Self {
        let mut scene = Self {
            company,
            calendar,
            rng: chance(seed, 4, 0),
            traces: Vec::new(),
            logins: Vec::new(),
            strains: Vec::new(),
            logs: Vec::new(),
            truths: Vec::new(),
            cast: Vec::new(),
        };
        pii::plant(&mut scene);
        lateral::plant(&mut scene);
        stuffing::plant(&mut scene);
        distributed_stuffing::plant(&mut scene);
        scraping::plant(&mut scene);
        exfiltration::plant(&mut scene);
        shadow::plant(&mut scene);
        supply_chain::plant(&mut scene);
        misuse::plant(&mut scene);
        tenants::plant(&mut scene);
        agent::plant(&mut scene);
        near_misses::plant(&mut scene);
        scene
    }

    /// A user of a role, not mobile, whom no other part of the scene has.
    fn cast(&mut self, role: Role) -> (usize, &'a User) {
        self.cast_who(role, |_| true)
    }

    /// The same, of those whose position among all users fits.
    fn cast_who(&mut self, role: Role, fits: impl Fn(usize) -> bool) -> (usize, &'a User) {
        loop {
            let (at, user) = self.anyone(role);
            if fits(at) && !self.cast.contains(&at) {
                self.cast.push(at);
                return (at, user);
            }
        }
    }

    /// Any user of a role, not mobile.
    fn anyone(&mut self, role: Role) -> (usize, &'a User) {
        loop {
            let at = self.rng.random_range(0..self.company.users().len());
            let user = &self.company.users()[at];
            if user.role == role && !user.mobile {
                return (at, user);
            }
        }
    }

    /// A moment between two hours of the window.
    fn moment(&mut self, from_hour: u64, to_hour: u64) -> u64 {
        let window_ns = self.calendar.window_ns();
        window_ns + self.rng.random_range(from_hour * HOUR_NS..to_hour * HOUR_NS)
    }

    /// Adds a trace and answers its id.
    fn trace(&mut self, at_ns: u64, write: impl FnOnce(&mut TraceBuilder)) -> [u8; 16] {
        let mut builder = TraceBuilder::new(self.rng.random(), at_ns);
        write(&mut builder);
        let trace = builder.finish();
        let id = trace.id;
        self.traces.push(trace);
        id
    }
}
