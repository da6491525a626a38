use super::{Role, Scene, Truth};
use crate::demo::calendar::HOUR_NS;
use crate::demo::logins::{FAR_REGION, Logins};
use crate::demo::operations::login;

/// A list of valid credentials, each tried once, all from one region within an hour.
pub(super) fn plant(scene: &mut Scene) {
    const USERS: usize = 70;
    let hour = 11;
    let company = scene.company;
    let mut traces = Vec::new();
    for _ in 0..USERS {
        let (at, user) = scene.cast(Role::Customer);
        let mut user = user.clone();
        user.region = FAR_REGION;
        user.address = format!("100.64.7.{}", at % 250 + 1);
        let at_ns = scene.moment(hour, hour + 1);
        traces.push(scene.trace(at_ns, |t| login(t, company, &user)));
        let hour_ns = scene.calendar.window_ns() + hour * HOUR_NS;
        let region = FAR_REGION;
        scene.logins.push(Logins { hour_ns, user: at, region, attempts: 1, failures: 0 });
    }
    scene.truths.push(Truth {
        attack: "credential-stuffing-distributed",
        story: format!("{USERS} users logged in from {FAR_REGION} within one hour"),
        found_by: vec![("credential-stuffing-distributed", "region", FAR_REGION.to_owned())],
        traces,
    });
}
