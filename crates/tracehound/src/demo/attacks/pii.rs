use super::{Role, Scene, Truth};
use crate::demo::operations::{read_profile, somebody};

/// A customer walks through other customers' profiles: the identifier in the
/// request is changed, and nobody checks it. A second one comes with an account
/// whose role was lost, which must not count as an admin's.
pub(super) fn plant(scene: &mut Scene) {
    for (sends_role, count) in [(true, 36), (false, 14)] {
        let (_, user) = scene.cast(Role::Customer);
        let mut user = user.clone();
        user.sends_role = sends_role;
        let start_ns = scene.moment(3, 20);
        let company = scene.company;
        let traces = (0..count)
            .map(|turn| {
                scene.trace(start_ns + turn * 17_000_000_000, |t| {
                    // Of the same tenant, so that only the person is wrong.
                    let subject = loop {
                        let subject = somebody(t, company);
                        if subject.tenant == user.tenant && subject.id != user.id {
                            break subject;
                        }
                    };
                    t.request("gateway", &user, "GET /profile", |t| read_profile(t, subject));
                })
            })
            .collect();
        let role = if sends_role { "role customer" } else { "no role at all" };
        scene.truths.push(Truth {
            attack: "pii-by-non-admin",
            story: format!("{} ({role}) read the profiles of {count} other people", user.id),
            found_by: vec![("pii-by-non-admin", "user_id", user.id.clone())],
            traces,
        });
    }
}
