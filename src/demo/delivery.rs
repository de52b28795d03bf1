//! How an answer is sent: whole, broken off, stalled, slowly, or under a false length.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};

use super::dispatch::Demo;
use super::fault::FaultId;
use super::framing::Framing;
use super::limit::Place;
use super::listener::Scissors;
use super::pace::time_for;
use super::payload::Payload;
use super::reply::Reply;

/// Pieces of a slow body come so often in a second, where the pace allows.
const PIECES_A_SECOND: u64 = 20;

/// The most bytes that follow a body behind its announced length: they are in memory until they are written.
const MOST_BEHIND: u64 = 64 << 20;

/// How the body is sent.
#[derive(Default)]
pub(super) struct Delivery {
    pub(super) ending: Ending,
    /// Bytes a second.
    pub(super) rate: Option<u64>,
    /// Added to the length that is announced.
    pub(super) lie: i64,
    /// Held until the body was sent.
    pub(super) place: Option<Place>,
}

/// Where the body ends.
#[derive(Default, Clone, Copy)]
pub(super) enum Ending {
    #[default]
    Whole,
    /// So many bytes, and the connection is closed.
    Broken(u64),
    /// So many bytes, and the connection is reset.
    Reset(u64),
    /// So many bytes, and the rest when the fault is cleared.
    Stalled(u64, FaultId),
}

type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Puts an answer on its way.
pub(super) fn send(reply: Reply, delivery: Delivery, scissors: &Scissors, demo: &Arc<Demo>) -> Response {
    let length = reply.body.len().saturating_add_signed(delivery.lie);
    let framing = Framing::of(&reply);
    let framed = reply.status != StatusCode::NOT_MODIFIED;
    let mut response = Response::new(body(reply.body, delivery, length, scissors, demo));
    *response.status_mut() = reply.status;
    response.headers_mut().extend(reply.headers);
    if framed {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    match framing {
        Some(framing) => framing.frame(response),
        None => response,
    }
}

fn body(payload: Payload, delivery: Delivery, announced: u64, scissors: &Scissors, demo: &Arc<Demo>) -> Body {
    let Delivery {
        ending,
        rate,
        lie,
        place,
    } = delivery;
    let short = announced < payload.len();
    let all: Pieces = match (ending, rate) {
        (Ending::Whole, None) if place.is_none() && lie == 0 => return whole(payload),
        (Ending::Whole, rate) if short => lying(&payload, announced, rate, scissors.clone()),
        (Ending::Whole, rate) if lie > 0 => Box::pin(pieces(payload, rate).map(Ok).chain(end(None))),
        (Ending::Whole, rate) => Box::pin(pieces(payload, rate).map(Ok)),
        (Ending::Broken(after), rate) => {
            Box::pin(pieces(payload.part(0, after), rate).map(Ok).chain(end(None)))
        }
        (Ending::Reset(after), rate) => {
            let end = end(Some(scissors.clone()));
            Box::pin(pieces(payload.part(0, after), rate).map(Ok).chain(end))
        }
        (Ending::Stalled(after, id), rate) => Box::pin(stalled(&payload, after, rate, id, demo).map(Ok)),
    };
    Body::from_stream(all.map(move |piece| {
        // Moved in here, it goes when the body does.
        let _held = &place;
        piece
    }))
}

/// Everything, made while it is sent where it is not at hand.
pub(super) fn whole(payload: Payload) -> Body {
    match payload {
        Payload::Bytes(bytes) => Body::from(bytes),
        made @ (Payload::Made { .. } | Payload::Bulk(_)) => {
            Body::from_stream(pieces(made, None).map(Ok::<_, io::Error>))
        }
    }
}

/// The payload in pieces, at a pace where there is one.
fn pieces(payload: Payload, rate: Option<u64>) -> impl Stream<Item = Bytes> + Send {
    let most = rate.map_or(u64::MAX, |rate| (rate / PIECES_A_SECOND).max(1));
    stream::unfold((payload, false), move |(rest, later)| async move {
        if let Some(rate) = rate.filter(|_| later && rest.len() > 0) {
            tokio::time::sleep(time_for(most, rate)).await;
        }
        let (piece, rest) = match rate {
            Some(_) => rest.next_of(most)?,
            None => rest.next()?,
        };
        Some((piece, (rest, true)))
    })
}

/// An error, which ends the connection before the announced length.
fn end(reset: Option<Scissors>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::once(async move {
        // Gives the connection a turn, in which it flushes what it has.
        tokio::task::yield_now().await;
        if let Some(scissors) = reset {
            scissors.reset();
        }
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    })
}

/// The first part, and the rest when the fault is cleared.
fn stalled(
    payload: &Payload,
    after: u64,
    rate: Option<u64>,
    id: FaultId,
    demo: &Arc<Demo>,
) -> impl Stream<Item = Bytes> + Send + use<> {
    let start = payload.part(0, after);
    let rest = payload.part(after, u64::MAX);
    let demo = Arc::clone(demo);
    let wait = stream::once(async move {
        demo.faults.until_cleared(id).await;
        Bytes::new()
    });
    let all = pieces(start, rate).chain(wait).chain(pieces(rest, rate));
    all.filter(|piece| std::future::ready(!piece.is_empty()))
}

/// As much as is announced, and the rest behind it on the bare connection.
fn lying(payload: &Payload, announced: u64, rate: Option<u64>, scissors: Scissors) -> Pieces {
    let rest = payload
        .part(announced, announced.saturating_add(MOST_BEHIND))
        .whole();
    if announced == 0 {
        // Nobody asks a body of no length for anything.
        scissors.append(rest);
        return Box::pin(stream::empty());
    }
    let mut left = announced;
    Box::pin(pieces(payload.part(0, announced), rate).map(move |piece| {
        left -= u64::try_from(piece.len()).unwrap_or(left).min(left);
        if left == 0 {
            scissors.append(rest.clone());
        }
        Ok(piece)
    }))
}
