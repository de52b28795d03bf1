//! Whose login this is, as the server sees it; and that it stays the same person's.
//!
//! Caches are kept under one account for as long as a mount lives. A token that somebody else replaces in its file, and
//! that does not name its account, is shown to the server with one question before anything is read with it.

use url::Url;

use crate::auth::Authorization;
use crate::http::Response;
use crate::remote::RemoteError;

use super::error::Failure;
use super::gateway::Gateway;
use super::listing;
use super::wire::{Instance, NoProperties};

const WHAT: &str = "the current user";

/// The account the caches are kept under.
#[derive(Clone)]
pub(super) struct Whose {
    /// Where the server is asked.
    url: Url,
    /// The user, where the server told.
    user: Option<String>,
    /// The last replaced token that was seen to be the same user's.
    vouched: Option<Authorization>,
}

impl Gateway {
    /// The user the server sees, asked for at `url`; `None` where it does not tell. From now on nobody else's token is
    /// used.
    pub(super) async fn user(&self, url: Url) -> Result<Option<String>, Failure> {
        let user = match self.get(&url, &[], WHAT).await {
            Ok(response) => user_of(&response)?,
            Err(failure) if failure.is_unknown_class() || failure.is_bad_query() => None,
            Err(failure) => match failure.error {
                // Who one is, is not for everybody to ask. What may be read is asked elsewhere.
                RemoteError::Denied { .. } | RemoteError::NotFound { .. } => None,
                _ => return Err(failure),
            },
        };
        let mut whose = self.whose.lock();
        // The first answer is what caches are kept under.
        if whose.is_none() {
            *whose = Some(Whose {
                url,
                user: user.clone(),
                vouched: None,
            });
        }
        Ok(user)
    }

    /// Makes sure that a token which came in place of another one, and names nobody, is the same user's.
    pub(super) async fn vouch(&self, bearer: &Authorization) -> Result<(), Failure> {
        if bearer.is_vouched() {
            return Ok(());
        }
        let Some(whose) = self.whose.lock().clone() else {
            // Nothing is kept under any account.
            return Ok(());
        };
        if whose.vouched.as_ref().is_some_and(|known| known.is(bearer)) {
            return Ok(());
        }
        let refuse = |why: &str| {
            let why = format!("{why}; mount again to see its files");
            Err(self.tokens.refused(bearer, &why).into())
        };
        let Some(user) = &whose.user else {
            return refuse("nobody can tell whether it is of the account this mount began with");
        };
        let response = self.ask_as(&whose.url, bearer, WHAT).await?;
        if user_of(&response)?.as_ref() != Some(user) {
            return refuse("it is of another account than the one this mount began with");
        }
        if let Some(whose) = self.whose.lock().as_mut() {
            whose.vouched = Some(bearer.clone());
        }
        Ok(())
    }
}

fn user_of(response: &Response) -> Result<Option<String>, Failure> {
    let rows: Vec<Instance<NoProperties>> = listing::read_rows(response, WHAT)?;
    // More than one "current" user is a filter the server ignored.
    Ok(match <[_; 1]>::try_from(rows) {
        Ok([user]) => user.id.text().filter(|id| !id.is_empty()),
        Err(_) => None,
    })
}
