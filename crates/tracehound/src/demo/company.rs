use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The services of the simulated company, with the language of each for its resource.
pub(super) const SERVICES: [(&str, &str); 25] = [
    ("gateway", "go"),
    ("mobile-bff", "nodejs"),
    ("admin-portal", "nodejs"),
    ("support-desk", "ruby"),
    ("auth", "go"),
    ("sessions", "go"),
    ("customers", "java"),
    ("orders", "java"),
    ("catalog", "java"),
    ("search", "nodejs"),
    ("pricing", "python"),
    ("inventory", "go"),
    ("cart", "nodejs"),
    ("payments", "java"),
    ("billing", "java"),
    ("invoices", "java"),
    ("shipping", "go"),
    ("notifications", "nodejs"),
    ("mailer", "python"),
    ("reporting", "python"),
    ("export", "python"),
    ("documents", "go"),
    ("recommendations", "python"),
    ("assistant", "python"),
    ("mcp-tools", "python"),
];

/// The company's own tenant, to which its staff belongs.
pub(super) const STAFF_TENANT: &str = "larkspur";
const TENANTS: [&str; 6] = ["aster", "birch", "cedar", "dahlia", "elm", "fern"];
const REGIONS: [(&str, u32); 5] =
    [("eu-central", 40), ("eu-west", 25), ("us-east", 20), ("us-west", 10), ("ap-south", 5)];

/// What a user may do, and so what traffic a user makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Role {
    Customer,
    Support,
    Analyst,
    Admin,
    Engineer,
    Service,
}

impl Role {
    /// Its name in telemetry.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Support => "support",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
            Self::Engineer => "engineer",
            Self::Service => "service",
        }
    }
}

/// One principal: a customer, a member of staff or a service account.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) role: Role,
    /// Whether the identity provider sends the role along. One account's lost it.
    pub(super) sends_role: bool,
    pub(super) tenant: &'static str,
    pub(super) region: &'static str,
    pub(super) address: String,
    /// Whether the user comes by the mobile application.
    pub(super) mobile: bool,
}

/// Everybody: users in a fixed order, by role.
#[derive(Debug, Clone)]
pub(super) struct Company {
    users: Vec<User>,
    customers: usize,
}

/// The account that keeps the stock in step, all day, every day.
pub(super) const SYNC_ACCOUNT: &str = "svc-sync";
/// The account of the build server: dozens of logins each day.
pub(super) const BUILD_ACCOUNT: &str = "svc-ci";
/// The account that writes the invoices each night.
pub(super) const INVOICING_ACCOUNT: &str = "svc-invoicing";

impl Company {
    /// The same company for the same seed. `scale` is its number of customers
    /// in relation to the usual 2,850, of which at least 300 stay.
    pub(super) fn new(seed: u64, scale: f64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x00c0_ffee);
        let customers = scaled(2850, scale, 300);
        let mut users = Vec::with_capacity(customers + 160);
        for number in 1..=customers {
            let tenant = TENANTS[rng.random_range(0..TENANTS.len())];
            users.push(user(&mut rng, format!("u-{number:05}"), Role::Customer, tenant));
        }
        let staff = [
            (Role::Support, "s", scaled(60, scale, 12)),
            (Role::Analyst, "a", scaled(40, scale, 8)),
            (Role::Admin, "adm", 12),
            (Role::Engineer, "e", scaled(30, scale, 8)),
        ];
        for (role, prefix, count) in staff {
            for number in 1..=count {
                users.push(user(&mut rng, format!("{prefix}-{number:03}"), role, STAFF_TENANT));
            }
        }
        for account in [SYNC_ACCOUNT, BUILD_ACCOUNT, INVOICING_ACCOUNT] {
            let mut service = user(&mut rng, account.to_owned(), Role::Service, STAFF_TENANT);
            service.region = "eu-central";
            service.mobile = false;
            users.push(service);
        }
        Self { users, customers }
    }

    /// Everybody, customers first.
    pub(super) fn users(&self) -> &[User] {
        &self.users
    }

    /// The customers.
    pub(super) fn customers(&self) -> &[User] {
        &self.users[..self.customers]
    }
}

fn user(rng: &mut ChaCha8Rng, id: String, role: Role, tenant: &'static str) -> User {
    let region = weighted(rng, &REGIONS);
    let address = format!(
        "{}.{}.{}.{}",
        [203, 198, 192][rng.random_range(0..3)],
        rng.random_range(0..=255u8),
        rng.random_range(0..=255u8),
        rng.random_range(1..=254u8)
    );
    let mobile = role == Role::Customer && rng.random_bool(0.4);
    User { id, role, sends_role: true, tenant, region, address, mobile }
}

/// One of the choices, by weight.
pub(super) fn weighted<T: Copy>(rng: &mut ChaCha8Rng, choices: &[(T, u32)]) -> T {
    let total: u32 = choices.iter().map(|(_, weight)| weight).sum();
    let mut at = rng.random_range(0..total);
    for (choice, weight) in choices {
        if at < *weight {
            return *choice;
        }
        at -= weight;
    }
    choices[choices.len() - 1].0
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
fn scaled(count: u32, scale: f64, least: usize) -> usize {
    ((f64::from(count) * scale) as usize).max(least)
}
