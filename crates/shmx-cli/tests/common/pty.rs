//! The command in a terminal: keys in, a screen out.

use super::{DEADLINE, until};
use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

pub(crate) struct Terminal {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    screen: Arc<Mutex<(vt100::Parser, Vec<u8>)>>,
    reader: Option<std::thread::JoinHandle<()>>,
    before: String,
}

impl Terminal {
    pub(crate) fn start(args: &[&str], columns: u16, rows: u16, env: &[(&str, &str)]) -> Self {
        // Where the tests run in an emulator, the command needs it too.
        let runner = std::env::var("SHMX_RUNNER").unwrap_or_default();
        let mut words = runner.split_whitespace().chain([env!("CARGO_BIN_EXE_shmx")]);
        let mut command = CommandBuilder::new(words.next().unwrap());
        command.args(words);
        command.args(args);
        Self::of(command, columns, rows, env)
    }

    /// Another program: a shell.
    pub(crate) fn of(mut command: CommandBuilder, columns: u16, rows: u16, env: &[(&str, &str)]) -> Self {
        shmx_testkit::hear_signals();
        let size = PtySize { rows, cols: columns, ..PtySize::default() };
        let pty = native_pty_system().openpty(size).unwrap();
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        command.env_remove("RUST_LOG");
        env.iter().for_each(|(k, v)| command.env(k, v));
        let before = format!("{:?}", pty.master.get_termios());
        let child = pty.slave.spawn_command(command).unwrap();
        let mut output = pty.master.try_clone_reader().unwrap();
        let keys = pty.master.take_writer().unwrap();
        let screen = Arc::new(Mutex::new((vt100::Parser::new(rows, columns, 0), Vec::new())));
        let shared = screen.clone();
        let reader = std::thread::spawn(move || {
            let mut buf = [0; 65536];
            // An error is the end: the other side is closed.
            while let Ok(n @ 1..) = output.read(&mut buf) {
                let mut s = shared.lock().unwrap();
                s.0.process(&buf[..n]);
                s.1.extend_from_slice(&buf[..n]);
            }
        });
        Self { master: pty.master, child, keys, screen, reader: Some(reader), before }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        // The screen first, so that nothing drawn for the new size meets the old one.
        // The emulator panics where a line wraps on a screen of one row, as one that was drawn before does.
        self.screen.lock().unwrap().0.screen_mut().set_size(rows.max(2), columns.max(2));
        self.master.resize(PtySize { rows, cols: columns, ..PtySize::default() }).unwrap();
    }

    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap().0.screen().contents()
    }

    /// Everything that was ever written to the terminal.
    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap().1).into_owned()
    }

    /// Where the line that is shown reversed is, and where the first one with this text is.
    pub(crate) fn selection(&self, text: &str) -> (Option<usize>, Option<usize>) {
        let s = self.screen.lock().unwrap();
        let screen = s.0.screen();
        let (rows, columns) = screen.size();
        let reversed = (1..rows).find(|&row| screen.cell(row, 2).is_some_and(vt100::Cell::inverse));
        (reversed.map(usize::from), screen.rows(0, columns).position(|line| line.contains(text)))
    }

    /// Waits until the screen shows all of this.
    pub(crate) fn shows(&self, all: &[&str]) {
        let end = Instant::now() + DEADLINE;
        loop {
            let text = self.text();
            if all.iter().all(|t| text.contains(t)) {
                return;
            }
            assert!(Instant::now() < end, "the screen does not show {all:?}:\n{text}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end and checks that the terminal is as it was.
    pub(crate) fn ends(mut self) -> ExitStatus {
        let mut status = None;
        until(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let after = format!("{:?}", self.master.get_termios());
        assert_eq!(self.before, after, "the terminal's mode");
        self.reader.take().unwrap().join().unwrap();
        let s = self.screen.lock().unwrap();
        assert!(!s.0.screen().alternate_screen() && !s.0.screen().hide_cursor(), "the terminal's screen");
        status.clone().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
