//! Whether to use colours: `--color`, then `NO_COLOR` and `CLICOLOR_FORCE`, then whether somebody looks.

use clap::ValueEnum;
use std::io::IsTerminal;
use std::process::Command;
use std::sync::OnceLock;

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    #[default]
    Auto,
    Always,
    Never,
}

static CHOSEN: OnceLock<When> = OnceLock::new();

/// Notes what the command line says.
pub(crate) fn choose(when: When) {
    let _ = CHOSEN.set(when);
}

fn chosen() -> When {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    decide(CHOSEN.get().copied().unwrap_or_default(), set("NO_COLOR"), set("CLICOLOR_FORCE"))
}

/// The command line goes before the environment, and what turns colours off before what forces them.
const fn decide(option: When, no_color: bool, force: bool) -> When {
    match option {
        When::Auto if no_color => When::Never,
        When::Auto if force => When::Always,
        other => other,
    }
}

/// Tells a program that runs in place of this one, by the environment.
pub(crate) fn hand_on(command: &mut Command) {
    let (yes, no) = match chosen() {
        When::Auto => return,
        When::Always => ("CLICOLOR_FORCE", "NO_COLOR"),
        When::Never => ("NO_COLOR", "CLICOLOR_FORCE"),
    };
    command.env(yes, "1").env_remove(no);
}

/// Whether messages on stderr have colours.
pub(crate) fn on_stderr() -> bool {
    match chosen() {
        When::Always => true,
        When::Never => false,
        When::Auto => std::io::stderr().is_terminal(),
    }
}

/// Whether a full-screen display has colours: it is a terminal anyway.
pub(crate) fn on_screen() -> bool {
    chosen() != When::Never
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_goes_before_the_environment() {
        assert_eq!(decide(When::Auto, false, false), When::Auto);
        assert_eq!(decide(When::Auto, true, true), When::Never);
        assert_eq!(decide(When::Auto, false, true), When::Always);
        assert_eq!(decide(When::Always, true, false), When::Always);
        assert_eq!(decide(When::Never, false, true), When::Never);
    }
}
