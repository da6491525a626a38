use super::{Scene, Truth};
use crate::demo::calendar::HOUR_NS;
use crate::demo::load::Strain;

/// A poisoned dependency of `search` phones home every few minutes, and the
/// service uses far more CPU and network than usual. Its logs stay clean.
pub(super) fn plant(scene: &mut Scene) {
    let from_ns = scene.calendar.window_ns() + 12 * HOUR_NS;
    let to_ns = from_ns + 4 * HOUR_NS;
    let traces = (0..48)
        .map(|turn| {
            scene.trace(from_ns + turn * 300_000_000_000 + 11_000_000_000, |t| {
                t.job("search", "flush", |t| {
                    t.outbound("telemetry.pkgmirror.example", "POST", "/v1/beacon", 90_000);
                });
            })
        })
        .collect();
    scene.strains.push(Strain { service: "search", from_ns, to_ns, cpu: 3.0, network: 8.0 });
    scene.truths.push(Truth {
        attack: "supply-chain",
        story: "a dependency of search called telemetry.pkgmirror.example and worked hard".to_owned(),
        found_by: vec![
            ("supply-chain", "domain", "pkgmirror.example".to_owned()),
            ("new-destinations", "domain", "pkgmirror.example".to_owned()),
        ],
        traces,
    });
}
