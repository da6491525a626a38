use super::{Role, Scene, Truth};

/// A team wires the prices to another company's interface and tells nobody.
pub(super) fn plant(scene: &mut Scene) {
    let traces = (0..60)
        .map(|_| {
            let (_, user) = scene.anyone(Role::Customer);
            let at_ns = scene.moment(8, 22);
            scene.trace(at_ns, |t| {
                t.request("gateway", user, "GET /products/{id}", |t| {
                    t.call("catalog", "catalog.Get", |t| {
                        t.query("SELECT product");
                        t.call("pricing", "pricing.Quote", |t| {
                            t.outbound("api.quotehub.example", "GET", "/v2/quote", 0);
                        });
                    });
                });
            })
        })
        .collect();
    scene.truths.push(Truth {
        attack: "shadow-integration",
        story: "pricing began to call api.quotehub.example".to_owned(),
        found_by: vec![("new-destinations", "domain", "quotehub.example".to_owned())],
        traces,
    });
}
