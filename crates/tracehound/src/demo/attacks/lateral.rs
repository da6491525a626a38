use super::{Role, Scene, Truth};
use crate::demo::operations::{read_profile, somebody};

/// gateway → auth → billing → export with a support agent's over-privileged
/// token: each call is allowed by the token, none was ever made by that role.
pub(super) fn plant(scene: &mut Scene) {
    let (_, user) = scene.cast(Role::Support);
    let start_ns = scene.moment(4, 20);
    let company = scene.company;
    let traces = (0..3)
        .map(|turn| {
            scene.trace(start_ns + turn * 240_000_000_000, |t| {
                t.request("gateway", user, "POST /oauth/token", |t| {
                    t.call("auth", "auth.Exchange", |t| {
                        t.text("security.auth_method", "token-exchange");
                        t.query("SELECT grants");
                        t.call("billing", "billing.List", |t| {
                            t.query("SELECT invoices");
                            t.call("export", "export.ExportCustomers", |t| {
                                for _ in 0..5 {
                                    let subject = somebody(t, company);
                                    read_profile(t, subject);
                                }
                                t.query_with("SELECT customer_dump", |t| {
                                    t.text("security.data_classification", "PII");
                                });
                            });
                        });
                    });
                });
            })
        })
        .collect();
    scene.truths.push(Truth {
        attack: "lateral-movement",
        story: format!("{} (role support) went gateway → auth → billing → export", user.id),
        found_by: vec![
            ("lateral-movement", "user_id", user.id.clone()),
            ("pii-by-non-admin", "user_id", user.id.clone()),
        ],
        traces,
    });
}
