use super::{Role, Scene, Truth};

/// A stolen admin session grants roles through the public gateway instead of
/// the admin portal, past its checks.
pub(super) fn plant(scene: &mut Scene) {
    let (_, user) = scene.cast(Role::Admin);
    let start_ns = scene.moment(2, 22);
    let traces = (0..3)
        .map(|turn| {
            scene.trace(start_ns + turn * 90_000_000_000, |t| {
                t.request("gateway", user, "POST /internal/auth", |t| {
                    t.call("auth", "auth.GrantRole", |t| t.query("INSERT grant"));
                });
            })
        })
        .collect();
    scene.truths.push(Truth {
        attack: "privilege-misuse",
        story: format!("{} (role admin) granted roles past the admin portal", user.id),
        found_by: vec![("privilege-misuse", "user_id", user.id.clone())],
        traces,
    });
}
