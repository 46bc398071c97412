//! The command line.

use crate::common::hex_bytes;
use clap::{ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand};
use shmx::meta::{Encoding, StreamMeta};
use std::path::PathBuf;
use std::time::Duration;

/// Frames of typed streams between processes, through named shared memory.
///
/// Commands that look (ls, inspect, read, cat, hz, dump, doctor) use a read-only mapping and take no reader slot unless
/// --attach says so: nothing they do can change a running stream.
#[derive(Debug, Parser)]
#[command(
    name = "shmx",
    version,
    max_term_width = 100,
    after_help = "\
Data goes to stdout, messages to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.

Examples:
  shmx demo                              a producer, two readers and an inspector, for 3 seconds
  shmx serve clock --hz 60               publish a clock under the name `clock`
  shmx ls                                which regions there are
  shmx inspect clock                     watch it live, without disturbing it
  shmx read clock --frames 10 --json     ten frames of it, one JSON object each
  shmx hz clock --seconds 2              how regular it is"
)]
pub(crate) struct Cli {
    /// Log to stderr: -v events, -vv more. The variable RUST_LOG overrides it.
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 900)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the regions of this machine.
    #[command(after_help = "\
States: live; dead (its server died); closed (its server left, somebody holds the name); reference-made (no lock, so
nobody can tell); unreadable (with the reason). The rate is counted for --seconds; of slow regions it is taken from the
publish times in the ring. Read-only.

Exit codes: 0 done, 1 failed (this platform cannot list), 2 wrong usage.

Examples:
  shmx ls
  shmx ls --all --seconds 0
  shmx ls --json | jq '.[] | select(.state == \"dead\")'")]
    Ls(Ls),
    /// Watch a region in a live dashboard, or print it once.
    #[command(after_help = "\
Without a name it lets you pick one. It waits for a server that is not there yet and follows one that restarts. Keys \
are shown on the screen, `?` explains them. With --once or --json, and where stdout is no terminal, it prints the \
same once and ends. A damaged region is shown field by field. Read-only: no reader slot, no lock. \
NO_COLOR=1 turns colours off.

Exit codes: 0 done, 1 failed or damaged region, 2 wrong usage.

Examples:
  shmx inspect
  shmx inspect clock
  shmx inspect clock --once
  shmx inspect clock --json | jq .header.frame_seq
  shmx inspect --file clock.bin")]
    Inspect(Inspect),
    /// Print the frames of a region, decoded, the newest one each time.
    #[command(after_help = "\
Read-only, by polling; with --attach it takes a reader slot, sleeps between frames, and the \
producer spares the frame being read. Frames that were overwritten or passed over are counted as missed.

Exit codes: 0 after --frames or on SIGINT; 1 when the time is up, the server leaves or fails; 2 wrong usage.

Examples:
  shmx read clock
  shmx read clock --stream tick_seq --every 0.5s
  shmx read clock --frames 20 --every 10 --json
  shmx read clock --frames 100 --all --attach --json | jq .streams.tick_seq[0]")]
    Read(Read),
    /// Write the raw bytes of one stream to stdout, frame after frame.
    #[command(after_help = "\
Read-only; with --attach it takes a reader slot, which `publish --lossless` waits for.

Exit codes: 0 after --frames, on SIGINT, or when the server has left in order after at least one frame; 1 failed; 2 \
wrong usage.

Examples:
  shmx cat video --stream image | ffplay -f rawvideo -pixel_format rgb24 -video_size 640x480 -
  shmx cat data --stream pos --attach --wait-server 10 >pos.bin")]
    Cat(Cat),
    /// Measure rate, jitter, latency, bandwidth and missed frames.
    #[command(after_help = "\
A line each second, and a summary at the end of --seconds or on SIGINT. Interval: from publish to publish. Jitter: \
difference of an interval to the one before. Seen after: from publish until this command had taken the frame, which \
includes the pause between its polls. Acquired before: from acquisition to publish, where a stream tells. Taken \
after: from publish until a reader had taken the frame, from the reader's own slot. Read-only: it polls often enough \
to take each frame before it is overwritten, and counts those that it missed; of these, and of frames without \
publish time, it cannot know when they came.

Exit codes: 0 done, 1 no frame or failed, 2 wrong usage.

Examples:
  shmx hz clock
  shmx hz clock --seconds 2
  shmx hz clock --seconds 1 --json | jq .interval.p99_ns")]
    Hz(Hz),
    /// Send a control message to the server of a region.
    #[command(after_help = "\
Takes a reader slot for as long as it takes. TYPE is a number (0x3000 and above are the application's) or one of \
user, user+N, hello, heartbeat, bye. The body is made of the options in the order given, numbers in little-endian.

Exit codes: 0 taken by the server (with --no-wait: sent), 1 failed or not taken in time, 2 wrong usage.

Examples:
  shmx send clock user --u64 7
  shmx send clock user+1 --text gravity --f64 9.81
  shmx send clock 0x3000 --hex 'de ad be ef' --no-wait
  printf hello | shmx send clock user --file -")]
    Send(Send),
    /// Copy a region's bytes into a file, for a post-mortem.
    #[command(after_help = "\
Taken while others write, so frames in it may be half-written. Read-only. A FILE of `-` is stdout.

Exit codes: 0 done, 1 failed, 2 wrong usage.

Examples:
  shmx dump clock clock.bin
  shmx dump clock - | gzip >clock.bin.gz
  shmx inspect --file clock.bin --once")]
    Dump(Dump),
    /// Remove regions whose server died.
    #[command(after_help = "\
The region of a live server is never removed. Those who have a region mapped keep it.

Exit codes: 0 removed, 1 refused or failed, 2 wrong usage.

Examples:
  shmx rm old
  shmx rm --force made-by-the-reference")]
    Rm(Rm),
    /// Remove every region whose server died.
    #[command(after_help = "\
Asks first. Regions of live servers and reference-made ones are left alone. A PREFIX keeps it to names with this \
prefix.

Exit codes: 0 done, 1 failed, 2 wrong usage or nobody to ask.

Examples:
  shmx prune --dry-run
  shmx prune --yes robot-")]
    Prune(Prune),
    /// Check what this machine offers: space, limits, containers, clock, processor, pages.
    #[command(after_help = "\
Each finding with its remedy. Makes a small region of its own and removes it.

Exit codes: 0 usable, 1 something is broken, 2 wrong usage.

Examples:
  shmx doctor
  shmx doctor --json | jq '.[] | select(.state != \"ok\")'")]
    Doctor(Doctor),
    /// Run a producer, a fast and a slow reader and an inspector, and say what each saw.
    #[command(after_help = "\
Exit codes: 0 done, 1 failed, 2 wrong usage.

Examples:
  shmx demo
  shmx demo --seconds 10 --hz 1000")]
    Demo(Demo),
    /// Publish a clock: streams tick_seq (42, u64) and tick_sim (43, f64).
    #[command(after_help = "\
Ends after --seconds, or on SIGINT or SIGTERM; the region is removed then.

Exit codes: 0 done, 1 failed, 2 wrong usage.

Examples:
  shmx serve clock
  shmx serve clock --hz 120 --seconds 10 --slots 8")]
    Serve(Serve),
    /// Publish raw bytes from stdin as frames.
    #[command(after_help = "\
Each frame takes, per stream in the order given, COUNT elements of raw bytes (little-endian) from stdin.

Exit codes: 0 done, 1 failed, 2 wrong usage.

Examples:
  ffmpeg -i clip.mp4 -f rawvideo -pix_fmt rgb24 -s 640x480 - |
    shmx publish video --stream 1:image:u8x3*640x480 --hz 30
  shmx publish data --stream 1:pos:f32x3*100 2:mass:f32*100 --lossless --wait-readers 1 <data.bin")]
    Publish(Publish),
    /// Print a script that completes shmx commands in your shell.
    #[command(after_help = "\
Exit codes: 0 done, 2 wrong usage.

Examples:
  shmx completions bash >shmx.bash
  shmx completions zsh >_shmx")]
    Completions(Completions),
    /// Print a manual page, or write all of them into a folder.
    #[command(after_help = "\
Exit codes: 0 done, 1 failed, 2 wrong usage.

Examples:
  shmx man
  shmx man inspect >shmx-inspect.1
  shmx man --dir man1")]
    Man(Man),
    /// Record regions into an MCAP file, without disturbing them.
    #[command(after_help = "\
Every frame once, in order, or counted as missed. Regions need not be there yet and may restart, which begins a new
segment in the same file. The file replays with `shmx play`, and viewers of MCAP files show its numbers, images and
points. A recorder that is killed leaves a file that is readable up to its last finished chunk, at most a second old.

Exit codes: 0 ended by --seconds, --frames, --until-gone or a signal; 1 failed (what was written is kept); 2 wrong
usage.

Examples:
  shmx record clock -o clock.mcap --seconds 2
  shmx record clock -o clock.mcap --frames 50 --compress zstd
  shmx record clock -o run.mcap --seconds 1 --rotate-size 1M --keep-size 20M")]
    Record(crate::record::Record),
    /// Replay a recording: rebuild its regions and publish their frames at their times.
    #[command(after_help = "\
Frames, their order and the directory are as recorded, byte for byte; frame ids count from 1. On a terminal, keys pause,
step, seek and change the speed. With --loop it ends by a signal or the key q. Several files play one after the other.

Exit codes: 0 done or ended by a signal; 1 failed, or a part of the file could not be read; 2 wrong usage.

Examples:
  shmx play clock.mcap
  shmx play clock.mcap --rate 0.5 --prefix slow-
  shmx play clock.mcap --from 0.1 --to 0.5 --json")]
    Play(crate::play::Play),
    /// Say what a recording holds.
    #[command(after_help = "\
Reads everything, and says what of a truncated or damaged file can be read and what cannot.

Exit codes: 0 all of it is readable; 1 not all, or nothing; 2 wrong usage.

Examples:
  shmx info clock.mcap
  shmx info clock.mcap --json | jq .regions[0].frames_read")]
    Info(crate::info::Info),
    /// Plot any numeric stream of a region or a recording; pause, step and scrub.
    #[command(after_help = "\
A live region is followed through a read-only mapping, from the oldest frame in its ring on; --history bounds the memory
for what was seen since. Images and vectors have plots of their own; keys are shown on the screen.
NO_COLOR=1 turns colours off, but for images.

Exit codes: 0 done; 1 failed, or a part of the recording could not be read; 2 wrong usage.

Examples:
  shmx view clock
  shmx view clock.mcap --stream tick_sim --at 0.5 --once --size 80x24
  shmx view clock.mcap --svg clock.svg")]
    View(crate::view::View),
    /// A consumer of the demo.
    #[command(hide = true)]
    DemoReader(DemoReader),
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Also objects that are no regions.
    #[arg(long)]
    pub(crate) all: bool,
    /// How long to count frames for the rate.
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) seconds: Duration,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Hz {
    /// Name of the region.
    pub(crate) name: String,
    /// End after this time. Without it, run until SIGINT.
    #[arg(long, value_parser = positive_seconds, allow_negative_numbers = true)]
    pub(crate) seconds: Option<Duration>,
    /// Keep trying to open the region for this time.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) wait_server: Duration,
    /// Print the summary as JSON, and nothing before.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Name of the region.
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
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
    /// End as soon as the message is in the ring. The server may then not learn who sent it.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Keep trying to open the region for this time.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) wait_server: Duration,
}

/// A message's body: the options' values in the order in which they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body(pub(crate) Vec<u8>);

/// The options of which a body is made, and how each turns its text into bytes.
type Encode = fn(&str) -> Result<Vec<u8>, String>;

fn encode<T: std::str::FromStr, const N: usize>(s: &str, bytes: fn(T) -> [u8; N]) -> Result<Vec<u8>, String> {
    s.parse().map(|v| bytes(v).to_vec()).map_err(|_| format!("`{s}` is no {}", std::any::type_name::<T>()))
}

const PARTS: [(&str, &str, &str, Encode); 12] = [
    ("text", "TEXT", "Text, as UTF-8", |s| Ok(s.as_bytes().to_vec())),
    ("hex", "DIGITS", "Bytes as hex digits", hex_bytes),
    ("u8", "N", "An 8-bit unsigned integer", |s| encode(s, u8::to_le_bytes)),
    ("u16", "N", "A 16-bit unsigned integer", |s| encode(s, u16::to_le_bytes)),
    ("u32", "N", "A 32-bit unsigned integer", |s| encode(s, u32::to_le_bytes)),
    ("u64", "N", "A 64-bit unsigned integer", |s| encode(s, u64::to_le_bytes)),
    ("i8", "N", "An 8-bit signed integer", |s| encode(s, i8::to_le_bytes)),
    ("i16", "N", "A 16-bit signed integer", |s| encode(s, i16::to_le_bytes)),
    ("i32", "N", "A 32-bit signed integer", |s| encode(s, i32::to_le_bytes)),
    ("i64", "N", "A 64-bit signed integer", |s| encode(s, i64::to_le_bytes)),
    ("f32", "X", "A single-precision number", |s| encode(s, f32::to_le_bytes)),
    ("f64", "X", "A double-precision number", |s| encode(s, f64::to_le_bytes)),
];

impl Args for Body {
    fn augment_args(cmd: clap::Command) -> clap::Command {
        PARTS.iter().fold(cmd, |cmd, &(name, value, help, encode)| {
            cmd.arg(
                clap::Arg::new(name)
                    .long(name)
                    .value_name(value)
                    .help(help)
                    .action(ArgAction::Append)
                    .num_args(1..)
                    .allow_negative_numbers(true)
                    .value_parser(encode),
            )
        })
    }

    fn augment_args_for_update(cmd: clap::Command) -> clap::Command {
        Self::augment_args(cmd)
    }
}

impl FromArgMatches for Body {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut parts: Vec<(usize, &Vec<u8>)> = Vec::new();
        for (name, ..) in PARTS {
            let places = matches.indices_of(name).into_iter().flatten();
            parts.extend(places.zip(matches.get_many::<Vec<u8>>(name).into_iter().flatten()));
        }
        parts.sort_by_key(|p| p.0);
        Ok(Self(parts.into_iter().flat_map(|p| p.1.iter().copied()).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(crate) struct Dump {
    /// Name of the region.
    pub(crate) name: String,
    /// Where to write it.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Names of the regions.
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Also what has no lock: reference-made regions, whose servers may be running, and objects that are no regions.
    #[arg(long)]
    pub(crate) force: bool,
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
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print as JSON.
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
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = positive_seconds)]
    pub(crate) seconds: Duration,
    /// Frames per second.
    #[arg(long, default_value = "100", value_parser = rate, allow_negative_numbers = true)]
    pub(crate) hz: f64,
    /// Which frames carry a checksum.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) checksum: Checksum,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Name of the region.
    pub(crate) name: String,
    /// Frames per second.
    #[arg(long, default_value = "30", value_parser = rate, allow_negative_numbers = true)]
    pub(crate) hz: f64,
    /// End after this time. Without it, run until SIGINT or SIGTERM.
    #[arg(long, value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) seconds: Option<Duration>,
    #[command(flatten)]
    pub(crate) region: Region,
    /// Largest payload of a frame.
    #[arg(long, value_name = "BYTES", default_value_t = 65536)]
    pub(crate) frame_bytes: u32,
    /// Also publish `echo` (44, u64): per reader slot the number that the reader last sent (type 0x3000, 8 bytes).
    #[arg(long)]
    pub(crate) echo: bool,
    /// The producer of the demo: echo and a filling, ends when stdin closes, reports on stdout.
    #[arg(long, hide = true)]
    pub(crate) demo: bool,
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
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    pub(crate) control_bytes: u32,
    /// Which frames carry a checksum: `auto` is those up to 4 KiB, and larger ones when somebody needs it.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) checksum: Checksum,
    /// Replace what has the name, unless its server lives.
    #[arg(long)]
    pub(crate) replace: bool,
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
    pub(crate) name: String,
    /// End after this many frames.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) frames: Option<u64>,
    /// Longest time without a frame.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
    /// Keep trying to open the region for this time.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) wait_server: Duration,
    /// Only this stream, by name or number; may be repeated.
    #[arg(long = "stream", value_name = "NAME")]
    pub(crate) streams: Vec<String>,
    /// One JSON object per frame.
    #[arg(long)]
    pub(crate) json: bool,
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

/// How often `read` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Every {
    Frames(u64),
    Time(Duration),
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Name of the region.
    pub(crate) name: Option<String>,
    /// Look into this dump instead.
    #[arg(long, value_name = "DUMP", conflicts_with = "name")]
    pub(crate) file: Option<PathBuf>,
    /// Print as text, once.
    #[arg(long, conflicts_with = "json")]
    pub(crate) once: bool,
    /// Print as JSON, once.
    #[arg(long)]
    pub(crate) json: bool,
    /// Time between two redraws of the dashboard.
    #[arg(long, value_name = "SECONDS", default_value = "0.1", value_parser = interval, allow_negative_numbers = true)]
    pub(crate) interval: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Name of the region.
    pub(crate) name: String,
    /// A stream: number, name, type (u8, f32x3, ...), and elements per frame if not 1; WxH for an image, with
    /// its encoding if the type does not imply it (u8x3 implies rgb8).
    #[arg(
        long = "stream",
        value_name = "ID:NAME:TYPE[xN][*COUNT|*WxH[@ENCODING]]",
        required = true,
        num_args = 1..,
        value_parser = stream_spec
    )]
    pub(crate) streams: Vec<PublishStream>,
    /// Elements per frame of a stream.
    #[arg(long, value_name = "ID=COUNT", num_args = 1.., value_parser = elems_spec)]
    pub(crate) elems: Vec<(u32, u32)>,
    /// Frames per second. Without it, as fast as stdin gives them.
    #[arg(long, value_parser = rate, allow_negative_numbers = true)]
    pub(crate) hz: Option<f64>,
    /// Publish nothing before this many readers are attached.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) wait_readers: u32,
    /// Keep the region for this time after the last frame.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) keep: Duration,
    /// Publish a frame only when every attached reader has taken the one before; no reader misses any then.
    #[arg(long)]
    pub(crate) lossless: bool,
    #[command(flatten)]
    pub(crate) region: Region,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// Name of the region.
    pub(crate) name: String,
    /// The stream, by name or number.
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: String,
    /// End after this many frames.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) frames: Option<u64>,
    /// Longest time without a frame.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Duration,
    /// Keep trying to open the region for this time.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) wait_server: Duration,
    /// Take a reader slot.
    #[arg(long)]
    pub(crate) attach: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoReader {
    pub(crate) name: String,
    #[arg(long, value_parser = positive_seconds, allow_negative_numbers = true)]
    pub(crate) seconds: Duration,
    #[arg(long)]
    pub(crate) hz: f64,
    #[arg(long, default_value_t = 0)]
    pub(crate) hold_ms: u64,
}

/// A stream of `publish`.
#[derive(Clone, Debug)]
pub(crate) struct PublishStream {
    pub(crate) spec: shmx::StreamSpec,
    /// Elements in a frame.
    pub(crate) count: u32,
}

fn seconds(s: &str) -> Result<Duration, String> {
    let v: f64 = s.parse().map_err(|_| "give a number of seconds".to_owned())?;
    let d = Duration::try_from_secs_f64(v).map_err(|_| "give a number of seconds that is not negative".to_owned())?;
    // Instants cannot go arbitrarily far.
    Ok(d.min(Duration::from_secs(100 * 365 * 24 * 3600)))
}

fn positive_seconds(s: &str) -> Result<Duration, String> {
    seconds(s).and_then(|d| if d.is_zero() { Err("give more than 0 seconds".into()) } else { Ok(d) })
}

fn interval(s: &str) -> Result<Duration, String> {
    let d = seconds(s)?;
    let range = Duration::from_millis(20)..=Duration::from_secs(10);
    if range.contains(&d) { Ok(d) } else { Err("give between 0.02 and 10 seconds".into()) }
}

fn every(s: &str) -> Result<Every, String> {
    let form = || format!("`{s}` is neither a number of frames, as in 10, nor a time, as in 0.5s or 200ms");
    let time = |number: &str, unit: f64| {
        let v: f64 = number.parse().map_err(|_| form())?;
        Duration::try_from_secs_f64(v * unit).map(Every::Time).map_err(|_| form())
    };
    if let Some(number) = s.strip_suffix("ms") {
        time(number, 1e-3)
    } else if let Some(number) = s.strip_suffix('s') {
        time(number, 1.0)
    } else {
        s.parse().ok().filter(|&n| n > 0).map(Every::Frames).ok_or_else(form)
    }
}

fn message_type(s: &str) -> Result<u32, String> {
    use shmx::abi::{CONTROL_BYE, CONTROL_HEARTBEAT, CONTROL_HELLO, TLV_CONTROL_USER};
    let form = || format!("`{s}` is no message type; give a number above 0, user, user+N, hello, heartbeat or bye");
    let number = |s: &str| match s.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => s.parse().ok(),
    };
    match s {
        "user" => Ok(TLV_CONTROL_USER),
        "hello" => Ok(CONTROL_HELLO),
        "heartbeat" => Ok(CONTROL_HEARTBEAT),
        "bye" => Ok(CONTROL_BYE),
        _ => match s.strip_prefix("user+") {
            Some(n) => number(n).and_then(|n| TLV_CONTROL_USER.checked_add(n)).ok_or_else(form),
            None => number(s).filter(|&n| n > 0).ok_or_else(form),
        },
    }
}

fn rate(s: &str) -> Result<f64, String> {
    let v: f64 = s.parse().map_err(|_| "give frames per second".to_owned())?;
    if (1e-4..=1e6).contains(&v) { Ok(v) } else { Err("give between 0.0001 and 1000000 frames per second".into()) }
}

fn stream_spec(s: &str) -> Result<PublishStream, String> {
    let form = || format!("`{s}` is not ID:NAME:TYPE[xN][*COUNT|*WxH[@ENCODING]], as in 1:image:u8x3*640x480@bgr8");
    let (id, rest) = s.split_once(':').ok_or_else(form)?;
    let (name, ty) = rest.rsplit_once(':').ok_or_else(form)?;
    let id: u32 = id.parse().map_err(|_| form())?;
    let (ty, size) = ty.split_once('*').map_or((ty, None), |(ty, size)| (ty, Some(size)));
    let (ty, components) = match ty.split_once('x') {
        Some((ty, n)) => (ty, n.parse().ok().filter(|&n| n > 0).ok_or_else(form)?),
        None => (ty, 1),
    };
    if name.is_empty() {
        return Err(form());
    }
    let ty = shmx::ElementType::from_name(ty).ok_or_else(|| {
        let names: Vec<_> = shmx::ElementType::ALL.iter().map(|t| t.name()).collect();
        format!("`{ty}` is no element type; there are {}", names.join(", "))
    })?;
    let spec = shmx::StreamSpec::new(id, name, ty, components);
    let Some(size) = size else { return Ok(PublishStream { spec, count: 1 }) };
    let (size, encoding) = size.split_once('@').map_or((size, None), |(size, encoding)| (size, Some(encoding)));
    let Some((w, h)) = size.split_once('x') else {
        let count = elem_count(size).and_then(|n| if encoding.is_some() { Err(form()) } else { Ok(n) })?;
        return Ok(PublishStream { spec, count });
    };
    let (w, h) = (elem_count(w)?, elem_count(h)?);
    let pixels = w.checked_mul(h).ok_or_else(form)?;
    let encoding = encoding.map(|e| Encoding::from(e.to_owned())).or_else(|| Encoding::implied(ty, components));
    let Some(encoding) = encoding else {
        // Elements that are no pixels have a shape all the same.
        return Ok(PublishStream { spec: spec.meta(&StreamMeta::new().shape([h, w])), count: pixels });
    };
    if !encoding.is_known() {
        return Err(format!(
            "`{s}`: `{encoding}` is no known encoding; docs/streams.md lists them, rgb8 and bgr8 first"
        ));
    }
    let meta = StreamMeta::image(h, w, encoding);
    if let Some(problem) = meta.check(ty, components, None).first() {
        return Err(format!("`{s}`: {problem}"));
    }
    let count = meta.elements(ty, components).unwrap_or(pixels.into()).try_into().map_err(|_| form())?;
    Ok(PublishStream { spec: spec.meta(&meta), count })
}

fn elem_count(s: &str) -> Result<u32, String> {
    s.parse().ok().filter(|&n| n > 0).ok_or_else(|| format!("`{s}` is not a number of elements of at least 1"))
}

fn elems_spec(s: &str) -> Result<(u32, u32), String> {
    let form = || format!("`{s}` is not ID=COUNT, as in 1=307200");
    let (id, count) = s.split_once('=').ok_or_else(form)?;
    Ok((id.parse().map_err(|_| form())?, elem_count(count)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn stream_specs() {
        let s = stream_spec("1:a:b:u8x3*307200").unwrap();
        assert_eq!((s.spec.id, s.spec.name.as_str(), s.spec.components, s.count), (1, "a:b", 3, 307_200));
        assert_eq!(stream_spec("7:t:F64").unwrap().spec.bytes_per_elem, 8);
        let of = |s: &str| stream_spec(s).map(|s| (s.count, String::from_utf8(s.spec.extra).unwrap())).unwrap();
        let image = |encoding: &str| format!(r#"{{"role":"image","shape":[480,640],"encoding":"{encoding}"}}"#);
        assert_eq!(of("1:image:u8x3*640x480"), (307_200, image("rgb8")));
        assert_eq!(of("1:image:u8x3*640x480@bgr8"), (307_200, image("bgr8")));
        assert_eq!(of("1:image:u8*640x480@bgr8"), (921_600, image("bgr8")), "single bytes");
        assert_eq!(of("1:grid:f64x2*640x480"), (307_200, r#"{"shape":[480,640]}"#.to_owned()), "no pixels");
        for bad in [
            "",
            "1",
            "1:a:u8*65536x65536",
            "1:a:u8*2x",
            "1:a:u8x3*2@bgr8",
            "1:a:u8x3*2x2@",
            "1:a:u8x3*2x2@nothing",
            "1:a:u8x2*2x2@bgr8",
            "1:a",
            "1:a:",
            "x:a:u8",
            "1::u8",
            "1:a:u9",
            "1:a:u8x0",
            "1:a:u8*0",
            "1:a:u8x",
        ] {
            assert!(stream_spec(bad).is_err(), "{bad}");
        }
        assert!(rate("nan").is_err() && rate("0").is_err() && seconds("-1").is_err() && seconds("nan").is_err());
        assert_eq!(elems_spec("1=5"), Ok((1, 5)));
    }

    #[test]
    fn message_types_and_paces() {
        assert_eq!(message_type("user+0x10"), Ok(0x3010));
        assert_eq!((message_type("12288"), message_type("0x3000")), (Ok(0x3000), Ok(0x3000)));
        for bad in ["", "0", "user+", "user+4294967295", "0x", "-1", "4294967296"] {
            assert!(message_type(bad).is_err(), "{bad}");
        }
        assert_eq!(every("10"), Ok(Every::Frames(10)));
        assert_eq!(every("0.5s"), Ok(Every::Time(Duration::from_millis(500))));
        assert_eq!(every("200ms"), Ok(Every::Time(Duration::from_millis(200))));
        for bad in ["", "0", "s", "ms", "-1s", "nans", "1.5"] {
            assert!(every(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_body_keeps_the_order_of_its_options() {
        let line = "shmx send x user --u8 1 2 --text ab --i16 -2 --hex 00ff --u8 3 --f32 1.5";
        let Command::Send(a) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!() };
        assert_eq!(a.body.0, [1, 2, b'a', b'b', 0xfe, 0xff, 0, 0xff, 3, 0, 0, 0xc0, 0x3f]);
        assert!(Cli::try_parse_from("shmx send x user --u8 256".split(' ')).is_err());
        assert!(Cli::try_parse_from("shmx send x user --hex 0".split(' ')).is_err());
    }
}
