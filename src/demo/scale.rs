//! The scale world: as many documents as are asked for, up to sixteen million, made when they are looked at.
//!
//! It starts at once and takes a few bytes a folder and none a document. Any document's bytes tell whose they are
//! (`oracle`), and no two documents' GUIDs begin with the same three bytes.

use super::DemoOptions;
use super::world::{Ground, State};

/// Fills an empty state.
pub(super) fn build(state: &mut State, options: &DemoOptions) {
    let ground = Ground::tree(options.seed, options.folders, options.documents, state.now());
    state.lay(ground);
}
