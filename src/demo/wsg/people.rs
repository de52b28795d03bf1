//! Users, views and workflows: short lists beside the documents.

use crate::demo::accounts::{ACCOUNTS, by_email};

use super::classes::Class;
use super::rows::{Record, Value};
use super::scene::Scene;

/// The instances of one of these classes.
pub(super) fn records(scene: Scene<'_>, class: Class) -> Vec<Record> {
    let named = |id: &str, name: &'static str, description: &'static str| Record {
        class,
        id: id.to_owned(),
        owner: None,
        properties: vec![
            ("Name", Value::Text(name.into())),
            ("Description", Value::Text(description.into())),
        ],
    };
    match class {
        Class::User => users(scene),
        Class::View => vec![named("1", "Standard", "Name, file name, size and date")],
        Class::Workflow => vec![named(
            "1",
            "Check and approve",
            "Work In Progress, Checked, Approved",
        )],
        _ => Vec::new(),
    }
}

fn users(scene: Scene<'_>) -> Vec<Record> {
    let current = by_email(scene.account);
    let users = ACCOUNTS
        .iter()
        .filter_map(|account| Some((account, account.user?)));
    users
        .map(|(account, user)| {
            let (given, family) = account.name;
            Record {
                class: Class::User,
                id: account.user_id.to_string(),
                owner: None,
                properties: vec![
                    ("Name", Value::Text(user.into())),
                    ("Description", Value::Text(format!("{given} {family}").into())),
                    ("EMail", Value::Text(account.email.into())),
                    ("IsCurrent", Value::Bool(current == Some(account))),
                ],
            }
        })
        .collect()
}
