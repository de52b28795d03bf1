//! How a body travels: with its length, in chunks without one, or in gzip, packed while it is sent.

use std::io::Write as _;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{Stream, StreamExt as _};

use super::reply::Reply;

/// How a body travels that is not framed by `Content-Length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// It ends where it ends.
    Chunked,
    /// In gzip, too: nobody knows beforehand how long that gets.
    Gzip,
}

impl Framing {
    /// What an answer wants; `None`: a length.
    pub(super) fn of(reply: &Reply) -> Option<Self> {
        match (reply.gzip, reply.chunked) {
            (true, _) => Some(Self::Gzip),
            (false, true) => Some(Self::Chunked),
            (false, false) => None,
        }
    }

    /// Frames a response whose body is still plain.
    pub(super) fn frame(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        if self == Self::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        response.map(|body| {
            let pieces = body.into_data_stream();
            match self {
                Self::Gzip => Body::from_stream(packed(pieces)),
                // A stream hides the length a body at hand would tell.
                Self::Chunked => Body::from_stream(pieces),
            }
        })
    }
}

/// The pieces in gzip, each flushed: who stalls in the middle has sent what came before.
fn packed<E, S>(pieces: S) -> impl Stream<Item = Result<Bytes, E>>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    futures_util::stream::unfold((pieces, Some(encoder)), |(mut pieces, encoder)| async move {
        let mut encoder = encoder?;
        match pieces.next().await {
            Some(Ok(piece)) => {
                let packed = encoder.write_all(&piece).and_then(|()| encoder.flush());
                packed.expect("a vector takes everything");
                let out = std::mem::take(encoder.get_mut());
                Some((Ok(out.into()), (pieces, Some(encoder))))
            }
            // Without the trailer: nobody takes a part for the whole.
            Some(Err(error)) => Some((Err(error), (pieces, None))),
            None => {
                let out = encoder.finish().expect("a vector takes everything");
                Some((Ok(out.into()), (pieces, None)))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[tokio::test]
    async fn what_is_packed_in_pieces_unpacks_to_the_whole() {
        let pieces = ["one piece, ", "", "another"].map(|text| Ok::<_, ()>(Bytes::from(text)));
        let packed: Vec<_> = packed(futures_util::stream::iter(pieces)).collect().await;
        let bytes: Vec<u8> = packed.into_iter().flat_map(Result::unwrap).collect();
        let mut text = String::new();
        GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one piece, another");
    }

    #[tokio::test]
    async fn what_breaks_off_does_not_unpack() {
        let pieces = [Ok(Bytes::from("the start")), Err(())];
        let packed: Vec<_> = packed(futures_util::stream::iter(pieces)).collect().await;
        assert_eq!(packed.len(), 2);
        assert_eq!(packed[1], Err(()));
        let start = packed[0].clone().unwrap();
        let mut text = String::new();
        GzDecoder::new(&start[..]).read_to_string(&mut text).unwrap_err();
        assert_eq!(text, "the start");
    }
}
