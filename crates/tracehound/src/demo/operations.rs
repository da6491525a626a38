use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use rand::RngExt;

use super::company::{Company, Role, User};
use super::trace::TraceBuilder;

/// One thing that users of a role do, and how often in relation to the others.
pub(super) struct Operation {
    pub(super) role: Role,
    pub(super) weight: u32,
    pub(super) run: fn(&mut TraceBuilder, &Company, &User),
}

const fn operation(role: Role, weight: u32, run: fn(&mut TraceBuilder, &Company, &User)) -> Operation {
    Operation { role, weight, run }
}

/// What the company's users do on any day.
pub(super) const OPERATIONS: [Operation; 20] = [
    operation(Role::Customer, 22, browse),
    operation(Role::Customer, 15, search),
    operation(Role::Customer, 30, own_profile),
    operation(Role::Customer, 12, add_to_cart),
    operation(Role::Customer, 8, checkout),
    operation(Role::Customer, 10, own_orders),
    operation(Role::Customer, 6, ask_assistant),
    operation(Role::Customer, 10, login),
    operation(Role::Support, 6, read_ticket),
    operation(Role::Support, 1, login),
    operation(Role::Analyst, 4, sales_report),
    operation(Role::Analyst, 2, long_report),
    operation(Role::Analyst, 1, login),
    operation(Role::Admin, 3, deactivate_user),
    operation(Role::Admin, 2, grant_role),
    operation(Role::Admin, 2, export_customers),
    operation(Role::Admin, 1, login),
    operation(Role::Engineer, 3, browse),
    operation(Role::Engineer, 1, login),
    operation(Role::Service, 1, sync_stock),
];

fn front(user: &User) -> &'static str {
    if user.mobile { "mobile-bff" } else { "gateway" }
}

/// A customer's request to the front door, which may be either of the two.
fn enter(t: &mut TraceBuilder, user: &User, route: &str, body: impl FnOnce(&mut TraceBuilder)) {
    t.request(front(user), user, route, body);
}

fn unlucky(t: &mut TraceBuilder, message: &str) {
    if t.rng.random_bool(0.004) {
        t.fail(message);
    }
}

pub(super) fn login(t: &mut TraceBuilder, _: &Company, user: &User) {
    enter(t, user, "POST /login", |t| {
        t.call("auth", "auth.Login", |t| {
            t.text("enduser.id", &user.id);
            t.query("SELECT credentials");
            t.call("sessions", "sessions.Create", |t| t.query("INSERT session"));
        });
    });
}

/// A login with a wrong password.
pub(super) fn failed_login(t: &mut TraceBuilder, _: &Company, user: &User) {
    enter(t, user, "POST /login", |t| {
        t.call("auth", "auth.Login", |t| {
            t.text("enduser.id", &user.id);
            t.query("SELECT credentials");
            t.fail("invalid credentials");
        });
    });
}

pub(super) fn browse(t: &mut TraceBuilder, _: &Company, user: &User) {
    enter(t, user, "GET /products/{id}", |t| {
        t.call("catalog", "catalog.Get", |t| {
            t.query("SELECT product");
            t.call("pricing", "pricing.Quote", |_| {});
            if t.maybe(0.3) {
                t.call("inventory", "inventory.Level", |t| t.query("SELECT stock"));
            }
            unlucky(t, "catalog cache unavailable");
        });
        if t.maybe(0.25) {
            t.call("recommendations", "recommendations.For", |_| {});
        }
    });
}

fn search(t: &mut TraceBuilder, _: &Company, user: &User) {
    enter(t, user, "GET /search", |t| {
        t.call("search", "search.Query", |t| {
            t.query("SELECT index");
            if t.maybe(0.2) {
                t.call("catalog", "catalog.Get", |t| t.query("SELECT product"));
            }
        });
    });
}

fn own_profile(t: &mut TraceBuilder, _: &Company, user: &User) {
    enter(t, user, "GET /profile", |t| read_profile(t, user));
}

/// The call that reads somebody's personal data.
pub(super) fn read_profile(t: &mut TraceBuilder, subject: &User) {
    t.call("customers", "customers.Get", |t| {
        t.query_with("SELECT customer", |t| t.touches("PII", subject));
        unlucky(t, "replica lagging");
    });
}

/// The call that reads somebody's orders, which are confidential and not personal.
pub(super) fn read_orders(t: &mut TraceBuilder, owner: &User) {
    t.call("orders", "orders.List", |t| {
        t.query_with("SELECT orders", |t| t.touches("CONFIDENTIAL", owner));
    });
}

fn own_orders(t: &mut TraceBuilder, _: &Company, user: &User) {
    enter(t, user, "GET /orders", |t| {
        read_orders(t, user);
        if t.maybe(0.5) {
            read_profile(t, user);
        }
    });
}

fn add_to_cart(t: &mut TraceBuilder, _: &Company, user: &User) {
    enter(t, user, "POST /cart", |t| {
        t.call("cart", "cart.Add", |t| {
            t.call("pricing", "pricing.Quote", |_| {});
            t.call("inventory", "inventory.Reserve", |t| t.query("UPDATE stock"));
            if t.released {
                t.call("recommendations", "recommendations.For", |_| {});
            }
        });
    });
}

fn checkout(t: &mut TraceBuilder, _: &Company, user: &User) {
    enter(t, user, "POST /orders", |t| {
        t.call("orders", "orders.Create", |t| {
            // An older library, with the older attribute.
            t.text("enduser.id", &user.id);
            read_profile(t, user);
            t.call("payments", "payments.Charge", |t| {
                t.outbound("api.payrail.example", "POST", "/v1/charges", 640);
                unlucky(t, "card declined");
            });
            t.call("shipping", "shipping.Order", |t| {
                t.outbound("api.parcelwise.example", "POST", "/labels", 1_200);
            });
            t.query("INSERT order");
            let delay_ms = t.rng.random_range(200..240_000);
            t.publish("order.created", "notifications", delay_ms, |t| {
                t.call("mailer", "mailer.Send", |t| {
                    t.outbound("smtp.postbird.example", "POST", "/send", 8_000);
                });
            });
        });
    });
}

fn ask_assistant(t: &mut TraceBuilder, _: &Company, user: &User) {
    enter(t, user, "POST /assistant", |t| {
        assistant(t, |t| {
            tool(t, "search_catalog", |t| {
                t.call("search", "search.Query", |t| t.query("SELECT index"));
            });
            if t.maybe(0.4) {
                tool(t, "order_status", |t| read_orders(t, user));
            }
        });
    });
}

/// The shop's AI agent at work on a prompt.
pub(super) fn assistant(t: &mut TraceBuilder, tools: impl FnOnce(&mut TraceBuilder)) {
    t.call("assistant", "invoke_agent shop-assistant", |t| {
        t.text("gen_ai.operation.name", "invoke_agent");
        t.text("gen_ai.agent.name", "shop-assistant");
        t.outbound("api.modelhub.example", "POST", "/v1/chat", 3_000);
        tools(t);
        t.outbound("api.modelhub.example", "POST", "/v1/chat", 5_000);
    });
}

/// A tool call of the agent, by MCP.
pub(super) fn tool(t: &mut TraceBuilder, name: &str, body: impl FnOnce(&mut TraceBuilder)) {
    t.span("assistant", SpanKind::Internal, &format!("execute_tool {name}"), |t| {
        t.text("gen_ai.operation.name", "execute_tool");
        t.text("gen_ai.tool.name", name);
        t.call("mcp-tools", &format!("tools/call {name}"), |t| {
            t.text("mcp.method.name", "tools/call");
            t.text("gen_ai.tool.name", name);
            body(t);
        });
    });
}

/// The customer whom a ticket or a job is about.
pub(super) fn somebody<'a>(t: &mut TraceBuilder, company: &'a Company) -> &'a User {
    let customers = company.customers();
    &customers[t.rng.random_range(0..customers.len())]
}

fn read_ticket(t: &mut TraceBuilder, company: &Company, user: &User) {
    let subject = somebody(t, company);
    t.request("support-desk", user, "GET /tickets/{id}", |t| {
        t.query("SELECT ticket");
        read_profile(t, subject);
        if t.maybe(0.4) {
            read_orders(t, subject);
        }
    });
}

fn sales_report(t: &mut TraceBuilder, _: &Company, user: &User) {
    t.request("reporting", user, "GET /reports/sales", |t| {
        t.call("orders", "orders.Aggregate", |t| t.query("SELECT sum(orders)"));
        t.call("billing", "billing.Aggregate", |t| t.query("SELECT sum(invoices)"));
    });
}

/// A report that runs for minutes, and so often over the end of an hour.
fn long_report(t: &mut TraceBuilder, _: &Company, user: &User) {
    t.request("reporting", user, "POST /reports", |t| {
        let delay_ms = t.rng.random_range(60_000..600_000);
        t.publish("report.requested", "reporting", delay_ms, |t| {
            t.call("orders", "orders.Aggregate", |t| {
                t.query("SELECT sum(orders)");
                t.work(60_000_000);
            });
            t.call("documents", "documents.Store", |t| t.query("INSERT document"));
        });
    });
}

fn deactivate_user(t: &mut TraceBuilder, company: &Company, user: &User) {
    let subject = somebody(t, company);
    t.request("admin-portal", user, "DELETE /admin/users/{id}", |t| {
        t.call("auth", "auth.DeactivateUser", |t| t.query("UPDATE credentials"));
        t.call("customers", "customers.Delete", |t| {
            t.query_with("UPDATE customer", |t| t.touches("PII", subject));
        });
    });
}

fn grant_role(t: &mut TraceBuilder, _: &Company, user: &User) {
    t.request("admin-portal", user, "POST /admin/roles", |t| {
        t.call("auth", "auth.GrantRole", |t| t.query("INSERT grant"));
    });
}

/// An admin's export: much personal data, and allowed.
pub(super) fn export_customers(t: &mut TraceBuilder, company: &Company, user: &User) {
    t.request("admin-portal", user, "POST /admin/exports", |t| {
        t.call("export", "export.ExportCustomers", |t| {
            for _ in 0..4 {
                let subject = somebody(t, company);
                read_profile(t, subject);
            }
            t.call("documents", "documents.Store", |t| t.query("INSERT document"));
        });
    });
}

pub(super) fn sync_stock(t: &mut TraceBuilder, _: &Company, user: &User) {
    t.request("gateway", user, "POST /sync/stock", |t| {
        t.call("inventory", "inventory.Sync", |t| t.query("UPDATE stock"));
    });
}

/// The night's invoices: minutes long, over many customers, by a service account.
pub(super) fn write_invoices(t: &mut TraceBuilder, company: &Company, user: &User) {
    t.job("invoices", "invoices.Run", |t| {
        t.text("enduser.id", &user.id);
        t.text("enduser.role", user.role.as_str());
        t.text("security.tenant_id", user.tenant);
        for _ in 0..6 {
            let subject = somebody(t, company);
            t.call("billing", "billing.Balance", |t| t.query("SELECT balance"));
            t.query_with("SELECT address", |t| t.touches("PII", subject));
            t.work(16_000_000);
        }
        t.call("documents", "documents.Store", |t| t.query("INSERT document"));
        t.call("mailer", "mailer.Send", |t| {
            t.outbound("smtp.postbird.example", "POST", "/send", 20_000);
        });
    });
}
