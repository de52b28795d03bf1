//! Fetching what nobody has asked for yet.

use super::reader::{FetchPolicy, ReadRequest, Reader};
use super::{ContentError, ContentKey};
use crate::remote::{Urgency, UrgencyHandle, with_urgency};

/// What came of fetching a document ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ahead {
    /// It was here, or on its way already.
    Here,
    /// It was fetched.
    Fetched,
    /// The cache has no room for it.
    NoRoom,
}

impl Reader {
    /// Fetches the whole document of `size` bytes, which must fit into 32 bits, before anybody asks for it.
    ///
    /// Whoever waits for anything else goes first; whoever asks for this document meanwhile makes it as urgent as that.
    pub async fn prefetch(&self, key: ContentKey, size: u64) -> Result<Ahead, ContentError> {
        if self.is_known(&key) {
            return Ok(Ahead::Here);
        }
        let Ok(len) = u32::try_from(size) else {
            return Ok(Ahead::NoRoom);
        };
        // Reading past the cache would fetch it for nobody.
        if !self.shared.cache.has_room(size) {
            return Ok(Ahead::NoRoom);
        }
        let request = ReadRequest {
            key,
            size: Some(size),
            offset: 0,
            len,
            fetch: FetchPolicy::Allow,
        };
        let urgency = UrgencyHandle::new(Urgency::Prefetch);
        with_urgency(urgency, self.read(request)).await?;
        Ok(Ahead::Fetched)
    }

    /// True for what is here, or on its way.
    fn is_known(&self, key: &ContentKey) -> bool {
        let on_its_way = self.shared.table.lock().running.contains_key(key);
        on_its_way
            || self
                .shared
                .cache
                .entry(key)
                .is_some_and(|entry| entry.is_complete())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use tokio::runtime::Handle;
    use tokio::sync::watch;

    use super::*;
    use crate::content::fake::{FakeRemote, Fault, Served};
    use crate::content::{CacheOptions, ContentCache};
    use crate::model::{ContentTag, DocumentId, Guid};
    use crate::remote::RemoteError;

    const SIZE: usize = 100_000;

    struct Bench {
        _dir: tempfile::TempDir,
        remote: Arc<FakeRemote>,
        reader: Reader,
    }

    impl Bench {
        fn new(free_floor: u64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let remote = FakeRemote::new(Served {
                bytes: Bytes::from(vec![7; SIZE]),
                etag: None,
                announced: true,
                ranges: true,
                sloppy: false,
                whole: false,
            });
            let options = CacheOptions {
                free_floor,
                ..CacheOptions::default()
            };
            let cache = ContentCache::open(dir.path(), Handle::current(), options).unwrap();
            let reader = Reader::new(Arc::new(cache), remote.clone());
            Self {
                _dir: dir,
                remote,
                reader,
            }
        }

        fn urgencies(&self) -> Vec<Urgency> {
            self.remote.urgencies().iter().map(UrgencyHandle::get).collect()
        }
    }

    fn key() -> ContentKey {
        ContentKey {
            server: "fake".into(),
            account: "me".into(),
            document: DocumentId(Guid::from_bytes([7; 16])),
            tag: ContentTag {
                size: Some(SIZE as u64),
                stamp: None,
                revision: 0,
            },
        }
    }

    fn request(offset: u64, len: u32) -> ReadRequest {
        ReadRequest {
            key: key(),
            size: Some(SIZE as u64),
            offset,
            len,
            fetch: FetchPolicy::Allow,
        }
    }

    #[tokio::test]
    async fn what_is_fetched_ahead_is_there_for_its_reader_and_fetched_once() {
        let bench = Bench::new(0);
        let fetch = || bench.reader.prefetch(key(), SIZE as u64);
        assert_eq!(fetch().await.unwrap(), Ahead::Fetched);
        assert_eq!(fetch().await.unwrap(), Ahead::Here);
        assert_eq!(bench.urgencies(), [Urgency::Prefetch]);
        let read = bench.reader.read_now(&request(50_000, 10)).unwrap().unwrap();
        assert_eq!(read, Bytes::from(vec![7; 10]));
        assert_eq!(bench.remote.asked().len(), 1);
    }

    #[tokio::test]
    async fn whoever_asks_for_it_meanwhile_makes_it_as_urgent_as_that_and_is_the_only_one_who_waits() {
        let bench = Bench::new(0);
        let (open, gate) = watch::channel(false);
        bench.remote.fail([Fault::StallAfter(1000, gate)]);
        let reader = bench.reader.clone();
        let ahead = Handle::current().spawn(async move { reader.prefetch(key(), SIZE as u64).await });
        while bench.remote.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.urgencies(), [Urgency::Prefetch]);
        assert_eq!(bench.reader.stats().waiting, 0);
        let reader = bench.reader.clone();
        let read = Handle::current().spawn(async move { reader.read(request(90_000, 10)).await });
        while bench.urgencies() != [Urgency::Interactive] {
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.reader.stats().waiting, 1);
        open.send_replace(true);
        assert_eq!(read.await.unwrap().unwrap().len(), 10);
        assert_eq!(ahead.await.unwrap().unwrap(), Ahead::Fetched);
        assert_eq!(bench.remote.asked().len(), 1);
    }

    #[tokio::test]
    async fn what_failed_ahead_is_tried_anew_by_whoever_needs_it() {
        let bench = Bench::new(0);
        let away = RemoteError::Unreachable("it is away".into());
        bench.remote.fail([Fault::Refuse(away)]);
        let fetched = bench.reader.prefetch(key(), SIZE as u64).await;
        assert!(matches!(fetched, Err(ContentError::Remote(_))), "{fetched:?}");
        assert_eq!(bench.reader.read(request(0, 10)).await.unwrap().len(), 10);
        assert_eq!(bench.urgencies(), [Urgency::Prefetch, Urgency::Interactive]);
    }

    #[tokio::test]
    async fn nothing_is_fetched_ahead_where_the_cache_has_no_room() {
        let bench = Bench::new(u64::MAX);
        let fetched = bench.reader.prefetch(key(), SIZE as u64).await;
        assert_eq!(fetched.unwrap(), Ahead::NoRoom);
        assert_eq!(bench.remote.asked(), []);
    }
}
