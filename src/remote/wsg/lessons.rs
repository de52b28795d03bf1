//! What was learnt of a server that a later process must not have to learn again: that its word is not to be taken.
//!
//! Only what makes an answer wrong is kept. What costs a request to find out is found out anew: a server may have been
//! mended.

use serde::{Deserialize, Serialize};

use super::WsgRemote;

/// What is kept; a lesson that a later version adds is left out by an earlier one.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lessons {
    /// It says of what may not be seen that it does not exist.
    #[serde(default)]
    hides: bool,
    /// Its "not modified" is not true.
    #[serde(default)]
    lies: bool,
}

impl WsgRemote {
    /// The lessons so far, as text; empty where there are none.
    pub(super) fn lessons_learnt(&self) -> String {
        let lessons = Lessons {
            hides: self.hiding.is_known(),
            lies: self.trust.is_lost(),
        };
        if lessons == Lessons::default() {
            return String::new();
        }
        // Two truths can always be written.
        serde_json::to_string(&lessons).unwrap_or_default()
    }

    /// Takes over what an earlier process learnt; anything else is nothing.
    pub(super) fn take_lessons(&self, text: &str) {
        let Ok(lessons) = serde_json::from_str::<Lessons>(text) else {
            return;
        };
        if lessons.hides {
            self.hiding.learn();
        }
        if lessons.lies {
            self.trust.forfeit();
        }
    }
}
