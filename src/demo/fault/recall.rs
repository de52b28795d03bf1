//! What was answered before: for stale answers, and for rows that come again on the next page.

use axum::http::StatusCode;
use axum::http::header::RANGE;
use axum::http::request::Parts;
use moka::sync::Cache;

use crate::demo::payload::Payload;
use crate::demo::reply::Reply;
use crate::demo::wsg::SKIP_TOKEN;

/// Answers kept; a page is about 100 kB.
const KEPT: u64 = 256;
/// The longest answer kept, in bytes.
const LONGEST: u64 = 1 << 20;

/// The last answer to each of the questions asked lately.
pub(in crate::demo) struct Recall {
    answers: Cache<String, Reply>,
    /// The page that named a token.
    pages: Cache<String, Reply>,
}

impl Recall {
    pub(in crate::demo) fn new() -> Self {
        Self {
            answers: Cache::new(KEPT),
            pages: Cache::new(KEPT),
        }
    }

    /// Keeps a true answer.
    pub(in crate::demo) fn keep(&self, question: String, reply: &Reply) {
        let at_hand = matches!(&reply.body, Payload::Bytes(bytes) if bytes.len() as u64 <= LONGEST);
        if !at_hand || reply.status != StatusCode::OK {
            return;
        }
        let token = reply.headers.iter().find(|(name, _)| *name == SKIP_TOKEN);
        if let Some(token) = token.and_then(|(_, value)| value.to_str().ok()) {
            self.pages.insert(token.to_owned(), reply.clone());
        }
        self.answers.insert(question, reply.clone());
    }

    /// The last answer to a question.
    pub(super) fn answer(&self, question: &str) -> Option<Reply> {
        self.answers.get(question)
    }

    /// The page before the one that a token stands for.
    pub(super) fn page_before(&self, token: &str) -> Option<Reply> {
        self.pages.get(token)
    }
}

/// What makes two requests the same question: who asks, what for, which page and which part.
pub(in crate::demo) fn question(account: &str, parts: &Parts, body: &[u8]) -> String {
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    format!(
        "{account} {} {} {} {} {}",
        parts.method,
        parts.uri,
        header(SKIP_TOKEN).unwrap_or_default(),
        header(RANGE).unwrap_or_default(),
        String::from_utf8_lossy(body),
    )
}
