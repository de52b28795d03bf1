//! Tells the desktop that a login is lost, and that it works again (the Desktop Notifications Specification, 1.3).

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use zbus::zvariant::Value;

use crate::auth::LoginState;

/// A desktop that does not answer by then is none. Nobody waits for it but its own task.
const PATIENCE: Duration = Duration::from_secs(5);

const SERVICE: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// The desktop of the person who mounted, if there is one.
#[derive(Debug, Default)]
pub(super) struct Desktop {
    /// The number of the notification that stands, as the desktop gave it; 0 for none.
    standing: u32,
}

/// What a notification says.
#[derive(Debug, PartialEq, Eq)]
struct Note {
    title: &'static str,
    body: String,
    icon: &'static str,
    /// How long it stays, in milliseconds: 0 until it is dismissed, -1 as the desktop thinks fit.
    stays: i32,
}

impl Desktop {
    /// Shows the state, in place of what was shown before. Takes 5 s at most; without a desktop, nothing happens.
    pub(super) async fn tell(&mut self, state: LoginState, remedy: Option<&str>, mountpoint: &Path) {
        if state == LoginState::Good && self.standing == 0 {
            // Nobody was told that it did not work.
            return;
        }
        let note = Note::new(state, remedy, mountpoint);
        match tokio::time::timeout(PATIENCE, show(&note, self.standing)).await {
            Ok(Ok(number)) => {
                self.standing = if state == LoginState::Good { 0 } else { number };
            }
            Ok(Err(error)) => tracing::debug!(%error, "no desktop to tell"),
            Err(_) => tracing::debug!("the desktop does not answer"),
        }
    }
}

/// Shows `note` in place of the notification `replaced`; returns its number.
///
/// Over a connection of its own: states change once in weeks, and a session may end and begin meanwhile.
async fn show(note: &Note, replaced: u32) -> zbus::Result<u32> {
    let bus = zbus::Connection::session().await?;
    // 1 is the urgency "normal": it may wait until a film is over.
    let hints = HashMap::from([
        ("urgency", Value::from(1_u8)),
        ("category", Value::from("network.error")),
    ]);
    let no_actions: &[&str] = &[];
    let message = (
        "pwfs", replaced, note.icon, note.title, &note.body, no_actions, hints, note.stays,
    );
    let answer = bus
        .call_method(Some(SERVICE), PATH, Some(SERVICE), "Notify", &message)
        .await?;
    let number = answer.body().deserialize()?;
    bus.close().await?;
    Ok(number)
}

impl Note {
    fn new(state: LoginState, remedy: Option<&str>, mountpoint: &Path) -> Self {
        let place = plain(&mountpoint.to_string_lossy());
        let title = match state {
            LoginState::Good => "ProjectWise works again",
            LoginState::LoginNeeded => "ProjectWise: sign in again",
            LoginState::SecretNeeded => "ProjectWise: a new secret is needed",
            LoginState::LockedOut => "ProjectWise: the account is locked",
        };
        match remedy {
            None => Self {
                title,
                body: format!("{place} shows the latest documents."),
                icon: "dialog-information",
                stays: -1,
            },
            Some(remedy) => Self {
                title,
                body: format!(
                    "{place} shows only what is cached. To mend it, {}.",
                    plain(&remedy.replace('`', ""))
                ),
                icon: "dialog-password",
                stays: 0,
            },
        }
    }
}

/// Text that stays text where a desktop takes the body for markup, and cannot write on its lines.
fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            control if control.is_control() => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_says_what_to_do_and_no_name_becomes_markup() {
        let lost = Note::new(
            LoginState::LoginNeeded,
            Some("run `pwfs login --profile a`"),
            Path::new("/mnt/<b>R&D\n"),
        );
        assert_eq!(
            lost.body,
            "/mnt/&lt;b&gt;R&amp;D\u{fffd} shows only what is cached. To mend it, run pwfs login --profile a."
        );
        assert_eq!((lost.title, lost.stays), ("ProjectWise: sign in again", 0));
        let again = Note::new(LoginState::Good, None, Path::new("/mnt/a"));
        assert_eq!((again.title, again.stays), ("ProjectWise works again", -1));
    }
}
