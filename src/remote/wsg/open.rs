//! Opens the file of a document: by the gateway, or along the link that it gave for another part of the same transfer.

use crate::http::{Link, Redirects};
use crate::model::{ByteRange, DocumentId, ObjectId};
use crate::remote::{Content, RemoteError, Shortcut};

use super::file::{self, RangeSeen, Wanted};
use super::{BlobRedirect, RangeMode, WsgRemote, query, whereabouts};

/// The headers of a request.
type Headers = [(&'static str, String)];

impl WsgRemote {
    /// The bytes of `range`; by the `shortcut` where that is known, and to be shown there where it is not.
    pub(super) async fn open_file(
        &self,
        document: DocumentId,
        range: ByteRange,
        if_range: Option<&str>,
        shortcut: Option<&Shortcut>,
    ) -> Result<Content, RemoteError> {
        if range.end.is_some_and(|end| end <= range.start) {
            return Ok(file::empty(range.start, None, None));
        }
        let what = format!("the file of document {document}");
        let url = self.url(&query::file(document)).await?;
        let mut headers = Vec::new();
        let range_header = match self.options.ranges {
            RangeMode::Ask => file::range_header(range),
            RangeMode::WholeFiles => None,
        };
        let ranged = range_header.is_some();
        if let Some(header) = range_header {
            headers.push(("Range", header));
            // A weak tag may not stand in If-Range (RFC 9110 13.1.5); servers then send the whole file.
            headers.extend(if_range.map(|tag| ("If-Range", tag.to_owned())));
        }
        let redirects = match self.options.blob_redirect {
            BlobRedirect::Refuse => Redirects::Refuse,
            BlobRedirect::Allow => {
                headers.push(("Mas-Allow-Redirect", "true".to_owned()));
                Redirects::Follow
            }
        };
        let wanted = &Wanted {
            range,
            ranged,
            url: &url,
            what: &what,
        };
        let known = match shortcut {
            Some(shortcut) => self.along(shortcut, &headers, wanted).await,
            None => None,
        };
        let (content, seen) = match known {
            Some(opened) => opened,
            None => {
                let (content, seen, link) = self.by_gateway(document, &headers, redirects, wanted).await?;
                if let (Some(shortcut), Some(link)) = (shortcut, link) {
                    shortcut.show(link);
                }
                (content, seen)
            }
        };
        match seen {
            RangeSeen::Honoured => self.ranges.proved(),
            // With If-Range a whole file means another tag, unless it is the same one.
            RangeSeen::Ignored if if_range.is_none() || if_range == content.etag.as_deref() => {
                self.ranges.missed();
            }
            RangeSeen::Ignored | RangeSeen::Nothing => {}
        }
        Ok(content)
    }

    async fn by_gateway(
        &self,
        document: DocumentId,
        headers: &Headers,
        redirects: Redirects,
        wanted: &Wanted<'_>,
    ) -> Result<(Content, RangeSeen, Option<Link>), RemoteError> {
        let open = || {
            let judge = |streaming: crate::http::Streaming| async {
                let link = streaming.link.clone();
                let (content, seen) = file::judge(streaming, wanted).await?;
                Ok((content, seen, link))
            };
            self.gateway.open(wanted.url, headers, redirects, judge)
        };
        let opened = match open().await {
            Err(failure) if failure.is_refused_link() => open().await,
            opened => opened,
        };
        Ok(opened.inspect_err(|failure| {
            if whereabouts::says_not_there(failure) {
                self.hiding.not_found(ObjectId::Document(document));
            }
        })?)
    }

    /// `None` where nothing comes that way, for whatever reason: then the gateway is asked, and says what is the matter.
    async fn along(
        &self,
        shortcut: &Shortcut,
        headers: &Headers,
        wanted: &Wanted<'_>,
    ) -> Option<(Content, RangeSeen)> {
        let link = shortcut.link()?;
        let opened = match self.gateway.open_link(&link, headers).await {
            Ok(Some(streaming)) => file::judge(streaming, wanted).await,
            Ok(None) => return None,
            Err(failure) => Err(failure),
        };
        match opened {
            Ok(opened) => Some(opened),
            Err(failure) => {
                tracing::debug!(
                    status = failure.status,
                    what = wanted.what,
                    "its link is not good any more"
                );
                shortcut.forget(&link);
                None
            }
        }
    }
}
