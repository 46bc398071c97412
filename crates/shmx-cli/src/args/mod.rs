//! The command line.

pub(crate) mod parse;
pub(crate) mod region;
pub(crate) mod waiting;

use crate::colour::When;
use crate::{
    cat, completions, demo, doctor, dump, hz, info, inspect, ls, outside, play, publish, read, rec, record, rm,
    screens, send, serve, wait,
};
use clap::{ArgAction, CommandFactory, Parser, Subcommand};

/// Over the options that every command has.
const COMMON: &str = "Common options";

/// Typed streams of frames between processes, through named shared memory.
///
/// Most commands are read-only (ls, top, inspect, read, cat, hz, wait, view, record, dump, prune --dry-run): they map
/// regions read-only and take no reader slot unless --attach says so, and nothing they do can change a running stream.
#[derive(Debug, Parser)]
#[command(
    name = "shmx",
    version,
    max_term_width = 100,
    after_help = "\
Data goes to stdout, messages to stderr. With --json each line of data is an object that begins with its `schema` \
version and its `kind`. A TIME is a number of seconds or has a unit: 200ms, 1.5s, 2m, 1h. A SIZE is a number of bytes \
or has a unit: 64K, 10M, 2G (powers of 1024). In a PATTERN of names `*` stands for any characters and `?` for one; \
behind `re:` it is a regular expression, as in 're:robot-[0-9]+'. It has to match the whole name, and is best put in \
quotes.

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
    /// Log to stderr: -v for what happens, -vv for details, too; the variable RUST_LOG overrides it.
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = COMMON, display_order = 900)]
    pub(crate) verbose: u8,
    /// Print errors, but no other messages.
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = COMMON, display_order = 901)]
    pub(crate) quiet: bool,
    /// When to use colours; `auto`: on a terminal, unless NO_COLOR or CLICOLOR_FORCE says otherwise.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        help_heading = COMMON,
        display_order = 902
    )]
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

/// What each does and takes is with its code.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ls(ls::Ls),
    Top(screens::top::Top),
    Inspect(inspect::Inspect),
    Read(read::Read),
    Cat(cat::Cat),
    Hz(hz::Hz),
    Wait(wait::Wait),
    Send(send::Send),
    Dump(dump::Dump),
    Rm(rm::Rm),
    Prune(rm::Prune),
    Doctor(doctor::Doctor),
    Demo(demo::Demo),
    Serve(serve::Serve),
    Publish(publish::Publish),
    Completions(completions::Completions),
    Man(completions::Man),
    Record(record::Record),
    Play(play::Play),
    Info(info::Info),
    Rec(rec::Rec),
    View(screens::view::View),
    Live(outside::Live),
    Bridge(outside::Bridge),
    #[command(hide = true)]
    DemoReader(demo::DemoReader),
}

/// What is wrong with a command line, on one line, and where to read on.
pub(crate) fn usage_line(e: &clap::Error) -> String {
    let text = e.render().to_string();
    // No name begins with two dashes but by mistake, so the advice on how to give one is none.
    let no_words = ["Usage: ", "For more information", "tip: to pass '--"];
    let said = |line: &&str| !line.is_empty() && !no_words.iter().any(|w| line.starts_with(w));
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
    fn a_tip_does_not_take_an_unknown_option_for_a_name() {
        let line = |args: &[&str]| usage_line(&Cli::try_parse_from(args).unwrap_err());
        let option = line(&["shmx", "hz", "clock", "--frames", "30"]);
        assert!(option.starts_with("unexpected argument '--frames' found; see `shmx "), "{option}");
        let name = line(&["shmx", "rm", "-x"]);
        assert!(name.contains("use '-- -x'"), "{name}");
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
