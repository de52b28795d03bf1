//! A bar that says how much of a long work is done, and when it may end. For people at a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the time left is told anew where nothing else moves.
const TICK: Duration = Duration::from_millis(500);

/// A progress bar; gone when it is dropped.
pub struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new(visible: bool, of_what: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        if visible {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            let template = format!("{{wide_bar}} {{pos}} of {{len}} {of_what}{{msg}}, {{eta}} left");
            // A template that is wrong shows the library's own, which a test would notice.
            if let Ok(style) = ProgressStyle::with_template(&template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
        }
        Self(bar)
    }

    /// So much of all that is known is done. `message` comes after the numbers, and holds nothing a server wrote.
    pub fn set(&self, done: u64, known: u64, message: String) {
        self.0.set_length(known);
        self.0.set_position(done);
        self.0.set_message(message);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_much_is_done_and_a_hidden_one_nothing() {
        let template = "{wide_bar} {pos} of {len} folders{msg}, {eta} left";
        assert!(ProgressStyle::with_template(template).is_ok());
        let bar = Bar::new(false, "folders");
        bar.set(3, 7, ", waiting".to_owned());
        assert!(bar.0.is_hidden());
        assert_eq!((bar.0.position(), bar.0.length()), (3, Some(7)));
    }
}
