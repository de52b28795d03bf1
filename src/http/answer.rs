//! An answer on its way: its head is here, its body arrives.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use url::Url;

use super::failure::{self, Failure, Stage};
use super::{HttpError, Streaming, authority};

/// An answer whose head is here.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) url: Url,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
}

pub(super) enum Body {
    /// Still on the wire.
    Arriving(reqwest::Response),
    /// Read already, to see whether the failure is worth a repeat.
    Read(Bytes),
}

impl Answer {
    pub(super) fn new(response: reqwest::Response) -> Self {
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        Self {
            status: response.status().as_u16(),
            url: response.url().clone(),
            headers,
            body: Body::Arriving(response),
        }
    }

    /// Reads the whole body, up to `limit` bytes.
    pub(super) async fn read(self, limit: usize, idle: Duration) -> Result<Self, Failure> {
        let Body::Arriving(response) = self.body else {
            return Ok(self);
        };
        let too_large = || {
            let error = HttpError::TooLarge(format!(
                "{} sends more than {} KiB where a short answer was expected",
                authority(&self.url),
                limit >> 10
            ));
            Failure {
                error,
                stage: Stage::Final,
            }
        };
        if response
            .content_length()
            .is_some_and(|length| length > limit as u64)
        {
            return Err(too_large());
        }
        let mut chunks = arriving(response, self.status, idle);
        let mut body = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| Failure {
                error,
                stage: Stage::Body,
            })?;
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self {
            body: Body::Read(body.freeze()),
            ..self
        })
    }

    pub(super) fn into_streaming(self, idle: Duration) -> Streaming {
        let stream = match self.body {
            Body::Arriving(response) => arriving(response, self.status, idle),
            Body::Read(bytes) => stream::iter([Ok(bytes)]).boxed(),
        };
        Streaming {
            status: self.status,
            url: self.url,
            stream,
            link: None,
            headers: self.headers,
        }
    }
}

/// The body of `response` as it arrives: each wait is bounded, and it ends cleanly only at its announced length.
fn arriving(
    response: reqwest::Response,
    status: u16,
    idle: Duration,
) -> BoxStream<'static, Result<Bytes, HttpError>> {
    // 304 may state the length of the body it does not send (RFC 9110, 8.6).
    let announced = if status == 304 || status == 204 {
        None
    } else {
        response.content_length()
    };
    let host = authority(response.url());
    let state = Some((response, 0_u64));
    stream::unfold(state, move |state| {
        let host = host.clone();
        async move {
            let (mut response, had) = state?;
            let error = match tokio::time::timeout(idle, response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    let had = had + chunk.len() as u64;
                    return Some((Ok(chunk), Some((response, had))));
                }
                Ok(Ok(None)) => match announced {
                    Some(length) if had != length => HttpError::Protocol(format!(
                        "{host} sent {had} bytes of an answer that was announced with {length}"
                    )),
                    Some(_) | None => return None,
                },
                Ok(Err(error)) => failure::in_body(&host, &error),
                Err(_) => failure::idle(&host, idle),
            };
            Some((Err(error), None))
        }
    })
    .boxed()
}
