//! Options of commands that make regions.

use super::parse::{group, mode, size_u32};
use clap::Args;
use shmx::{NameLoss, Server, ServerBuilder};

#[derive(Debug, Args)]
#[command(next_help_heading = "Region")]
pub(crate) struct Region {
    /// Number of frame slots.
    #[arg(long, value_name = "N", default_value_t = 3, allow_negative_numbers = true)]
    pub(crate) slots: u32,
    /// Number of readers that can attach.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) readers: u32,
    /// Size of each reader's control ring; 0 for none.
    #[arg(long, value_name = "SIZE", default_value = "4K", value_parser = size_u32)]
    pub(crate) control_bytes: u32,
    /// Which frames carry a checksum; `auto`: those of up to 4 KiB, and larger ones when a reader needs it.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) checksum: Checksum,
    /// Wake read-only commands (record, hz, inspect, view) for every frame, so that they can sleep instead of polling;
    /// costs a system call per frame.
    #[arg(long)]
    pub(crate) ring_always: bool,
    /// What to do when somebody removes the region's name while it is served.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    pub(crate) on_name_loss: OnNameLoss,
    #[command(flatten)]
    pub(crate) made: Made,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnNameLoss {
    /// Warn, and go on for the readers that are attached.
    #[default]
    Warn,
    /// Warn, and end with an error.
    End,
    /// Warn, and make a new region under the name.
    ComeBack,
}

impl From<OnNameLoss> for NameLoss {
    fn from(what: OnNameLoss) -> Self {
        match what {
            OnNameLoss::Warn => Self::Warn,
            OnNameLoss::End => Self::End,
            OnNameLoss::ComeBack => Self::ComeBack,
        }
    }
}

impl Region {
    /// A server as the options ask for it.
    pub(crate) fn builder(&self, name: &str) -> ServerBuilder {
        let builder = Server::builder(name).slots(self.slots).reader_slots(self.readers).ring_always(self.ring_always);
        let builder = builder.on_name_loss(self.on_name_loss.into());
        self.made.apply(builder.control_bytes(self.control_bytes).checksum(self.checksum.into()))
    }
}

/// What a new region is to other users, and to what has its name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Region")]
pub(crate) struct Made {
    /// Permission bits of the region, in octal. Readers need both read and write, read-only commands just read.
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = mode)]
    pub(crate) mode: u32,
    /// Group of the region, by name or number. Without it, the group of this process.
    #[arg(long, value_parser = group)]
    pub(crate) group: Option<u32>,
    /// Replace what has the name already, unless its server is alive.
    #[arg(long)]
    pub(crate) replace: bool,
}

impl Made {
    fn apply(&self, builder: ServerBuilder) -> ServerBuilder {
        let builder = builder.replace(self.replace).mode(self.mode);
        match self.group {
            Some(group) => builder.group(group),
            None => builder,
        }
    }
}

/// Which frames of a new region carry a checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Checksum {
    #[default]
    Auto,
    Always,
    Never,
}

impl Checksum {
    /// As it is written on a command line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

impl From<Checksum> for shmx::Checksum {
    fn from(c: Checksum) -> Self {
        match c {
            Checksum::Auto => Self::Auto,
            Checksum::Always => Self::Always,
            Checksum::Never => Self::Never,
        }
    }
}
