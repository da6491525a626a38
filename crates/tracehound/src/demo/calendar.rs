use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::company::Company;
use super::company::{INVOICING_ACCOUNT, Role, SYNC_ACCOUNT, weighted};
use super::operations::{OPERATIONS, Operation, sync_stock, write_invoices};

/// Nanoseconds in an hour.
pub(super) const HOUR_NS: u64 = 3_600_000_000_000;
/// Nanoseconds in a day.
pub(super) const DAY_NS: u64 = 24 * HOUR_NS;
/// The thin days of history; the busy day comes after them.
pub(super) const HISTORY_DAYS: u64 = 28;

/// How much goes on in each hour of the day, UTC.
pub(super) const RHYTHM: [u32; 24] = [2, 2, 1, 1, 2, 3, 5, 8, 10, 11, 11, 10, 9, 10, 10, 9, 9, 10, 11, 10, 8, 6, 4, 3];

/// Days of the history on which each operation is certain to be done by somebody.
const CERTAIN_DAYS: [u64; 8] = [0, 1, 2, 5, 9, 14, 20, 27];

/// The days of the demo: they end at the anchor, the last one is the window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calendar {
    /// Where the data ends, in nanoseconds since the Unix epoch; a full hour.
    pub(super) anchor_ns: u64,
}

impl Calendar {
    /// Where the window, the busy last day, begins.
    pub(super) fn window_ns(self) -> u64 {
        self.anchor_ns - DAY_NS
    }

    /// Where all data begins.
    pub(super) fn first_ns(self) -> u64 {
        self.day_ns(0)
    }

    /// Where a day begins; day `HISTORY_DAYS` is the last one.
    pub(super) fn day_ns(self, day: u64) -> u64 {
        self.anchor_ns - (HISTORY_DAYS + 1 - day) * DAY_NS
    }

    /// A moment of a day, following the rhythm of the hours.
    pub(super) fn moment(self, rng: &mut ChaCha8Rng, day: u64) -> u64 {
        let start_ns = self.day_ns(day);
        let hours: Vec<(u64, u32)> = (0..24).map(|hour| (hour, rhythm(start_ns + hour * HOUR_NS))).collect();
        start_ns + weighted(rng, &hours) * HOUR_NS + rng.random_range(0..HOUR_NS)
    }
}

/// The rhythm's weight at a time.
pub(super) fn rhythm(time_ns: u64) -> u32 {
    let hour = usize::try_from(time_ns / HOUR_NS % 24).expect("below 24");
    RHYTHM[hour]
}

/// Chance for one purpose and one part of the time, so that each can be drawn alone.
pub(super) fn chance(seed: u64, purpose: u64, part: u64) -> ChaCha8Rng {
    let mixed = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(purpose.wrapping_mul(0xbf58_476d_1ce4_e5b9))
        .wrapping_add(part.wrapping_mul(0x94d0_49bb_1331_11eb));
    ChaCha8Rng::seed_from_u64(mixed)
}

/// One thing that a user is going to do.
#[derive(Clone, Copy)]
pub(super) struct Visit {
    pub(super) at_ns: u64,
    /// Index into the company's users.
    pub(super) user: usize,
    pub(super) run: RunOperation,
    /// The seed of its trace.
    pub(super) seed: u64,
    pub(super) all_branches: bool,
}

type RunOperation = fn(&mut super::trace::TraceBuilder, &Company, &super::company::User);

/// What everybody does on a day, in order of time.
pub(super) fn visits(company: &Company, calendar: Calendar, seed: u64, day: u64) -> Vec<Visit> {
    let mut rng = chance(seed, 1, day);
    let busy = day == HISTORY_DAYS;
    let end_ns = calendar.day_ns(day + 1);
    let mut visits = Vec::new();
    for (index, user) in company.users().iter().enumerate() {
        let (share, least, most) = habits(user.role, busy);
        if !rng.random_bool(share) {
            continue;
        }
        let mut at_ns = calendar.moment(&mut rng, day);
        for _ in 0..rng.random_range(least..=most) {
            let run = pick(&mut rng, user.role);
            visits.push(Visit { at_ns, user: index, run, seed: rng.random(), all_branches: false });
            at_ns = match user.role {
                Role::Customer => at_ns + rng.random_range(5..120) * 1_000_000_000,
                _ => calendar.moment(&mut rng, day),
            };
        }
    }
    accounts(company, calendar, day, &mut rng, &mut visits);
    if CERTAIN_DAYS.contains(&day) {
        for operation in OPERATIONS {
            // Once by the front door, once by the mobile one, where the role has both.
            for mobile in [false, true] {
                let fits = |user: &super::company::User| user.role == operation.role && user.mobile == mobile;
                let fitting: Vec<usize> = (0..company.users().len()).filter(|&at| fits(&company.users()[at])).collect();
                if fitting.is_empty() {
                    continue;
                }
                let user = fitting[rng.random_range(0..fitting.len())];
                let at_ns = calendar.moment(&mut rng, day);
                let run = operation.run;
                visits.push(Visit { at_ns, user, run, seed: rng.random(), all_branches: true });
            }
        }
    }
    visits.retain(|visit| visit.at_ns < end_ns);
    visits.sort_by_key(|visit| (visit.at_ns, visit.seed));
    visits
}

/// The share of a role's users who come on a day, and how much each does then.
fn habits(role: Role, busy: bool) -> (f64, u32, u32) {
    match (role, busy) {
        (Role::Customer, true) => (0.75, 3, 9),
        (Role::Customer, false) => (0.025, 3, 9),
        (Role::Support, true) => (0.9, 8, 18),
        (Role::Support, false) => (0.1, 8, 18),
        (Role::Analyst | Role::Admin | Role::Engineer, true) => (0.9, 5, 12),
        (Role::Analyst | Role::Admin | Role::Engineer, false) => (0.2, 5, 12),
        (Role::Service, _) => (0.0, 0, 0),
    }
}

fn pick(rng: &mut ChaCha8Rng, role: Role) -> RunOperation {
    let fitting: Vec<(RunOperation, u32)> = OPERATIONS
        .iter()
        .filter(|operation| operation.role == role)
        .map(|Operation { weight, run, .. }| (*run, *weight))
        .collect();
    weighted(rng, &fitting)
}

/// The service accounts: much, regular and every day alike.
fn accounts(company: &Company, calendar: Calendar, day: u64, rng: &mut ChaCha8Rng, visits: &mut Vec<Visit>) {
    let position = |id: &str| company.users().iter().position(|user| user.id == id);
    if let Some(user) = position(SYNC_ACCOUNT) {
        let count: u64 = 220;
        for turn in 0..count {
            let at_ns = calendar.day_ns(day) + turn * (DAY_NS / count) + rng.random_range(0..HOUR_NS / 100);
            visits.push(Visit { at_ns, user, run: sync_stock, seed: rng.random(), all_branches: false });
        }
    }
    if let Some(user) = position(INVOICING_ACCOUNT) {
        for turn in 0..2 {
            let at_ns = calendar.day_ns(day) + (2 + turn * 5) * HOUR_NS + 58 * 60_000_000_000;
            visits.push(Visit { at_ns, user, run: write_invoices, seed: rng.random(), all_branches: false });
        }
    }
}
