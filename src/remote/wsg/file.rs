//! A document's bytes: one `$file` request, its range checked, its length enforced.
//!
//! Facts: projectwise-api 1.9. Whether a server honours Range is seen on the first ranged read; a server that does
//! not sends the whole file, which is said in [`Content::range`] and never passed off as the range.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use url::Url;

use crate::http::{HttpError, SafeUrl, Streaming};
use crate::model::ByteRange;
use crate::remote::{Content, RemoteError};

use super::error::{Answer, Failure, is_login_address};

/// As much of a failure's body as is read for its words.
const FAILURE_BODY: usize = 64 << 10;
/// As much of a suspicious page as is looked through: its head.
const PAGE_HEAD: usize = 4 << 10;

/// What was asked for, to judge the answer by.
pub(super) struct Wanted<'a> {
    pub(super) range: ByteRange,
    /// False for the whole file, asked for without a Range.
    pub(super) ranged: bool,
    /// Where it was asked for.
    pub(super) url: &'a Url,
    pub(super) what: &'a str,
}

/// What an answer tells, beside its bytes, of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeSeen {
    Honoured,
    Ignored,
    Nothing,
}

/// The Range header for `range`; none for the whole file, which needs no support by the server.
pub(super) fn range_header(range: ByteRange) -> Option<String> {
    match (range.start, range.end) {
        (0, None) => None,
        (start, None) => Some(format!("bytes={start}-")),
        (start, Some(end)) => Some(format!("bytes={start}-{}", end.saturating_sub(1))),
    }
}

/// Nothing, for an empty range: no server can be asked for that.
pub(super) fn empty(start: u64, total: Option<u64>, etag: Option<String>) -> Content {
    Content {
        range: ByteRange {
            start,
            end: Some(start),
        },
        total,
        etag,
        stream: stream::empty().boxed(),
    }
}

/// Sorts the head of an answer.
pub(super) async fn judge(
    streaming: Streaming,
    wanted: &Wanted<'_>,
) -> Result<(Content, RangeSeen), Failure> {
    let etag = streaming
        .header("ETag")
        .filter(|tag| !tag.is_empty())
        .map(str::to_owned);
    match streaming.status {
        200 | 206 => {}
        // ASP.NET says so of an action without a result: of no file as well as of an empty one.
        204 => {
            return Err(Failure::protocol(format!(
                "the server answers without any content for {}",
                wanted.what
            )));
        }
        416 => return beyond_the_end(&streaming, wanted, etag),
        // Not the gateway's words: a blob store that refuses its signature says nothing about this account's rights,
        // nor about the document. Nor would another token help.
        _ if streaming.url.origin() != wanted.url.origin() => {
            let words = format!(
                "its file store at {} answers {} for {}",
                SafeUrl(&streaming.url),
                streaming.status,
                wanted.what
            );
            return Err(Failure::file_store(streaming.status, words));
        }
        _ => return Err(failure_of(streaming, wanted.what).await),
    }
    if let Some(encoding) = streaming.header("Content-Encoding")
        && !encoding.trim().is_empty()
        && !encoding.trim().eq_ignore_ascii_case("identity")
    {
        return Err(Failure::protocol(
            "the file came compressed, though it was asked for as it is",
        ));
    }
    let length = streaming
        .header("Content-Length")
        .and_then(|text| text.trim().parse::<u64>().ok());
    if streaming.status == 206 {
        let header = streaming.header("Content-Range").unwrap_or_default();
        let part = part_of(header, length, wanted)?;
        let range = ByteRange {
            start: part.start,
            end: Some(part.end),
        };
        let content = Content {
            range,
            total: part.total,
            etag,
            stream: exactly(part.end - part.start, streaming.stream.map(from_http).boxed()),
        };
        return Ok((content, RangeSeen::Honoured));
    }
    // The end of a body without either is the end of its connection, which anybody on the way can bring about.
    let chunked = streaming
        .header("Transfer-Encoding")
        .is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"));
    if length.is_none() && !chunked {
        return Err(Failure::protocol(format!(
            "the server does not say where {} ends",
            wanted.what
        )));
    }
    let streaming = refuse_page(streaming, etag.as_ref(), wanted.what).await?;
    let chunks = streaming.stream.map(from_http).boxed();
    let content = Content {
        range: ByteRange {
            start: 0,
            end: length,
        },
        total: length,
        etag,
        stream: match length {
            Some(length) => exactly(length, chunks),
            // Chunks: their end is marked.
            None => chunks,
        },
    };
    let seen = if wanted.ranged {
        RangeSeen::Ignored
    } else {
        RangeSeen::Nothing
    };
    Ok((content, seen))
}

/// The range an answer says it holds.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    start: u64,
    end: u64,
    total: Option<u64>,
}

/// Reads and checks `bytes a-b/total` against what was asked for.
fn part_of(header: &str, length: Option<u64>, wanted: &Wanted<'_>) -> Result<Part, Failure> {
    let wrong = |why: &str| {
        Failure::protocol(format!(
            "the server sent a wrong range of {} ({:?}: {why})",
            wanted.what,
            super::error::bounded(header)
        ))
    };
    let part = parse_content_range(header).ok_or_else(|| wrong("it cannot be read"))?;
    let bytes = part.end - part.start;
    if !wanted.ranged || part.start != wanted.range.start {
        return Err(wrong("it starts elsewhere"));
    }
    if wanted.range.end.is_some_and(|end| part.end > end) {
        return Err(wrong("it is longer than asked for"));
    }
    if part.total.is_some_and(|total| part.end > total) {
        return Err(wrong("it ends behind the end of the file"));
    }
    // Less than asked for is the end of the file, or an answer in parts that says so itself.
    if part.total.is_none() && wanted.range.end != Some(part.end) {
        return Err(wrong("it does not say where the file ends"));
    }
    if length.is_some_and(|length| length != bytes) {
        return Err(wrong("its length is another one"));
    }
    Ok(part)
}

fn parse_content_range(header: &str) -> Option<Part> {
    let (unit, rest) = header.trim().split_once(' ')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (range, total) = rest.trim().split_once('/')?;
    let (start, last) = range.trim().split_once('-')?;
    let (start, last): (u64, u64) = (start.trim().parse().ok()?, last.trim().parse().ok()?);
    let total = match total.trim() {
        "*" => None,
        number => Some(number.parse().ok()?),
    };
    (last >= start).then_some(Part {
        start,
        end: last.checked_add(1)?,
        total,
    })
}

/// A 416: the file ends before the range begins, if the answer says where it ends.
///
/// Without that nothing is proved: a gateway may refuse any range, and a file it refuses is not an empty one.
fn beyond_the_end(
    streaming: &Streaming,
    wanted: &Wanted<'_>,
    etag: Option<String>,
) -> Result<(Content, RangeSeen), Failure> {
    let total: Option<u64> = streaming
        .header("Content-Range")
        .and_then(|header| header.trim().split_once(' '))
        .filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes"))
        .and_then(|(_, range)| range.trim().strip_prefix("*/"))
        .and_then(|total| total.trim().parse().ok());
    match total {
        Some(total) if total <= wanted.range.start => {
            Ok((empty(wanted.range.start, Some(total), etag), RangeSeen::Honoured))
        }
        Some(_) | None => Err(Failure::protocol(format!(
            "the server refuses a range of {} without saying where the file ends",
            wanted.what
        ))),
    }
}

/// Fails with the words of an error answer.
pub(super) async fn failure_of(mut streaming: Streaming, what: &str) -> Failure {
    let body = match read_head(&mut streaming.stream, FAILURE_BODY).await {
        Ok(read) => read,
        // The status alone tells most of it.
        Err(error) => {
            tracing::debug!(%error, "the words of a refusal broke off");
            BytesMut::new()
        }
    };
    refusal(&streaming, &body, what)
}

fn refusal(streaming: &Streaming, body: &[u8], what: &str) -> Failure {
    Failure::of(&Answer {
        status: streaming.status,
        url: &streaming.url,
        header: &|name| streaming.header(name).map(str::to_owned),
        retry_after: streaming.retry_after(),
        body,
        what,
    })
}

/// A page of a login or a proxy, or an answer to another question, must never pass for a file, and a page somebody stored
/// is a file like any other.
///
/// A stored one comes from WSG with a tag or a name (`ETag`, `Content-Disposition`), like every `$file` answer. HTML
/// with neither is a page about something else, whatever it says: another token may help, as with a page where JSON
/// belongs. JSON with neither is what a gateway says of itself.
async fn refuse_page(
    mut streaming: Streaming,
    etag: Option<&String>,
    what: &str,
) -> Result<Streaming, Failure> {
    if is_login_address(streaming.url.as_str()) {
        return Err(refusal(&streaming, b"", what));
    }
    let kind = streaming
        .header("Content-Type")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let (is_page, is_json) = (kind.contains("html"), kind.contains("json"));
    if !(is_page || is_json) || etag.is_some() || streaming.header("Content-Disposition").is_some() {
        return Ok(streaming);
    }
    let head = read_head(&mut streaming.stream, PAGE_HEAD).await?;
    let failure = refusal(&streaming, &head, what);
    if is_json && failure.kind.is_none() {
        return Err(Failure::protocol(format!("JSON came in place of {what}")));
    }
    Err(failure)
}

/// Reads until `limit` bytes are here or the body ends.
async fn read_head(
    stream: &mut BoxStream<'static, Result<Bytes, HttpError>>,
    limit: usize,
) -> Result<BytesMut, HttpError> {
    let mut head = BytesMut::new();
    while head.len() < limit {
        match stream.next().await {
            Some(piece) => head.extend_from_slice(&piece?),
            None => break,
        }
    }
    Ok(head)
}

fn from_http(chunk: Result<Bytes, HttpError>) -> Result<Bytes, RemoteError> {
    chunk.map_err(|error| Failure::from(error).error)
}

/// `chunks` if they are `length` bytes; any other length ends with an error.
fn exactly(
    length: u64,
    chunks: BoxStream<'static, Result<Bytes, RemoteError>>,
) -> BoxStream<'static, Result<Bytes, RemoteError>> {
    let wrong =
        move |got: u64| RemoteError::Protocol(format!("{got} bytes came of {length} announced").into());
    stream::unfold(Some((chunks, 0_u64)), move |state| async move {
        let (mut chunks, seen) = state?;
        match chunks.next().await {
            Some(Ok(chunk)) => {
                let seen = seen + chunk.len() as u64;
                if seen > length {
                    return Some((Err(wrong(seen)), None));
                }
                Some((Ok(chunk), Some((chunks, seen))))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None if seen < length => Some((Err(wrong(seen)), None)),
            None => None,
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(header: &str, length: Option<u64>, start: u64, end: Option<u64>) -> Option<Part> {
        let wanted = Wanted {
            range: ByteRange { start, end },
            ranged: true,
            url: &Url::parse("https://h/").unwrap(),
            what: "document X",
        };
        part_of(header, length, &wanted).ok()
    }

    #[test]
    fn a_range_is_asked_for_inclusively() {
        let header = |start, end| range_header(ByteRange { start, end });
        assert_eq!(header(0, None), None);
        assert_eq!(header(5, None).as_deref(), Some("bytes=5-"));
        assert_eq!(header(0, Some(1)).as_deref(), Some("bytes=0-0"));
        assert_eq!(header(1024, Some(2048)).as_deref(), Some("bytes=1024-2047"));
    }

    #[test]
    fn only_the_range_that_was_asked_for_is_accepted() {
        let good = |total| {
            Some(Part {
                start: 10,
                end: 20,
                total,
            })
        };
        assert_eq!(part("bytes 10-19/100", Some(10), 10, Some(20)), good(Some(100)));
        assert_eq!(part("Bytes 10-19/*", None, 10, Some(20)), good(None));
        assert_eq!(part("bytes 10-19/20", None, 10, Some(99)), good(Some(20)));
        assert_eq!(part("bytes 10-19/20", None, 10, None), good(Some(20)));
        assert_eq!(
            part("bytes 10-19/100", None, 10, Some(99)),
            good(Some(100)),
            "a part that says so"
        );
        for (header, length) in [
            ("bytes 0-9/100", None),
            ("bytes 11-19/100", None),
            ("bytes 10-20/100", None),
            ("bytes 10-19/15", None),
            ("bytes 10-18/*", None),
            ("bytes 10-19/100", Some(9)),
            ("bytes 19-10/100", None),
            ("bytes */100", None),
            ("items 10-19/100", None),
            ("bytes 10-18446744073709551615/*", None),
            ("", None),
        ] {
            assert_eq!(part(header, length, 10, Some(20)), None, "{header}");
        }
    }

    #[tokio::test]
    async fn a_body_of_another_length_ends_with_an_error() {
        for (announced, chunks, good) in [
            (6, vec!["abc", "def"], true),
            (0, vec![], true),
            (7, vec!["abc", "def"], false),
            (5, vec!["abc", "def"], false),
        ] {
            let chunks = stream::iter(
                chunks
                    .into_iter()
                    .map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))),
            );
            let read: Vec<_> = exactly(announced, chunks.boxed()).collect().await;
            assert_eq!(read.iter().all(Result::is_ok), good, "{announced}");
        }
    }
}
