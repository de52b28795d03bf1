//! What is known of contents beside their bytes.

use super::ContentKey;
use super::reader::Reader;

impl Reader {
    /// Evicts a content after all that can be fetched again: it is of a superseded version, which the server may no longer
    /// give.
    ///
    /// Written down in the background, once; costs nothing where nothing of it is cached.
    pub fn keep_longer(&self, key: &ContentKey) {
        if self.shared.standing.contains_key(key) {
            return;
        }
        self.shared.standing.insert(key.clone(), ());
        let (shared, key) = (self.shared.clone(), key.clone());
        self.shared
            .cache
            .runtime()
            .spawn_blocking(move || shared.cache.keep_longer(&key));
    }
}
