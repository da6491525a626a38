use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use rand::RngExt;

use super::{Role, Scene};
use crate::demo::calendar::HOUR_NS;
use crate::demo::load::Strain;
use crate::demo::logins::Logins;
use crate::demo::operations::{browse, export_customers, failed_login, login, read_profile, somebody};
use crate::demo::trace::Placed;

/// What looks like an attack and is none: no hunt may list any of it.
///
/// Beside these, the usual traffic has more: exports by admins, the night's
/// invoices, a build account with dozens of logins a day, a stock account with
/// hundreds of requests, the release of the last day with its new call, and
/// spans whose parents are lost.
pub(super) fn plant(scene: &mut Scene) {
    forgetful_user(scene);
    broken_client(scene);
    busy_customer(scene);
    new_host_of_a_known_company(scene);
    new_host_inside(scene);
    bad_deployment(scene);
    exporting_admin(scene);
}

/// Many logins, and many of them fail.
fn forgetful_user(scene: &mut Scene) {
    let (at, user) = scene.cast(Role::Customer);
    let company = scene.company;
    for turn in 0..40 {
        let at_ns = scene.moment(10, 11);
        let write = if turn % 2 == 0 { failed_login } else { login };
        scene.trace(at_ns, |t| write(t, company, user));
    }
    let hour_ns = scene.calendar.window_ns() + 10 * HOUR_NS;
    scene.logins.push(Logins { hour_ns, user: at, region: user.region, attempts: 40, failures: 20 });
}

/// Hundreds of requests, most of them failing and tried again.
fn broken_client(scene: &mut Scene) {
    let (_, user) = scene.cast(Role::Customer);
    let start_ns = scene.moment(6, 12);
    for turn in 0..320 {
        scene.trace(start_ns + turn * 2_000_000_000, |t| {
            t.request("gateway", user, "GET /products/{id}", |t| {
                t.call("catalog", "catalog.Get", |t| t.query("SELECT product"));
                if turn % 5 > 0 {
                    t.fail("unexpected content type");
                }
            });
        });
    }
}

/// Ten times the usual requests of a customer, and still one person's.
fn busy_customer(scene: &mut Scene) {
    let (_, user) = scene.cast(Role::Customer);
    let company = scene.company;
    for _ in 0..70 {
        let at_ns = scene.moment(6, 22);
        scene.trace(at_ns, |t| browse(t, company, user));
    }
}

/// A host never seen, of a company that is called all day.
fn new_host_of_a_known_company(scene: &mut Scene) {
    for _ in 0..8 {
        let (_, user) = scene.anyone(Role::Customer);
        let at_ns = scene.moment(8, 22);
        scene.trace(at_ns, |t| {
            t.request("gateway", user, "POST /orders", |t| {
                t.call("orders", "orders.Create", |t| {
                    read_profile(t, user);
                    t.call("payments", "payments.Charge", |t| {
                        t.outbound("eu-7.payrail.example", "POST", "/v1/charges", 640);
                    });
                });
            });
        });
    }
}

/// A host never seen, inside the company's own network, that receives personal data.
fn new_host_inside(scene: &mut Scene) {
    let company = scene.company;
    for _ in 0..6 {
        let (_, user) = scene.anyone(Role::Support);
        let at_ns = scene.moment(8, 20);
        scene.trace(at_ns, |t| {
            let subject = somebody(t, company);
            t.request("support-desk", user, "GET /tickets/{id}", |t| {
                read_profile(t, subject);
                t.outbound("warehouse-9.corp.internal", "POST", "/cases", 900);
            });
        });
    }
}

/// A service that works as hard as a poisoned one, and says what is wrong.
fn bad_deployment(scene: &mut Scene) {
    let from_ns = scene.calendar.window_ns() + 15 * HOUR_NS;
    let to_ns = from_ns + 3 * HOUR_NS;
    scene.strains.push(Strain { service: "shipping", from_ns, to_ns, cpu: 2.3, network: 5.0 });
    for _ in 0..240 {
        let time_unix_nano = scene.rng.random_range(from_ns..to_ns);
        let body = Value::StringValue("label printer timed out, trying again".to_owned());
        let record = LogRecord {
            time_unix_nano,
            observed_time_unix_nano: time_unix_nano,
            severity_number: 17,
            severity_text: "ERROR".to_owned(),
            body: Some(AnyValue { value: Some(body) }),
            ..LogRecord::default()
        };
        scene.logs.push(Placed { service: "shipping", record });
    }
}

/// An admin exports far more often than on other days, by the admins' way.
fn exporting_admin(scene: &mut Scene) {
    let (_, user) = scene.cast(Role::Admin);
    let company = scene.company;
    for _ in 0..6 {
        let at_ns = scene.moment(8, 18);
        scene.trace(at_ns, |t| export_customers(t, company, user));
    }
}
