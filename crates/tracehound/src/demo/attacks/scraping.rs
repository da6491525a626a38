use rand::RngExt;

use super::{Role, Scene, Truth};
use crate::demo::operations::browse;

/// One customer account reads the whole catalogue, slowly and without errors.
pub(super) fn plant(scene: &mut Scene) {
    const REQUESTS: u64 = 900;
    let (_, user) = scene.cast(Role::Customer);
    let company = scene.company;
    let mut at_ns = scene.moment(5, 8);
    let mut traces = Vec::new();
    for _ in 0..REQUESTS {
        at_ns += scene.rng.random_range(18_000..26_000) * 1_000_000;
        traces.push(scene.trace(at_ns, |t| browse(t, company, user)));
    }
    scene.truths.push(Truth {
        attack: "api-scraping",
        story: format!("{} read {REQUESTS} products within six hours", user.id),
        found_by: vec![("api-scraping", "user_id", user.id.clone())],
        traces,
    });
}
