//! Which way to sign in is meant: by the flags, else by the profile, else with a browser.

use crate::auth::AuthKind;

use super::{LoginArgs, LoginCommandError, SavedLogin};

/// The way `args` ask for. Flags that belong to different ways, or to another one than the profile's, are refused: one
/// that is ignored would be a login as somebody else than was meant.
pub(super) fn way(args: &LoginArgs, saved: &SavedLogin) -> Result<AuthKind, LoginCommandError> {
    let usage = |text: String| Err(LoginCommandError::Usage(text));
    let with_password = args.username.is_some() || args.windows;
    let app_type = args.app_type.map(AuthKind::from);
    let password = if args.windows {
        AuthKind::Windows
    } else {
        match saved.auth {
            // The same account under another name, as long as nobody says otherwise.
            Some(AuthKind::Windows) if args.username.as_ref() == saved.username.as_ref() => AuthKind::Windows,
            _ => AuthKind::Basic,
        }
    };
    let asked: Vec<(&str, AuthKind)> = [
        app_type.map(|kind| ("--app-type", kind)),
        args.service.then_some(("--service", AuthKind::Service)),
        with_password.then_some((
            if args.username.is_some() {
                "--username"
            } else {
                "--windows"
            },
            password,
        )),
        args.saml_file
            .is_some()
            .then_some(("--saml-file", AuthKind::Saml)),
        args.token_file
            .is_some()
            .then_some(("--token-file", AuthKind::Bearer)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let kind = match asked.as_slice() {
        // Who names an app means it, whatever the profile did before.
        [] if args.client_id.is_some() && saved.auth.is_some_and(|auth| !auth.has_app()) => AuthKind::Web,
        [] => saved.auth.unwrap_or_default(),
        [(_, kind)] => *kind,
        [(one, _), (other, _), ..] => {
            return usage(format!(
                "{one} and {other} are different ways to sign in (each may come from its environment variable, too); \
                 give one of them"
            ));
        }
    };
    let strangers = [
        ("--client-id", args.client_id.is_some(), kind.has_app()),
        (
            "--client-secret-file",
            args.client_secret_file.is_some(),
            kind.has_secret(),
        ),
        ("--issuer", args.issuer.is_some(), kind.has_app()),
        ("--scope", args.scope.is_some(), kind.has_app()),
        ("--redirect-uri", args.redirect_uri.is_some(), kind.has_browser()),
        (
            "--password-file",
            args.password_file.is_some(),
            kind.has_password(),
        ),
    ];
    if let Some((flag, ..)) = strangers.iter().find(|(_, given, fits)| *given && !fits) {
        let how = match asked.first() {
            Some((asked, _)) => format!("{asked} asks for {}", described(kind)),
            None => format!("the profile signs in with {}", described(kind)),
        };
        return usage(format!("{flag} does not go with this login: {how}"));
    }
    Ok(kind)
}

/// A way to sign in, in words.
pub(super) const fn described(kind: AuthKind) -> &'static str {
    match kind {
        AuthKind::Web => "a Web App and a browser",
        AuthKind::Native => "a Native app, which has no secret",
        AuthKind::Spa => "a single-page app, which has no secret",
        AuthKind::Service => "a Service app, without a browser",
        AuthKind::Basic => "a ProjectWise account's name and password",
        AuthKind::Windows => "a Windows account's name and password",
        AuthKind::Saml => "a SAML assertion in a file",
        AuthKind::Bearer => "a bearer token in a file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> LoginArgs {
        use clap::{Args as _, FromArgMatches as _};
        let command = LoginArgs::augment_args(clap::Command::new("login"));
        let words = std::iter::once("login").chain(line.split_whitespace());
        LoginArgs::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
    }

    fn saved(auth: AuthKind) -> SavedLogin {
        SavedLogin {
            auth: Some(auth),
            username: auth.has_password().then(|| "anna".to_owned()),
            ..SavedLogin::default()
        }
    }

    #[test]
    fn a_flag_decides_and_where_there_is_none_the_profile() {
        for (line, profile, expected) in [
            ("", None, AuthKind::Web),
            ("--client-id x", None, AuthKind::Web),
            ("", Some(AuthKind::Service), AuthKind::Service),
            ("--client-id x", Some(AuthKind::Service), AuthKind::Service),
            ("--client-id x", Some(AuthKind::Basic), AuthKind::Web),
            ("--app-type native", None, AuthKind::Native),
            ("--app-type spa", Some(AuthKind::Basic), AuthKind::Spa),
            ("--service", None, AuthKind::Service),
            ("--username anna", None, AuthKind::Basic),
            ("--username anna --windows", None, AuthKind::Windows),
            ("--username anna", Some(AuthKind::Windows), AuthKind::Windows),
            ("--username boris", Some(AuthKind::Windows), AuthKind::Basic),
            ("--windows", Some(AuthKind::Basic), AuthKind::Windows),
            ("--password-file f", Some(AuthKind::Windows), AuthKind::Windows),
            ("--saml-file f", None, AuthKind::Saml),
            ("--token-file f", Some(AuthKind::Web), AuthKind::Bearer),
        ] {
            let saved = profile.map(saved).unwrap_or_default();
            assert_eq!(way(&args(line), &saved).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn flags_of_two_ways_are_refused_by_name() {
        for (line, profile, words) in [
            ("--service --username a", None, ["--service", "--username"]),
            ("--app-type web --service", None, ["--app-type", "--service"]),
            (
                "--saml-file f --token-file g",
                None,
                ["--saml-file", "--token-file"],
            ),
            ("--password-file f", None, ["--password-file", "browser"]),
            (
                "--app-type native --client-secret-file f",
                None,
                ["--client-secret-file", "no secret"],
            ),
            ("--username a --client-id x", None, ["--client-id", "password"]),
            (
                "--service --redirect-uri x:y",
                None,
                ["--redirect-uri", "Service"],
            ),
            (
                "--issuer https://x",
                Some(AuthKind::Saml),
                ["--issuer", "the profile"],
            ),
        ] {
            let saved = profile.map(saved).unwrap_or_default();
            let error = way(&args(line), &saved).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{line}: {error}");
        }
    }
}
