use super::{Role, Scene, Truth};
use crate::demo::operations::{assistant, tool};

/// An injected prompt makes the shop's agent use a tool that is not its own.
pub(super) fn plant(scene: &mut Scene) {
    let (_, user) = scene.cast(Role::Customer);
    let start_ns = scene.moment(5, 22);
    let traces = (0..2)
        .map(|turn| {
            scene.trace(start_ns + turn * 120_000_000_000, |t| {
                t.request("gateway", user, "POST /assistant", |t| {
                    assistant(t, |t| tool(t, "read_environment", |_| {}));
                });
            })
        })
        .collect();
    scene.truths.push(Truth {
        attack: "agent-off-path",
        story: format!("shop-assistant called read_environment for {}", user.id),
        found_by: vec![("agent-off-path", "agent", "shop-assistant".to_owned())],
        traces,
    });
}
