//! What a person does about a login that does not work, in the commands of their profile.

use std::fmt::Write as _;
use std::path::Path;

use crate::auth::AuthKind;
use crate::fs::login::Remedies;

/// The command that signs in to `profile`, as a shell takes it.
pub fn login_command(profile: &str, system: bool, config: Option<&Path>) -> String {
    let mut command = "pwfs login".to_owned();
    if system {
        command.push_str(" --system");
    }
    if let Some(config) = config {
        // Writing to a String cannot fail.
        let _ = write!(command, " --config {}", quoted(&config.to_string_lossy()));
    }
    let _ = write!(command, " --profile {}", quoted(profile));
    command
}

/// What to do about each state of a login of this kind; `command` signs in.
pub fn remedies(auth: AuthKind, command: &str, token_file: Option<&Path>) -> Remedies {
    let sign_in = format!("run `{command}`");
    let login_needed = match (auth.has_token_file(), token_file) {
        (true, Some(file)) => format!("put a fresh token into {}", file.display()),
        (true, None) => "put a fresh token into the profile's token file".to_owned(),
        (false, _) => sign_in.clone(),
    };
    let secret_needed = if auth.has_secret() {
        format!("run `{command} --client-secret-file FILE`, with the new Client Secret in FILE")
    } else if auth.has_password() {
        format!("{sign_in} and give the new password")
    } else {
        login_needed.clone()
    };
    let locked_out = format!("ask the ProjectWise administrator to unlock the account, then {login_needed}");
    Remedies {
        login_needed,
        secret_needed,
        locked_out,
    }
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_of_the_profile_and_its_place() {
        assert_eq!(login_command("work", false, None), "pwfs login --profile work");
        assert_eq!(
            login_command("work", true, Some(Path::new("/it's here/c.toml"))),
            r"pwfs login --system --config '/it'\''s here/c.toml' --profile work"
        );
    }

    #[test]
    fn each_kind_of_login_has_its_own_remedy() {
        let file = Path::new("/run/token");
        for (_, auth) in AuthKind::ALL {
            let Remedies {
                login_needed,
                secret_needed,
                ..
            } = remedies(auth, "pwfs login --profile p", Some(file));
            if auth.has_token_file() {
                assert_eq!(login_needed, "put a fresh token into /run/token", "{auth}");
            } else {
                assert_eq!(login_needed, "run `pwfs login --profile p`", "{auth}");
            }
            assert_eq!(
                secret_needed.contains("--client-secret-file"),
                auth.has_secret(),
                "{auth}"
            );
            assert_eq!(secret_needed.contains("password"), auth.has_password(), "{auth}");
        }
    }
}
