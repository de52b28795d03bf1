//! The people of the demo: their logins at the identity service, and their accounts in the datasource.

/// One person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// Login at the identity service.
    pub email: &'static str,
    /// Password there; the demo's sign-in page shows it.
    pub password: &'static str,
    /// Given name and family name.
    pub name: (&'static str, &'static str),
    /// Subject of the tokens.
    pub subject: &'static str,
    /// ProjectWise user, for Basic logins; `None`: the identity is not mapped to one, and the gateway refuses it.
    pub user: Option<&'static str>,
    /// Number of the ProjectWise user.
    pub user_id: u32,
    /// What sets this person apart.
    pub role: &'static str,
}

/// Who signs in where nobody says who.
pub const DEFAULT_EMAIL: &str = "demo.engineer@example.com";
/// The password of every demo account: nothing here is secret.
pub(super) const PASSWORD: &str = "leven-bridge";

/// Everybody.
pub const ACCOUNTS: &[Account] = &[
    Account {
        email: DEFAULT_EMAIL,
        password: PASSWORD,
        name: ("Demo", "Engineer"),
        subject: "5d3fb2a1-7c40-4e0b-9a55-0d3f6f6f1042",
        user: Some("demo.engineer"),
        user_id: 1042,
        role: "sees the whole project but what it refuses to everybody",
    },
    Account {
        email: "site.inspector@example.com",
        password: PASSWORD,
        name: ("Ines", "Inspector"),
        subject: "8a1e7f60-44c2-4d0a-8f11-2f0f5a6b1051",
        user: Some("site.inspector"),
        user_id: 1051,
        role: "sees site photographs, construction and general folders only",
    },
    Account {
        email: "guest.reviewer@example.com",
        password: PASSWORD,
        name: ("Gus", "Reviewer"),
        subject: "c3d90e5b-1f27-4a6e-b0aa-7de1b4931067",
        user: Some("guest.reviewer"),
        user_id: 1067,
        role: "sees the design folders and may download nothing in the calculations",
    },
    Account {
        email: "new.starter@example.com",
        password: PASSWORD,
        name: ("Nova", "Starter"),
        subject: "f0b3a2c4-93d8-4c1f-a7b6-55c2d0e81099",
        user: None,
        user_id: 0,
        role: "has an identity, and no ProjectWise account mapped to it",
    },
];

/// The person who signs in with this address, in any case.
pub(super) fn by_email(email: &str) -> Option<&'static Account> {
    ACCOUNTS
        .iter()
        .find(|account| account.email.eq_ignore_ascii_case(email))
}

/// The person with this ProjectWise user, in any case; `DOMAIN\user` counts as `user`.
pub(super) fn by_user(user: &str) -> Option<&'static Account> {
    let plain = user.rsplit_once('\\').map_or(user, |(_, plain)| plain);
    ACCOUNTS.iter().find(|account| {
        account
            .user
            .is_some_and(|known| known.eq_ignore_ascii_case(plain))
    })
}
