//! The options of each command.

use super::body::Body;
use super::parse::{
    Every, PublishStream, elems_spec, every, group, interval, message_type, mode, positive_time, rate, size_u32,
    stream_spec, time,
};
use crate::complete::{regions, streams};
use clap::Args;
use clap_complete::ArgValueCompleter;
use shmx::{NameLoss, Server, ServerBuilder};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Also objects that are no regions.
    #[arg(long)]
    pub(crate) all: bool,
    /// How long to count frames for the rate.
    #[arg(long, value_name = "TIME", default_value = "0.5s", value_parser = time, allow_negative_numbers = true)]
    pub(crate) seconds: Duration,
    /// Print as JSON, an object for each region.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which regions `top` shows first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sort {
    /// Bytes per second.
    #[default]
    Bandwidth,
    /// Frames per second.
    Rate,
    /// Readers, and among them those furthest behind.
    Readers,
    /// Memory.
    Size,
    /// Names, from A to Z.
    Name,
}

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// What comes first; the key s changes it.
    #[arg(long, value_name = "BY", value_enum, default_value_t)]
    pub(crate) sort: Sort,
    /// The least first; the key r changes it.
    #[arg(long, short)]
    pub(crate) reverse: bool,
    /// Time between two counts.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval, allow_negative_numbers = true)]
    pub(crate) interval: Duration,
    /// Print the table once, after one interval.
    #[arg(long)]
    pub(crate) once: bool,
    /// Print an object for each region, after each interval.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Hz {
    /// Names of the regions.
    #[arg(required = true, value_name = "NAME", add = ArgValueCompleter::new(regions))]
    pub(crate) names: Vec<String>,
    /// End after this time. Without it, run until SIGINT.
    #[arg(long, value_name = "TIME", value_parser = positive_time, allow_negative_numbers = true)]
    pub(crate) seconds: Option<Duration>,
    /// Keep trying to open the region for this time.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time, allow_negative_numbers = true)]
    pub(crate) wait_server: Duration,
    /// Print the summary as JSON, an object for each region, and nothing before.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Name of the region.
    #[arg(add = ArgValueCompleter::new(regions))]
    pub(crate) name: String,
    /// Type of the message.
    #[arg(value_name = "TYPE", value_parser = message_type)]
    pub(crate) ty: u32,
    #[command(flatten)]
    pub(crate) body: Body,
    /// Append the bytes of a file; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Longest wait for room in the ring, and for the server to take the message.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = time, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
    /// End as soon as the message is in the ring. The server may then not learn who sent it.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Keep trying to open the region for this time.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time, allow_negative_numbers = true)]
    pub(crate) wait_server: Duration,
    /// Say at the end what was done, as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Names of the regions.
    #[arg(required = true, value_name = "NAME", add = ArgValueCompleter::new(regions))]
    pub(crate) names: Vec<String>,
    /// Longest time to wait. Without it, wait until it is so.
    #[arg(long, value_name = "TIME", value_parser = time, allow_negative_numbers = true)]
    pub(crate) timeout: Option<Duration>,
    /// Until each has published this many frames.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) frames: u64,
    /// Until each has this many readers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) readers: u32,
    /// Until no server holds any of the names.
    #[arg(long, conflicts_with_all = ["frames", "readers"])]
    pub(crate) gone: bool,
    /// Say at the end what was done, as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Dump {
    /// Name of the region.
    #[arg(add = ArgValueCompleter::new(regions))]
    pub(crate) name: String,
    /// Where to write it.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Say at the end what was done, as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Names of the regions.
    #[arg(required = true, value_name = "NAME", add = ArgValueCompleter::new(regions))]
    pub(crate) names: Vec<String>,
    /// Also what has no lock: reference-made regions, whose servers may be running, and objects that are no regions.
    #[arg(long)]
    pub(crate) force: bool,
    /// Print what became of each as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Only regions whose names have this prefix.
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Only say what would be removed.
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Print each as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print as JSON, an object for each finding.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The command; without it, shmx itself.
    pub(crate) command: Option<String>,
    /// Write the pages of all commands into this folder.
    #[arg(long, conflicts_with = "command")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How long the readers read.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = positive_time)]
    pub(crate) seconds: Duration,
    /// Frames per second.
    #[arg(long, default_value = "100", value_parser = rate, allow_negative_numbers = true)]
    pub(crate) hz: f64,
    /// Which frames carry a checksum.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) checksum: Checksum,
    /// Say at the end what was done, as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Name of the region.
    pub(crate) name: String,
    /// Frames per second.
    #[arg(long, default_value = "30", value_parser = rate, allow_negative_numbers = true)]
    pub(crate) hz: f64,
    /// End after this time. Without it, run until SIGINT or SIGTERM.
    #[arg(long, value_name = "TIME", value_parser = time, allow_negative_numbers = true)]
    pub(crate) seconds: Option<Duration>,
    #[command(flatten)]
    pub(crate) region: Region,
    /// Largest payload of a frame.
    #[arg(long, value_name = "SIZE", default_value = "64K", value_parser = size_u32)]
    pub(crate) frame_bytes: u32,
    /// Also publish `echo` (44, u64): per reader slot the number that the reader last sent (type 0x3000, 8 bytes).
    #[arg(long)]
    pub(crate) echo: bool,
    /// The producer of the demo: echo and a filling, ends when stdin closes, reports on stdout.
    #[arg(long, hide = true)]
    pub(crate) demo: bool,
    /// Say at the end what was done, as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Region {
    /// Frame slots.
    #[arg(long, value_name = "N", default_value_t = 3, allow_negative_numbers = true)]
    pub(crate) slots: u32,
    /// Readers that can attach.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) readers: u32,
    /// Bytes of each reader's control ring; 0 means none.
    #[arg(long, value_name = "SIZE", default_value = "4K", value_parser = size_u32)]
    pub(crate) control_bytes: u32,
    /// Which frames carry a checksum: `auto` is those up to 4 KiB, and larger ones when somebody needs it.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) checksum: Checksum,
    /// Wake those that only look, too (record, hz, inspect, view): they need not poll; a system call for each frame.
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
pub(crate) struct Made {
    /// Permission bits of the region, octal. Readers need both rights, commands that look need the first.
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = mode)]
    pub(crate) mode: u32,
    /// Group of the region, by name or number; without it that of this process.
    #[arg(long, value_parser = group)]
    pub(crate) group: Option<u32>,
    /// Replace what has the name, unless its server lives.
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

/// How much of the streams is printed as JSON.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Data {
    /// With --json: at most this many elements of each stream.
    #[arg(long, value_name = "N", requires = "json")]
    pub(crate) limit: Option<usize>,
    /// With --json: no elements, only how many there are.
    #[arg(long, requires = "json", conflicts_with = "limit")]
    pub(crate) no_data: bool,
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

#[derive(Debug, Args)]
pub(crate) struct Read {
    /// Name of the region.
    #[arg(add = ArgValueCompleter::new(regions))]
    pub(crate) name: String,
    /// End after this many frames.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) frames: Option<u64>,
    /// Longest time without a frame.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
    /// Keep trying to open the region for this time.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time, allow_negative_numbers = true)]
    pub(crate) wait_server: Duration,
    /// Only this stream, by name or number; may be repeated.
    #[arg(long = "stream", value_name = "NAME", add = ArgValueCompleter::new(streams))]
    pub(crate) streams: Vec<String>,
    /// One JSON object per frame.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) data: Data,
    /// Every frame in order instead of the newest.
    #[arg(long)]
    pub(crate) all: bool,
    /// Only each N-th frame (`10`), or at most one frame in a time (`0.5s`, `200ms`).
    #[arg(long, value_name = "N|TIME", value_parser = every)]
    pub(crate) every: Option<Every>,
    /// Take a reader slot.
    #[arg(long)]
    pub(crate) attach: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Name of the region.
    #[arg(add = ArgValueCompleter::new(regions))]
    pub(crate) name: Option<String>,
    /// Look into this dump instead.
    #[arg(long, value_name = "DUMP", conflicts_with = "name")]
    pub(crate) file: Option<PathBuf>,
    /// Print as text, once.
    #[arg(long, conflicts_with = "json")]
    pub(crate) once: bool,
    /// Print as JSON, once; elements of streams only with --limit.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) data: Data,
    /// With --json: fields and bytes as they lie in the region, as the golden files of the format have them.
    #[arg(long, requires = "json", conflicts_with_all = ["limit", "no_data"])]
    pub(crate) raw: bool,
    /// Time between two redraws of the dashboard.
    #[arg(long, value_name = "TIME", default_value = "0.1s", value_parser = interval, allow_negative_numbers = true)]
    pub(crate) interval: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Name of the region.
    pub(crate) name: String,
    /// A stream, once for each: number, name, type (u8, f32x3, ...), and elements per frame if not 1; WxH for an
    /// image, with its encoding if the type does not imply it (u8x3 implies rgb8).
    #[arg(
        long = "stream",
        value_name = "ID:NAME:TYPE[xN][*COUNT|*WxH[@ENCODING]]",
        required = true,
        value_parser = stream_spec
    )]
    pub(crate) streams: Vec<PublishStream>,
    /// Elements per frame of a stream.
    #[arg(long, value_name = "ID=COUNT", value_parser = elems_spec)]
    pub(crate) elems: Vec<(u32, u32)>,
    /// Frames per second. Without it, as fast as stdin gives them.
    #[arg(long, value_parser = rate, allow_negative_numbers = true)]
    pub(crate) hz: Option<f64>,
    /// Publish nothing before this many readers are attached.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) wait_readers: u32,
    /// Keep the region for this time after the last frame.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time, allow_negative_numbers = true)]
    pub(crate) keep: Duration,
    /// Publish a frame only when every attached reader has taken the one before; no reader misses any then.
    #[arg(long)]
    pub(crate) lossless: bool,
    #[command(flatten)]
    pub(crate) region: Region,
    /// Say at the end what was done, as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// Name of the region.
    #[arg(add = ArgValueCompleter::new(regions))]
    pub(crate) name: String,
    /// The stream, by name or number.
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(streams))]
    pub(crate) stream: String,
    /// End after this many frames.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) frames: Option<u64>,
    /// Longest time without a frame.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
    /// Keep trying to open the region for this time.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time, allow_negative_numbers = true)]
    pub(crate) wait_server: Duration,
    /// Take a reader slot.
    #[arg(long)]
    pub(crate) attach: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Outside {
    /// Names and options for the program.
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoReader {
    pub(crate) name: String,
    #[arg(long, value_name = "TIME", value_parser = positive_time, allow_negative_numbers = true)]
    pub(crate) seconds: Duration,
    #[arg(long)]
    pub(crate) hz: f64,
    #[arg(long, default_value_t = 0)]
    pub(crate) hold_ms: u64,
}
