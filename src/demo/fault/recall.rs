//! What was answered before: for stale answers, and for rows that come again on the next page.

use axum::http::StatusCode;
use axum::http::header::RANGE;
use axum::http::request::Parts;
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use crate::demo::payload::Payload;
use crate::demo::reply::Reply;
use crate::demo::traffic::RequestKind;
use crate::demo::wsg::SKIP_TOKEN;

/// Answers kept; a page is about 100 kB.
const KEPT: u64 = 256;
/// The longest answer kept, in bytes.
const LONGEST: u64 = 1 << 20;

/// A digest of all that makes a question: bodies are long and may hold secrets.
pub(in crate::demo) type Question = [u8; 32];

/// The last answer to each of the questions asked lately.
pub(in crate::demo) struct Recall {
    answers: Cache<Question, Reply>,
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
    pub(in crate::demo) fn keep(&self, question: Question, reply: &Reply) {
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
    pub(super) fn answer(&self, question: &Question) -> Option<Reply> {
        self.answers.get(question)
    }

    /// The page before the one that a token stands for.
    pub(super) fn page_before(&self, token: &str) -> Option<Reply> {
        self.pages.get(token)
    }
}

/// What makes two requests the same question: who asks, what for, which page and which part. `None` for the identity
/// service, whose answers are tokens and never kept.
pub(super) fn question(kind: RequestKind, account: &str, parts: &Parts, body: &[u8]) -> Option<Question> {
    match kind {
        RequestKind::Discovery
        | RequestKind::Authorize
        | RequestKind::Token
        | RequestKind::UserInfo
        | RequestKind::Revocation
        | RequestKind::LoginPage
        | RequestKind::Introspection
        | RequestKind::EndSession
        | RequestKind::Other => return None,
        RequestKind::Plugins
        | RequestKind::Repositories
        | RequestKind::NavNode
        | RequestKind::ListProjects
        | RequestKind::ListDocuments
        | RequestKind::Object
        | RequestKind::FindIds
        | RequestKind::User
        | RequestKind::File
        | RequestKind::FileAccess
        | RequestKind::Blob
        | RequestKind::Schema
        | RequestKind::SavedSearch
        | RequestKind::ITwins
        | RequestKind::WorkAreas
        | RequestKind::Storage
        | RequestKind::Mutation => {}
    }
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    // No account, method, address or header holds a line break.
    let head = format!(
        "{account}\n{}\n{}\n{}\n{}\n",
        parts.method,
        parts.uri,
        header(SKIP_TOKEN).unwrap_or_default(),
        header(RANGE).unwrap_or_default(),
    );
    Some(
        Sha256::new()
            .chain_update(head)
            .chain_update(body)
            .finalize()
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn questions_differ_by_who_asks_and_by_their_bodies_and_tokens_are_none() {
        let (parts, ()) = Request::post("/ws/v2.8/$query").body(()).unwrap().into_parts();
        let asked = |kind, account, body: &str| question(kind, account, &parts, body.as_bytes());
        let kind = RequestKind::ListDocuments;
        assert!(asked(kind, "a", "x").is_some());
        assert_eq!(asked(kind, "a", "x"), asked(kind, "a", "x"));
        assert_ne!(asked(kind, "a", "x"), asked(kind, "b", "x"));
        assert_ne!(asked(kind, "a", "x"), asked(kind, "a", "y"));
        assert_eq!(asked(RequestKind::Token, "a", "code=x"), None);
    }
}
