use super::{Role, Scene, Truth};
use crate::demo::operations::{read_orders, somebody};

/// A customer reads the orders of another tenant's customers.
pub(super) fn plant(scene: &mut Scene) {
    let (_, user) = scene.cast(Role::Customer);
    let start_ns = scene.moment(3, 21);
    let company = scene.company;
    let traces = (0..12)
        .map(|turn| {
            scene.trace(start_ns + turn * 31_000_000_000, |t| {
                let owner = loop {
                    let owner = somebody(t, company);
                    if owner.tenant != user.tenant {
                        break owner;
                    }
                };
                t.request("gateway", user, "GET /orders", |t| read_orders(t, owner));
            })
        })
        .collect();
    scene.truths.push(Truth {
        attack: "cross-tenant-access",
        story: format!("{} of tenant {} read orders of other tenants", user.id, user.tenant),
        found_by: vec![("cross-tenant-access", "user_id", user.id.clone())],
        traces,
    });
}
