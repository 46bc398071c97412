//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Frames of typed streams between processes, through named shared memory.
#[derive(Debug, Parser)]
#[command(
    name = "shmx",
    version,
    after_help = "\
Data goes to stdout, words to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.

Examples:
  shmx demo                              a producer, two readers and an inspector, for 3 seconds
  shmx serve clock --hz 60               publish a clock under the name `clock`
  shmx read clock --frames 10 --json     ten frames of it, one JSON object each
  shmx inspect clock                     what the region holds, without disturbing it"
)]
pub(crate) struct Cli {
    /// Log to stderr: -v events, -vv more. The variable RUST_LOG overrides it.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a producer, a fast and a slow reader and an inspector, and say what each saw.
    #[command(after_help = "Examples:\n  shmx demo\n  shmx demo --seconds 10 --hz 1000")]
    Demo(Demo),
    /// Publish a clock: streams tick_seq (42, u64) and tick_sim (43, f64).
    #[command(after_help = "\
Ends after --seconds, or on SIGINT or SIGTERM; the region is removed then.

Examples:
  shmx serve clock
  shmx serve clock --hz 120 --seconds 10 --slots 8")]
    Serve(Serve),
    /// Print the frames of a region, the newest one each time.
    #[command(after_help = "\
Ends after --frames or on SIGINT with exit code 0; when the time is up or the server leaves, with 1.

Examples:
  shmx read clock
  shmx read clock --frames 100 --all --json | jq .streams.tick_seq[0]")]
    Read(Read),
    /// Look into a region or a dump of one, without disturbing it.
    #[command(after_help = "\
Examples:
  shmx inspect clock
  shmx inspect clock --json | jq .header.frame_seq
  shmx inspect clock --dump clock.bin
  shmx inspect --file clock.bin --json")]
    Inspect(Inspect),
    /// Publish raw bytes from stdin as frames.
    #[command(after_help = "\
Each frame takes, per stream in the order given, COUNT elements of raw bytes (little-endian) from stdin.

Examples:
  ffmpeg -i clip.mp4 -f rawvideo -pix_fmt rgb24 -s 640x480 - |
    shmx publish video --stream 1:image:u8x3*307200 --hz 30
  shmx publish data --stream 1:pos:f32x3 2:mass:f32 --elems 1=100 2=100 --lossless --wait-readers 1 <data.bin")]
    Publish(Publish),
    /// Write the raw bytes of one stream of the frames received to stdout, in order.
    #[command(after_help = "\
Ends with exit code 0 after --frames, on SIGINT, or when the server has left in order after at least one frame.

Examples:
  shmx cat video --stream image | ffplay -f rawvideo -pixel_format rgb24 -video_size 640x480 -
  shmx cat data --stream pos --wait-server 10 >pos.bin")]
    Cat(Cat),
    /// A consumer of the demo.
    #[command(hide = true)]
    DemoReader(DemoReader),
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How long the readers read.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = positive_seconds)]
    pub(crate) seconds: Duration,
    /// Frames per second.
    #[arg(long, default_value = "100", value_parser = rate)]
    pub(crate) hz: f64,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Name of the region.
    pub(crate) name: String,
    /// Frames per second.
    #[arg(long, default_value = "30", value_parser = rate)]
    pub(crate) hz: f64,
    /// End after this time. Without it, run until SIGINT or SIGTERM.
    #[arg(long, value_parser = seconds)]
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
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) slots: u32,
    /// Readers that can attach.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) readers: u32,
    /// Bytes of each reader's control ring; 0 means none.
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    pub(crate) control_bytes: u32,
    /// Replace what has the name, unless its server lives.
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Read {
    /// Name of the region.
    pub(crate) name: String,
    /// End after this many frames.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) frames: Option<u64>,
    /// Longest time without a frame.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Keep trying to open the region for this time.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub(crate) wait_server: Duration,
    /// One JSON object per frame.
    #[arg(long)]
    pub(crate) json: bool,
    /// Every frame in order instead of the newest.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["name", "file"])))]
pub(crate) struct Inspect {
    /// Name of the region.
    pub(crate) name: Option<String>,
    /// Look into this dump instead.
    #[arg(long, value_name = "DUMP")]
    pub(crate) file: Option<PathBuf>,
    /// Print as text, once (the default).
    #[arg(long, conflicts_with = "json")]
    pub(crate) once: bool,
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a copy of the whole region to this file; prints nothing unless asked.
    #[arg(long, value_name = "FILE")]
    pub(crate) dump: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// Name of the region.
    pub(crate) name: String,
    /// A stream: number, name, type (u8, f32x3, ...), and elements per frame if not 1.
    #[arg(long = "stream", value_name = "ID:NAME:TYPE[xN][*COUNT]", required = true, num_args = 1.., value_parser = stream_spec)]
    pub(crate) streams: Vec<StreamSpec>,
    /// Elements per frame of a stream.
    #[arg(long, value_name = "ID=COUNT", num_args = 1.., value_parser = elems_spec)]
    pub(crate) elems: Vec<(u32, u32)>,
    /// Frames per second. Without it, as fast as stdin gives them.
    #[arg(long, value_parser = rate)]
    pub(crate) hz: Option<f64>,
    /// Publish nothing before this many readers are attached.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) wait_readers: u32,
    /// Keep the region for this time after the last frame.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
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
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Keep trying to open the region for this time.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    pub(crate) wait_server: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct DemoReader {
    pub(crate) name: String,
    #[arg(long, value_parser = positive_seconds)]
    pub(crate) seconds: Duration,
    #[arg(long)]
    pub(crate) hz: f64,
    #[arg(long, default_value_t = 0)]
    pub(crate) hold_ms: u64,
}

/// A stream of `publish`.
#[derive(Clone, Debug)]
pub(crate) struct StreamSpec {
    pub(crate) stream: shmx::StaticStream,
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

fn rate(s: &str) -> Result<f64, String> {
    let v: f64 = s.parse().map_err(|_| "give frames per second".to_owned())?;
    if (1e-4..=1e6).contains(&v) { Ok(v) } else { Err("give between 0.0001 and 1000000 frames per second".into()) }
}

fn stream_spec(s: &str) -> Result<StreamSpec, String> {
    let form = || format!("`{s}` is not ID:NAME:TYPE[xN][*COUNT], as in 1:image:u8x3*307200");
    let (id, rest) = s.split_once(':').ok_or_else(form)?;
    let (name, ty) = rest.rsplit_once(':').ok_or_else(form)?;
    let id: u32 = id.parse().map_err(|_| form())?;
    let (ty, count) = match ty.split_once('*') {
        Some((ty, count)) => (ty, elem_count(count)?),
        None => (ty, 1),
    };
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
    Ok(StreamSpec { stream: shmx::StaticStream::vector(id, name, ty, components), count })
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
        assert_eq!((s.stream.id, s.stream.name.as_str(), s.stream.components, s.count), (1, "a:b", 3, 307_200));
        assert_eq!(stream_spec("7:t:F64").unwrap().stream.bytes_per_elem, 8);
        for bad in ["", "1", "1:a", "1:a:", "x:a:u8", "1::u8", "1:a:u9", "1:a:u8x0", "1:a:u8*0", "1:a:u8x"] {
            assert!(stream_spec(bad).is_err(), "{bad}");
        }
        assert!(rate("nan").is_err() && rate("0").is_err() && seconds("-1").is_err() && seconds("nan").is_err());
        assert_eq!(elems_spec("1=5"), Ok((1, 5)));
    }
}
