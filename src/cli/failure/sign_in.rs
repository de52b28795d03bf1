//! What the failures of a login are called.

use super::code::Code;
use super::hint::{Hint, enable_scope};
use super::network::{self, Peer};
use super::{CliError, ErrorKind, REPORT, TRY_LATER};
use crate::auth::login::{LoginError, PORTAL};
use crate::auth::{AuthError, OauthError};
use crate::cli::login::LoginCommandError;
use crate::http::Obstacle;

const LOCKED: &str = "the server has locked the account after too many bad logins";
const PORTAL_ACCESS: &str = "if the account does not have developer portal access: the portal is free and needs no \
                             Bentley subscription; register a personal account and create the app there";

impl From<AuthError> for CliError {
    fn from(error: AuthError) -> Self {
        match &error {
            AuthError::LoginRequired(_) => Self::of(ErrorKind::Login, &error)
                .code(Code::LoginRequired)
                .hint(Hint::SignIn),
            AuthError::SecretRequired(_) => Self::of(ErrorKind::Login, &error)
                .code(Code::LoginSecretRefused)
                .hint(Hint::NewSecret),
            // Said by the document server, and remembered since.
            AuthError::LockedOut(words) => Self::new(ErrorKind::Login, format!("{LOCKED}: {words}"))
                .code(Code::WsgTooManyBadLoginAttempts)
                .hint(Hint::Unlock),
            AuthError::Unreachable(cause) => network::failure(Peer::Issuer, cause),
            AuthError::Protocol(text) if Obstacle::told_by(text) == Some(Obstacle::PlainHttp) => {
                let (code, hint) = network::way_round(Obstacle::PlainHttp);
                Self::of(ErrorKind::Config, &error).code(code).hint(hint)
            }
            AuthError::Protocol(_) => Self::of(ErrorKind::Failure, &error)
                .code(Code::OauthMalformed)
                .hint("check the issuer's address: `issuer` in the profile (config.toml), or --issuer")
                .hint("the login page of a network, or a proxy, may answer in its place: open the address in a browser"),
            AuthError::Refused { error: reason, .. } => refused(*reason, &error),
            AuthError::Store(_) => Self::of(ErrorKind::Failure, &error)
                .code(Code::LoginStore)
                .hint(Hint::Store),
        }
    }
}

fn refused(reason: OauthError, error: &AuthError) -> CliError {
    let login = |code| CliError::of(ErrorKind::Login, error).code(code);
    match reason {
        OauthError::InvalidScope => invalid_scope(login(Code::OauthInvalidScope)),
        OauthError::UnauthorizedClient => login(Code::OauthUnauthorizedClient)
            .hint(Hint::CompareApp)
            .hint(PORTAL_ACCESS),
        OauthError::UnsupportedGrantType => login(Code::OauthUnsupportedGrantType).hint(Hint::CompareApp),
        OauthError::InvalidRequest => login(Code::OauthInvalidRequest)
            .hint(Hint::CompareApp)
            .hint(REPORT),
        OauthError::Other => login(Code::OauthRefused).hint(Hint::CompareApp).hint(REPORT),
        OauthError::Unavailable => CliError::of(ErrorKind::TryAgain, error)
            .code(Code::OauthUnavailable)
            .hint(TRY_LATER),
    }
}

fn invalid_scope(failure: CliError) -> CliError {
    failure
        .hint(enable_scope())
        .hint("or ask for the scopes that the app has: `pwfs login --scope \"…\"`")
        .hint(PORTAL_ACCESS)
}

impl From<LoginError> for CliError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Auth(error) => error.into(),
            LoginError::PortInUse { .. } => Self::of(ErrorKind::Failure, &error)
                .code(Code::LoginPortInUse)
                .hint("end that program")
                .hint(format!(
                    "or register a redirect URI with another port at {PORTAL} and give it with --redirect-uri"
                )),
            LoginError::RedirectUri(_) => Self::of(ErrorKind::Usage, &error)
                .code(Code::LoginRedirectUri)
                .hint("one that leads back to this machine looks like http://localhost:3301/signin-callback"),
            LoginError::ForeignReply => Self::of(ErrorKind::Failure, &error)
                .code(Code::LoginForeignReply)
                .hint("sign in again, and paste the whole address the browser ends at, at once"),
            LoginError::TimedOut => Self::of(ErrorKind::TryAgain, &error)
                .code(Code::LoginTimedOut)
                .hint(Hint::ErrorPage)
                .hint(Hint::SignIn),
            LoginError::Input(_) => Self::of(ErrorKind::Failure, &error)
                .code(Code::LoginInput)
                .hint("run the login in a terminal, or hand it the address on standard input"),
            LoginError::Denied(_) => Self::of(ErrorKind::Login, &error)
                .code(Code::OauthAccessDenied)
                .hint("if you refused it yourself, run `pwfs login` again and allow what the app asks for")
                .hint(Hint::InsufficientPermissions),
            LoginError::CodeRefused(_) => Self::of(ErrorKind::Login, &error)
                .code(Code::OauthInvalidGrant)
                .hint(Hint::SignIn)
                .hint(Hint::CompareApp),
            LoginError::InvalidScope { .. } => {
                invalid_scope(Self::of(ErrorKind::Login, &error).code(Code::OauthInvalidScope))
            }
            LoginError::UnauthorizedClient(_) => Self::of(ErrorKind::Login, &error)
                .code(Code::OauthUnauthorizedClient)
                .hint(Hint::CompareApp)
                .hint(PORTAL_ACCESS),
        }
    }
}

impl From<LoginCommandError> for CliError {
    fn from(error: LoginCommandError) -> Self {
        match error {
            LoginCommandError::Usage(_) => Self::of(ErrorKind::Usage, &error).code(Code::LoginIncomplete),
            LoginCommandError::Input { .. } => Self::of(ErrorKind::Failure, &error)
                .code(Code::LoginInput)
                .hint("check that the file is there, and that you may read it"),
            LoginCommandError::Refused(_) => Self::of(ErrorKind::Login, &error)
                .code(Code::LoginSecretRefused)
                .hint("it was sent once, and is not sent again by itself: a few wrong passwords lock an account"),
            LoginCommandError::Trial(error) => error.into(),
            LoginCommandError::Login(error) => error.into(),
        }
    }
}
