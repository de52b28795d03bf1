//! Where a server handed a file over to.
//!
//! A signed address opens one file to whoever has it, for a while. It is asked for again without another look at the server
//! that gave it, as long as its keeper likes; nothing of ours goes along, and it leads only where a redirect may.

use std::fmt;

use jiff::Timestamp;
use url::Url;

use super::pool::Hop;
use super::{HttpClient, HttpError, Lane, Request, SafeUrl, Secret, Streaming, answer::Answer, redirect};

/// See the module.
#[derive(Clone)]
pub struct Link {
    address: Secret,
    /// Who gave it.
    giver: Url,
}

impl Link {
    /// The way from `asked` to where the answer came from; `None` where it came from there.
    pub(super) fn between(asked: &Url, answered: &Url) -> Option<Self> {
        (asked != answered).then(|| Self {
            address: Secret::new(answered.as_str()),
            giver: asked.clone(),
        })
    }

    /// When it ends, where it says so in a way that is known: as Azure's storage does (`se`).
    pub fn end(&self) -> Option<Timestamp> {
        let address = Url::parse(self.address.expose()).ok()?;
        let (_, end) = address.query_pairs().find(|(name, _)| name == "se")?;
        end.parse().ok()
    }

    /// True where both are the same one.
    pub fn is(&self, other: &Self) -> bool {
        self.address.expose() == other.address.expose()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a link given by {}", SafeUrl(&self.giver))
    }
}

impl HttpClient {
    /// Sends a GET along `link`, once, with those of `headers` that may go to another host. A redirect is an answer.
    ///
    /// `None` where this would be one file too many at once that nobody waits for; nothing was sent then.
    pub async fn open_link(
        &self,
        link: &Link,
        headers: &[(&'static str, String)],
    ) -> Result<Option<Streaming>, HttpError> {
        let Some(pass) = self.inner.gates.beside(Lane::Content, &link.giver) else {
            return Ok(None);
        };
        let request = Request {
            headers: headers.to_vec(),
            ..Request::get(Lane::Content, link.giver.clone())
        };
        let address = Url::parse(link.address.expose())
            .map_err(|_| HttpError::Redirect("the address of a file cannot be read".to_owned()))?;
        // Its name may lead elsewhere by now.
        redirect::check(&link.giver, &address).await?;
        let pool = &self.inner.pool;
        let answered = pool.execute(&request, &address, Hop::Redirected).await;
        let response = answered.map_err(|failure| failure.error)?;
        let answer = Answer::new(response);
        tracing::trace!(?request, status = answer.status, "answered by its file store");
        let streaming = answer.into_streaming(self.inner.options.idle_timeout);
        Ok(Some(streaming.holding(Some(pass))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(answered: &str) -> Option<Link> {
        let asked = Url::parse("https://pw.example.com/ws/file").unwrap();
        Link::between(&asked, &Url::parse(answered).unwrap())
    }

    #[test]
    fn a_link_is_where_somebody_else_answers_and_cannot_be_read() {
        assert!(link("https://pw.example.com/ws/file").is_none());
        let link = link("https://blob.example.com/a?sig=geheim").unwrap();
        let shown = format!("{link:?}");
        assert!(!shown.contains("geheim") && !shown.contains("blob"), "{shown}");
    }

    #[test]
    fn a_link_says_when_it_ends_or_not() {
        let end = |query: &str| {
            link(&format!("https://blob.example.com/a?{query}"))
                .unwrap()
                .end()
        };
        let expected: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        assert_eq!(end("sv=2023&se=2026-03-01T12%3A00%3A00Z&sig=x"), Some(expected));
        assert_eq!(end("sig=x"), None);
        assert_eq!(end("se=soon"), None);
    }
}
