use super::{Role, Scene, Truth};
use crate::demo::calendar::HOUR_NS;
use crate::demo::logins::{Logins, is_cumulative};
use crate::demo::operations::login;

/// Valid credentials of one customer, replayed dozens of times without one
/// failure; two customers, one behind each kind of counter.
pub(super) fn plant(scene: &mut Scene) {
    for cumulative in [false, true] {
        let (at, user) = scene.cast_who(Role::Customer, |at| is_cumulative(at) == cumulative);
        let first_hour = if cumulative { 9 } else { 14 };
        let company = scene.company;
        let mut traces = Vec::new();
        for hour in first_hour..first_hour + 2 {
            for _ in 0..36 {
                let at_ns = scene.moment(hour, hour + 1);
                traces.push(scene.trace(at_ns, |t| login(t, company, user)));
            }
            let hour_ns = scene.calendar.window_ns() + hour * HOUR_NS;
            let region = user.region;
            scene.logins.push(Logins { hour_ns, user: at, region, attempts: 36, failures: 0 });
        }
        scene.truths.push(Truth {
            attack: "credential-stuffing",
            story: format!("{} logged in 72 times within two hours, never failing", user.id),
            found_by: vec![("credential-stuffing", "user_id", user.id.clone())],
            traces,
        });
    }
}
