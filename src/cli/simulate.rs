//! `simulate`: the embedded ProjectWise by itself, for pipelines to try and for outages to be rehearsed.

pub mod knobs;

use clap::Args;

use crate::demo::DemoOptions;

use knobs::KnobArgs;

/// The world and the manners of the embedded ProjectWise.
#[derive(Debug, Clone, Args)]
pub struct ServerArgs {
    /// Documents in the project, about
    #[arg(long, default_value_t = DemoOptions::default().documents)]
    documents: usize,
    /// Folders in the project, about
    #[arg(long, default_value_t = DemoOptions::default().folders)]
    folders: usize,
    /// Another project of the same kind
    #[arg(long, default_value_t = DemoOptions::default().seed)]
    seed: u64,
    /// How the server settles what is not known of real ones.
    #[command(flatten)]
    knobs: KnobArgs,
}

impl ServerArgs {
    /// What the flags ask for.
    pub fn options(&self) -> DemoOptions {
        let mut options = DemoOptions {
            documents: self.documents,
            folders: self.folders,
            seed: self.seed,
            ..DemoOptions::default()
        };
        self.knobs.apply(&mut options.knobs);
        options
    }
}
