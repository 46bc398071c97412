//! `shmx completions` and `shmx man`: made from the same definition as the command line itself.

use crate::common::say;
use crate::exit::usage;
use crate::units;
use anyhow::Context;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Print a script that completes shmx commands, regions and streams in your shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 done; 2 wrong usage.

Examples:
  shmx completions bash >shmx.bash
  shmx completions zsh >_shmx")]
pub(crate) struct Completions {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Print a manual page, or write all of them into a folder.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 done; 1 failed; 2 wrong usage.

Examples:
  shmx man
  shmx man inspect >shmx-inspect.1
  shmx man --dir man1")]
pub(crate) struct Man {
    /// The command to describe. Without it, shmx itself.
    command: Option<String>,
    /// Write the pages of all commands into this folder.
    #[arg(long, conflicts_with = "command")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(a: &Completions) -> anyhow::Result<()> {
    use clap_complete::Shell;
    // The script asks the command itself, which knows the regions that are there.
    let shell = match a.shell {
        Shell::Bash => "bash",
        Shell::Elvish => "elvish",
        Shell::Fish => "fish",
        Shell::PowerShell => "powershell",
        Shell::Zsh => "zsh",
        other => return Err(usage(format!("there is no script for {other}"))),
    };
    let shells = clap_complete::env::Shells::builtins();
    let completer = shells.completer(shell).with_context(|| format!("there is no script for {shell}"))?;
    let mut script = Vec::new();
    completer.write_registration("COMPLETE", "shmx", "shmx", "shmx", &mut script)?;
    std::io::stdout().lock().write_all(&script)?;
    Ok(())
}

/// A command's page, under its full name.
fn page(command: &clap::Command, name: &str) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();

    let command = command.clone().display_name(name.to_owned());
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

/// The pages of this command line.
pub(crate) fn man(a: &Man, mut cli: clap::Command) -> anyhow::Result<()> {
    cli.build();
    let pages = |c: &clap::Command| -> Vec<(String, clap::Command)> {
        let subs = c.get_subcommands().filter(|s| !s.is_hide_set() && s.get_name() != "help");
        std::iter::once(("shmx".to_owned(), c.clone()))
            .chain(subs.map(|s| (format!("shmx-{}", s.get_name()), s.clone())))
            .collect()
    };
    let pages = pages(&cli);
    if let Some(dir) = &a.dir {
        let shown = dir.display();
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make the folder `{shown}`"))?;
        for (name, command) in &pages {
            let path = dir.join(format!("{name}.1"));
            let page = page(command, name)?;
            crate::target::write(&path, 0o666, |file| Ok(file.write_all(&page)?))?;
        }
        say(format_args!("{} written to `{shown}`", units::count(pages.len() as u64, "manual page")));
        return Ok(());
    }
    let wanted = a.command.as_ref().map_or_else(|| "shmx".to_owned(), |c| format!("shmx-{c}"));
    let found = pages.iter().find(|(name, _)| *name == wanted);
    let Some((name, command)) = found else {
        let all: Vec<_> = pages.iter().skip(1).map(|(n, _)| n.trim_start_matches("shmx-")).collect();
        let asked = a.command.as_deref().unwrap_or("");
        return Err(usage(format!("there is no command `{asked}`; there are {}", all.join(", "))));
    };
    std::io::stdout().lock().write_all(&page(command, name)?)?;
    Ok(())
}
