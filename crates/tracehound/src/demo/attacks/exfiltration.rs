use super::{Role, Scene, Truth};
use crate::demo::operations::{read_profile, somebody};

/// A support agent, who may read profiles, sends them to a file drop outside.
pub(super) fn plant(scene: &mut Scene) {
    let (_, user) = scene.cast(Role::Support);
    let start_ns = scene.moment(6, 20);
    let company = scene.company;
    let traces = (0..4)
        .map(|turn| {
            scene.trace(start_ns + turn * 400_000_000_000, |t| {
                t.request("support-desk", user, "GET /tickets/{id}", |t| {
                    t.query("SELECT ticket");
                    for _ in 0..6 {
                        let subject = somebody(t, company);
                        read_profile(t, subject);
                    }
                    t.outbound("sync.dropvault.example", "PUT", "/upload", 4_800_000);
                });
            })
        })
        .collect();
    scene.truths.push(Truth {
        attack: "pii-leaves-boundary",
        story: format!("{} (role support) sent profiles to sync.dropvault.example", user.id),
        found_by: vec![
            ("pii-leaves-boundary", "user_id", user.id.clone()),
            ("new-destinations", "domain", "dropvault.example".to_owned()),
        ],
        traces,
    });
}
