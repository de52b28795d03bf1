//! The tag that the file of each document had when it was last seen, of as many documents as there is room for.
//!
//! A walk learns the tag of every document whose listing states no length. Each of them stays, and a piece of memory of its
//! own would hold a page of what the walk used and gave back: in a general cache, with eight pieces for each, 205 tags were
//! all that kept some 740 pages from the system. So they lie side by side.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::content::ContentKey;
use crate::sync::Mutex;

/// The longest tag that lies in its row, in bytes: a GUID with braces and quotes, or an MD5 in hexadecimal, and some more.
const SHORT: usize = 47;

/// The tags; of more than there is room for, those learnt first make room.
pub(super) struct Etags {
    most: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    index: HashTable<u32>,
    /// The row that makes room next, once there are as many as may be.
    oldest: usize,
    /// Keyed anew in each process: the ids are chosen by a server.
    hasher: RandomState,
}

struct Row {
    key: ContentKey,
    etag: Text,
}

enum Text {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Arc<str>),
}

impl Text {
    fn new(text: &Arc<str>) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(part), Ok(len)) => {
                part.copy_from_slice(text.as_bytes());
                Self::Short { len, bytes }
            }
            _ => Self::Long(text.clone()),
        }
    }

    fn get(&self) -> Option<Arc<str>> {
        match self {
            Self::Short { len, bytes } => {
                let text = bytes.get(..usize::from(*len))?;
                std::str::from_utf8(text).ok().map(Arc::from)
            }
            Self::Long(text) => Some(text.clone()),
        }
    }
}

impl Etags {
    /// Room for the tags of `most` documents, at least of one; each takes some 160 bytes once it is there.
    pub(super) fn new(most: u32) -> Self {
        Self {
            most: most.max(1) as usize,
            table: Mutex::default(),
        }
    }

    /// The tag of the file of `key`.
    pub(super) fn get(&self, key: &ContentKey) -> Option<Arc<str>> {
        let table = self.table.lock();
        let at = table.find(key)?;
        table.rows.get(at)?.etag.get()
    }

    /// The tag of the file of `key`: the one that is known, else `etag` from now on.
    pub(super) fn first(&self, key: &ContentKey, etag: &Arc<str>) -> Arc<str> {
        let mut table = self.table.lock();
        if let Some(known) = table.find(key).and_then(|at| table.rows.get(at)?.etag.get()) {
            return known;
        }
        table.put(key, etag, self.most);
        etag.clone()
    }

    /// Keeps the tag of the file of `key`, in the place of the one before.
    pub(super) fn insert(&self, key: &ContentKey, etag: &Arc<str>) {
        self.table.lock().put(key, etag, self.most);
    }
}

impl Table {
    fn put(&mut self, key: &ContentKey, etag: &Arc<str>, most: usize) {
        let row = Row {
            key: key.clone(),
            etag: Text::new(etag),
        };
        let at = match self.find(key) {
            Some(at) => {
                self.rows[at] = row;
                return;
            }
            None if self.rows.len() < most => {
                self.rows.push(row);
                self.rows.len() - 1
            }
            None => {
                let at = self.oldest;
                self.oldest = (at + 1) % most;
                self.leave_index(at);
                self.rows[at] = row;
                at
            }
        };
        self.enter_index(at);
    }

    fn find(&self, key: &ContentKey) -> Option<usize> {
        let is_it = |&at: &u32| self.rows[at as usize].key == *key;
        self.index
            .find(self.hasher.hash_one(key), is_it)
            .map(|&at| at as usize)
    }

    fn enter_index(&mut self, at: usize) {
        let Self {
            rows, index, hasher, ..
        } = self;
        let hash = |at: usize| hasher.hash_one(&rows[at].key);
        // There are never more rows than a `u32` says.
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        index.insert_unique(hash(at), number, |&at| hash(at as usize));
    }

    fn leave_index(&mut self, at: usize) {
        let hash = self.hasher.hash_one(&self.rows[at].key);
        if let Ok(entry) = self.index.find_entry(hash, |&other| other as usize == at) {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContentTag, DocumentId, Guid};

    fn key(number: u8) -> ContentKey {
        ContentKey {
            server: "server".into(),
            account: "account".into(),
            document: DocumentId(Guid::from_bytes([number; 16])),
            tag: ContentTag {
                size: None,
                stamp: None,
                revision: 0,
            },
        }
    }

    fn tag(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    #[test]
    fn a_tag_of_any_length_is_what_it_was_and_the_first_counts_until_another_is_put() {
        let etags = Etags::new(8);
        for (number, len) in (10..).zip([0, 1, SHORT - 1, SHORT, SHORT + 1, 255, 256, 70_000]) {
            let text = tag(&"x".repeat(len));
            assert_eq!(etags.first(&key(number), &text), text);
            assert_eq!(etags.first(&key(number), &tag("later")), text);
            assert_eq!(etags.get(&key(number)), Some(text), "{len}");
        }
        etags.insert(&key(10), &tag("another"));
        assert_eq!(etags.get(&key(10)), Some(tag("another")));
        etags.first(&key(1), &tag("one"));
        assert_eq!(etags.get(&key(2)), None);
        let later = ContentKey {
            tag: ContentTag {
                revision: 1,
                ..key(1).tag
            },
            ..key(1)
        };
        assert_eq!(etags.get(&later), None, "another version is another file");
    }

    #[test]
    fn those_learnt_first_make_room_and_the_rest_are_found() {
        let etags = Etags::new(3);
        for number in 0..8 {
            etags.first(&key(number), &tag(&format!("\"{number}\"")));
            // Seen again: it takes no second place.
            etags.first(&key(number), &tag(&format!("\"{number}b\"")));
        }
        for number in 0..8 {
            let kept = (number > 4).then(|| tag(&format!("\"{number}\"")));
            assert_eq!(etags.get(&key(number)), kept, "{number}");
        }
        let table = etags.table.lock();
        assert_eq!((table.rows.len(), table.index.len()), (3, 3));
    }

    #[test]
    fn a_row_takes_what_is_said_of_it() {
        assert!(size_of::<Row>() <= 152, "{} bytes", size_of::<Row>());
    }
}
