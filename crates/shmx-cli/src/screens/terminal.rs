//! Takes the terminal, and gives it back.

use crate::common;
use crate::stop;
use anyhow::{Context, bail};
use ratatui::DefaultTerminal;
use std::io::IsTerminal;

/// Whether there is a terminal to draw on, and one that keys come from.
pub(crate) fn is_there() -> bool {
    let keys = || {
        let controlling = || std::fs::File::options().read(true).write(true).open("/dev/tty").is_ok();
        cfg!(not(unix)) || std::io::stdin().is_terminal() || controlling()
    };
    std::io::stdout().is_terminal() && keys()
}

/// Takes the terminal over, and gives it back whatever happens. `instead` says what needs no terminal.
pub(crate) fn in_terminal(
    instead: &str,
    work: impl FnOnce(&mut DefaultTerminal) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // What is no terminal is not told to leave a screen, either.
    if !is_there() {
        bail!("there is no terminal; {instead}");
    }
    shmx_os::signal::restore_terminal_on_bus_error(Some("\x1b[?1049l\x1b[?25h"));
    // Its panic hook restores the terminal before the message is written.
    let terminal = ratatui::try_init();
    common::set_full_screen(terminal.is_ok());
    stop::before_exit(ratatui::restore);
    let result = terminal.context("cannot take the terminal over").and_then(|mut terminal| work(&mut terminal));
    ratatui::restore();
    common::set_full_screen(false);
    shmx_os::signal::restore_terminal_on_bus_error(None);
    result
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use portable_pty::{CommandBuilder, PtySize, native_pty_system};
    use std::io::Read;

    const INSIDE: &str = "SHMX_TEST_PANIC";

    /// This test program once more, in a terminal of its own.
    #[test]
    fn a_panic_restores_the_terminal() {
        if std::env::var_os("SHMX_RUNNER").is_some() {
            eprintln!("not run: it starts itself, which an emulated program cannot");
            return;
        }
        if std::env::var_os(INSIDE).is_some() {
            let _ = super::in_terminal("", |_| panic!("on purpose"));
            return;
        }
        let pty = native_pty_system().openpty(PtySize { rows: 24, cols: 80, ..PtySize::default() }).unwrap();
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(["screens::terminal::tests::a_panic_restores_the_terminal", "--exact", "--nocapture"]);
        command.env(INSIDE, "1");
        let before = format!("{:?}", pty.master.get_termios());
        let mut reader = pty.master.try_clone_reader().unwrap();
        let mut child = pty.slave.spawn_command(command).unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success());
        let after = format!("{:?}", pty.master.get_termios());
        drop(pty.slave);
        let mut bytes = Vec::new();
        // Linux reports an error at the end of a terminal whose other side is closed.
        let _ = reader.read_to_end(&mut bytes);
        let mut screen = vt100::Parser::new(24, 80, 0);
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("\u{1b}[?1049h"), "it was there: {text}");
        screen.process(&bytes);
        assert!(!screen.screen().alternate_screen() && !screen.screen().hide_cursor());
        let left = text.rsplit("\u{1b}[?1049l").next().unwrap_or_default();
        assert!(left.contains("on purpose"), "the words come after the screen has been left: {text}");
        assert_eq!(before, after);
    }
}
