//! The command line.

mod body;
pub(crate) mod options;
pub(crate) mod parse;

pub(crate) use options::{
    Cat, Completions, Data, Demo, DemoReader, Doctor, Dump, Hz, Inspect, Ls, Man, Outside, Prune, Publish, Read, Rm,
    Send, Serve, Sort, Top, Wait,
};
pub(crate) use parse::{Every, PublishStream};

use crate::colour::When;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};

/// Frames of typed streams between processes, through named shared memory.
///
/// Commands that look (ls, top, inspect, read, cat, hz, wait, view, record, dump, doctor) use a read-only mapping and
/// take no reader slot unless --attach says so: nothing they do can change a running stream. So do info, and prune
/// --dry-run.
#[derive(Debug, Parser)]
#[command(
    name = "shmx",
    version,
    max_term_width = 100,
    after_help = "\
Data goes to stdout, messages to stderr. With --json each line of data is one object, which has the version of its \
`schema` and its `kind`. A TIME is a number of seconds, or has a unit: 200ms, 1.5s, 2m, 1h. A SIZE is a number of \
bytes, or has a unit: 64K, 10M, 2G.

Exit codes: 0 done, 1 failed or not done, 2 wrong usage, 3 done but frames are missing.

Examples:
  shmx demo                            all parts at work for 3 seconds
  shmx serve clock --hz 60             publish a clock as `clock`
  shmx ls                              which regions there are
  shmx inspect clock                   watch it live, without disturbing it
  shmx read clock --frames 10 --json   ten frames, a JSON object each
  shmx hz clock --seconds 2            how regular it is"
)]
pub(crate) struct Cli {
    /// Log to stderr: -v events, -vv more. The variable RUST_LOG overrides it.
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 900)]
    pub(crate) verbose: u8,
    /// No messages but errors.
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 901)]
    pub(crate) quiet: bool,
    /// Whether to use colours; NO_COLOR and CLICOLOR_FORCE are heard, too.
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t, display_order = 902)]
    pub(crate) color: When,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the command line says about colours, for the help: it is written before the command line is understood.
pub(crate) fn colour_of_help() -> clap::ColorChoice {
    let all: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    let after = all.iter().position(|a| a == "--color").and_then(|at| all.get(at + 1)).map(String::as_str);
    match after.or_else(|| all.iter().find_map(|a| a.strip_prefix("--color="))) {
        Some("always") => clap::ColorChoice::Always,
        Some("never") => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the regions of this machine.
    #[command(after_help = "\
States: live; dead (its server died); closed (its server left, somebody holds the name); reference-made (no lock, so \
nobody can tell); unfinished (left by a creator that was killed); unreadable (with the reason). The rate is counted \
for --seconds; of slow regions it is taken from the publish times in the ring. A process is named only if it is seen \
to use the region. Read-only.

Exit codes: 0 done; 1 failed (this platform cannot list); 2 wrong usage.

Examples:
  shmx ls
  shmx ls --all --seconds 0
  shmx ls --json | jq -r 'select(.state == \"dead\") | .name'")]
    Ls(Ls),
    /// Watch all regions at once, those that do most first.
    #[command(after_help = "\
Rates are counted between two pictures. Frame: payload bytes of a frame, on average over the ring. Lag: frames that \
the reader furthest behind has not taken. With --once or --json, and where stdout is no terminal, it prints the same \
and takes no keys. Read-only.

Exit codes: 0 done; 1 failed (this platform cannot list); 2 wrong usage.

Examples:
  shmx top
  shmx top --sort rate --once
  shmx top --json --once --interval 0.2s | jq -r .name")]
    Top(Top),
    /// Watch a region in a live dashboard, or print it once.
    #[command(after_help = "\
Without a name it lets you pick one. It waits for a server that is not there yet and follows one that restarts. Keys \
are shown on the screen, `?` explains them. With --once or --json, and where stdout is no terminal, it prints the \
same once and ends. A damaged region is shown field by field. Read-only: no reader slot, no lock.

Exit codes: 0 done; 1 failed or damaged region; 2 wrong usage.

Examples:
  shmx inspect
  shmx inspect clock
  shmx inspect clock --once
  shmx inspect clock --json --limit 3 | jq .latest
  shmx inspect --file clock.bin")]
    Inspect(Inspect),
    /// Print the frames of a region, decoded, the newest one each time.
    #[command(after_help = "\
Read-only, by polling; with --attach it takes a reader slot, sleeps between frames, and the producer spares the \
frame being read. Frames that were overwritten or passed over are counted as missed.

Exit codes: 0 after --frames, or without it on SIGINT or when the server has left in order; 1 when the time is up, \
the server is gone before that, or failed; 2 wrong usage; 3 frames were missed despite --all.

Examples:
  shmx read clock
  shmx read clock --stream tick_seq --every 0.5s
  shmx read clock --frames 20 --every 10 --json
  shmx read clock --frames 100 --json --stream tick_seq --limit 1")]
    Read(Read),
    /// Write the raw bytes of one stream to stdout, frame after frame.
    #[command(after_help = "\
Read-only; with --attach it takes a reader slot, which `publish --lossless` waits for.

Exit codes: 0 after --frames, or without it on SIGINT or when the server has left in order after at least one frame; \
1 failed; 2 wrong usage; 3 frames were missed, so bytes are.

Examples:
  shmx cat video --stream image --frames 2 |
    ffplay -f rawvideo -pixel_format rgb24 -video_size 640x480 -
  shmx cat data --stream pos --attach --wait-server 10s >pos.bin")]
    Cat(Cat),
    /// Measure rate, jitter, latency, bandwidth and missed frames.
    #[command(after_help = "\
A line each second, and a summary at the end of --seconds or on SIGINT. Interval: from publish to publish. Jitter: \
difference of an interval to the one before. Seen after: from publish until this command had taken the frame, which \
includes the pause between its polls. Acquired before: from acquisition to publish, where a stream tells. Taken \
after: from publish until a reader had taken the frame, from the reader's own slot. Read-only: it polls often enough \
to take each frame before it is overwritten, and counts those that it missed; of these, and of frames without \
publish time, it cannot know when they came.

Exit codes: 0 done; 1 no frame, a server that left before --seconds were over, or failed; 2 wrong usage.

Examples:
  shmx hz clock
  shmx hz clock --seconds 2
  shmx hz clock --seconds 1 --json | jq .interval.p99_ns")]
    Hz(Hz),
    /// Wait until regions are there, for scripts.
    #[command(after_help = "\
A region is there when its server lives and it has as many frames and readers as asked for. With --gone it waits for \
the opposite: that no server holds the names. Read-only.

Exit codes: 0 it is so; 1 not in time, or interrupted; 2 wrong usage.

Examples:
  shmx wait clock --timeout 10s
  shmx wait clock --frames 1 --timeout 10s -q
  shmx wait nobody --gone")]
    Wait(Wait),
    /// Send a control message to the server of a region.
    #[command(after_help = "\
Takes a reader slot for as long as it takes. TYPE is a number (0x3000 and above are the application's) or one of \
user, user+N, hello, heartbeat, bye. The body is made of the options in the order given, one value each, numbers in \
little-endian.

Exit codes: 0 taken by the server (with --no-wait: sent); 1 failed, interrupted, or not taken in time; 2 wrong usage.

Examples:
  shmx send clock user --u64 7
  shmx send clock user+1 --text gravity --f64 9.81
  shmx send clock 0x3000 --hex 'de ad be ef' --no-wait
  printf hello | shmx send clock user --file -")]
    Send(Send),
    /// Copy a region's bytes into a file, for a post-mortem.
    #[command(after_help = "\
Taken while others write, so frames in it may be half-written. Read-only. A FILE of `-` is stdout. The file may be \
read by those only who may read the region. A file that exists is replaced when the dump is complete; a symbolic link \
is followed, and a pipe or a device is written to.

Exit codes: 0 done; 1 failed; 2 wrong usage.

Examples:
  shmx dump clock clock.bin
  shmx dump clock - | gzip >clock.bin.gz
  shmx inspect --file clock.bin --once")]
    Dump(Dump),
    /// Remove regions whose server died.
    #[command(after_help = "\
The region of a live server is never removed. Those who have a region mapped keep it.

Exit codes: 0 removed; 1 refused or failed; 2 wrong usage.

Examples:
  shmx rm old
  shmx rm --force made-by-the-reference")]
    Rm(Rm),
    /// Remove every region whose server died, and what creators that were killed have left.
    #[command(after_help = "\
Asks first. Regions of live servers and reference-made ones are left alone. A PREFIX keeps it to names with this \
prefix.

Exit codes: 0 done; 1 failed or interrupted; 2 wrong usage or nobody to ask.

Examples:
  shmx prune --dry-run
  shmx prune --yes robot-")]
    Prune(Prune),
    /// Check what this machine offers: space, limits, clock, processors, memory, pages.
    #[command(after_help = "\
Each finding with its remedy. Makes a small region of its own and removes it.

Exit codes: 0 usable; 1 something is broken; 2 wrong usage.

Examples:
  shmx doctor
  shmx doctor --json | jq -r 'select(.state != \"ok\") | .text'")]
    Doctor(Doctor),
    /// Run a producer, a fast and a slow reader and an inspector, and say what each saw.
    #[command(after_help = "\
Exit codes: 0 done; 1 failed or interrupted; 2 wrong usage.

Examples:
  shmx demo
  shmx demo --seconds 10 --hz 1000")]
    Demo(Demo),
    /// Publish a clock: streams tick_seq (42, u64) and tick_sim (43, f64).
    #[command(after_help = "\
Ends after --seconds, or on SIGINT, SIGTERM or SIGHUP; the region is removed then.

Exit codes: 0 done; 1 failed; 2 wrong usage.

Examples:
  shmx serve clock
  shmx serve clock --hz 120 --seconds 10 --slots 8
  shmx serve clock --mode 0660 --group root --seconds 1")]
    Serve(Serve),
    /// Publish raw bytes from stdin as frames.
    #[command(after_help = "\
Each frame takes, per stream in the order given, COUNT elements of raw bytes (little-endian) from stdin. The region \
is removed at the end of stdin or on a signal.

Exit codes: 0 done; 1 failed, or bytes were left over; 2 wrong usage.

Examples:
  ffmpeg -i clip.mp4 -f rawvideo -pix_fmt rgb24 -s 640x480 - |
    shmx publish video --stream 1:image:u8x3*640x480 --hz 30
  shmx publish data --stream 1:pos:f32x3*100 --lossless <data.bin")]
    Publish(Publish),
    /// Print a script that completes shmx commands, regions and streams in your shell.
    #[command(after_help = "\
Exit codes: 0 done; 2 wrong usage.

Examples:
  shmx completions bash >shmx.bash
  shmx completions zsh >_shmx")]
    Completions(Completions),
    /// Print a manual page, or write all of them into a folder.
    #[command(after_help = "\
Exit codes: 0 done; 1 failed; 2 wrong usage.

Examples:
  shmx man
  shmx man inspect >shmx-inspect.1
  shmx man --dir man1")]
    Man(Man),
    /// Record regions into an MCAP file, without disturbing them.
    #[command(after_help = "\
Every frame once, in order, or counted as missed. Regions need not be there yet and may restart, which begins a new \
segment in the same file. It sleeps between frames if all servers ring always (--ring-always); otherwise it polls. \
The file replays with `shmx play`, and viewers of MCAP files show its numbers, images and points. A recorder that is \
killed leaves a file that is readable up to its last finished chunk, at most a second old. The file may be read by \
those only who may read the regions.

Exit codes: 0 ended by --seconds, --frames, --until-gone or a signal, and no frame was missed; 1 failed, or a region \
never came (what was written is kept); 2 wrong usage; 3 recorded, but frames were missed or rejected.

Examples:
  shmx record clock -o clock.mcap --seconds 2
  shmx record clock -o clock.mcap --frames 50 --compress zstd
  shmx record clock -o run.mcap --seconds 1 --rotate-size 1M --keep-size 20M
  shmx record 'clock*' --exclude '*-raw' --every 0.1s --seconds 1")]
    Record(crate::record::Record),
    /// Replay a recording: rebuild its regions and publish their frames at their times.
    #[command(after_help = "\
Frames, their order and the directory are as recorded, byte for byte; frame ids count from 1. On a terminal, keys \
pause, step, seek and change the speed. With --loop it ends by a signal or the key q. Several files play one after \
the other. With --control it is a client instead: it sends what `shmx record --control` saw, each recorded reader as \
a reader of its own, to the live regions of the same names (or --prefix, --remap).

Exit codes: 0 done or ended by a signal or key; 1 failed, nothing could be published, or a part of the file could not \
be read; 2 wrong usage; 3 frames were skipped because readers held every slot.

Examples:
  shmx play clock.mcap
  shmx play clock.mcap --rate 0.5 --prefix slow-
  shmx play clock.mcap --from 0.1 --to 0.5 --json")]
    Play(crate::play::Play),
    /// Say what a recording holds.
    #[command(after_help = "\
Reads everything, and says what of a truncated or damaged file can be read and what cannot.

Exit codes: 0 all of it is readable; 1 not all, or nothing, or interrupted; 2 wrong usage.

Examples:
  shmx info clock.mcap
  shmx info clock.mcap --json | jq .regions[0].frames_read")]
    Info(crate::info::Info),
    /// Cut, merge, recover, convert and export recordings.
    #[command(after_help = "\
Frames are copied byte for byte and with their times, in the order in which they were recorded. Of a truncated or \
damaged file everything that can be read is copied. A table (.csv, .parquet) has a row for each element of each \
frame; an array (.npy, or .npz with ids and times, for numpy.load) has frames first, then elements and components \
where there are several. Images become pictures in numbered files (.png), or one raw video (.rgb, or stdout).

Exit codes: 0 done; 1 failed, interrupted, or nothing to copy; 2 wrong usage; 3 copied, but places of the files could \
not be read.

Examples:
  shmx rec clock.mcap -o cut.mcap --from 0.1 --to 0.5
  shmx rec clock.mcap -o small.mcap --compress zstd --no-views
  shmx rec clock.mcap -o seq.csv --stream tick_seq
  shmx rec clock.mcap -o seq.npz --stream tick_seq --overwrite
  shmx rec video.mcap -o - --format rgb --stream image |
    ffmpeg -f rawvideo -pix_fmt rgb24 -s 640x480 -r 30 -i - clip.mp4")]
    Rec(crate::rec::Rec),
    /// Plot any numeric stream of a region or a recording; pause, step and scrub.
    #[command(after_help = "\
A live region is followed through a read-only mapping, from the oldest frame in its ring on; --history bounds the \
memory for what was seen since. Images and vectors have plots of their own; keys are shown on the screen.

Exit codes: 0 done; 1 failed, or a part of the recording could not be read; 2 wrong usage.

Examples:
  shmx view clock
  shmx view clock.mcap --stream tick_sim --at 0.5 --once --size 80x24
  shmx view clock.mcap --json --at 0.5 --limit 3 | jq .frame_id
  shmx view clock.mcap --svg clock.svg")]
    View(crate::view::View),
    /// Watch regions live in a browser, and in Foxglove; a program of its own, shmx-live.
    #[command(after_help = "\
Runs `shmx-live`, which is installed apart from this command (`cargo install --path live` in a clone), and hands all \
options on; `shmx-live --help` lists them. It prints a link that opens the page. Read-only, unless --control lets \
viewers send control messages.

Exit codes: 0 ended by a signal; 1 failed, or `shmx-live` is not installed; 2 wrong usage.

Examples:
  shmx live
  shmx live clock --rate 10")]
    Live(Outside),
    /// Mirror regions between hosts, over zenoh; a program of its own, shmx-bridge.
    #[command(after_help = "\
Runs `shmx-bridge`, which is installed apart from this command (`cargo install --path bridges/zenoh` in a clone), and \
hands all options on; `shmx-bridge --help` lists them. Nothing leaves a host that is not named.

Exit codes: 0 done, or ended by a signal; 1 failed, or `shmx-bridge` is not installed; 2 wrong usage.

Examples:
  shmx bridge run --host robot --export clock --listen tcp/0.0.0.0:7447
  shmx bridge run --import 'robot/*' --connect tcp/robot:7447
  shmx bridge ls --connect tcp/robot:7447")]
    Bridge(Outside),
    /// A consumer of the demo.
    #[command(hide = true)]
    DemoReader(DemoReader),
}

/// What is wrong with a command line, on one line, and where to read on.
pub(crate) fn usage_line(e: &clap::Error) -> String {
    let text = e.render().to_string();
    let said =
        |line: &&str| !line.is_empty() && !line.starts_with("Usage: ") && !line.starts_with("For more information");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(said).collect();
    // A tip comes last, as advice.
    let (tips, words): (Vec<&str>, Vec<&str>) = lines.iter().partition(|l| l.starts_with("tip: "));
    let tips = tips.iter().map(|t| format!("; {}", t.trim_start_matches("tip: ")));
    let words = words.join(" ") + &tips.collect::<String>();
    let cli = Cli::command();
    let command = std::env::args().skip(1).find(|a| !a.starts_with('-')).filter(|a| cli.find_subcommand(a).is_some());
    let command = command.map(|c| format!("{c} ")).unwrap_or_default();
    format!("{}; see `shmx {command}--help`", words.strip_prefix("error: ").unwrap_or(&words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tip_is_advice_and_no_part_of_the_error() {
        let e = Cli::try_parse_from(["shmx", "read", "x", "--count", "3"]).unwrap_err();
        let line = usage_line(&e);
        assert!(line.starts_with("unexpected argument '--count' found; "), "{line}");
        assert!(!line.contains("tip:"), "{line}");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every help text of the command and its subcommands, as wide as this.
    fn helps(width: usize) -> Vec<(String, String)> {
        let mut cli = Cli::command().term_width(width).max_term_width(width);
        cli.build();
        let root = ("shmx".to_owned(), cli.render_long_help().to_string());
        let subs = cli.get_subcommands_mut().filter(|c| !c.is_hide_set() && c.get_name() != "help");
        std::iter::once(root).chain(subs.map(|c| (c.get_name().to_owned(), c.render_long_help().to_string()))).collect()
    }

    /// A paragraph breaks where the next word would not fit, and nowhere else.
    #[test]
    fn help_has_no_stray_breaks() {
        for width in [80, 120] {
            let all = helps(width);
            assert!(all.len() > 20);
            for (command, text) in all {
                let text = text.split("Examples:").next().unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                for pair in lines.windows(2) {
                    let (line, next) = (pair[0], pair[1]);
                    let rigid = line.split_whitespace().any(|word| word.len() > 40) || line.starts_with("Usage:");
                    assert!(rigid || line.chars().count() <= width, "{command} at {width}: {line}");
                    let indent = |l: &str| l.len() - l.trim_start().len();
                    let prose = |l: &str| !l.trim().is_empty() && !l.trim_start().starts_with(['-', '[', '<']);
                    if !prose(line) || !prose(next) || indent(line) != indent(next) || line.ends_with([':', ']']) {
                        continue;
                    }
                    // Lists of commands have a column of names.
                    if next.trim_start().split("  ").count() > 1 {
                        continue;
                    }
                    let word = next.split_whitespace().next().unwrap_or_default();
                    let fits = line.chars().count() + 1 + word.chars().count() <= width;
                    assert!(!fits, "{command} at {width} breaks too early:\n{line}\n{next}");
                }
            }
        }
    }

    #[test]
    fn examples_fit_a_narrow_terminal() {
        for (command, text) in helps(80) {
            let examples = text.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("{command} has no examples"));
            for line in examples.lines() {
                assert!(line.starts_with("  "), "{command} breaks an example: {line}");
            }
        }
    }
}
