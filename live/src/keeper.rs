//! Two processes where a region can end one: touching memory of an object that another process has cut short is a
//! signal that no program survives. The keeper holds the addresses and the token and touches no region; its worker does
//! all the rest, and is started again when it has ended so. Viewers connect to the next one by themselves.

use crate::args::Args;
use crate::gate::{TOKEN, Token};
use crate::say;
use crate::server::{self, Sockets};
use crate::signals::Signals;
use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Resource, Signal, getppid, getrlimit, kill_process, set_parent_process_death_signal};
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;
use tokio::process::{Child, Command};

const WORDS: &str = "shmx-live: another process cut a region short while it was in use; going on without it\n";
/// How `explain_bus_errors` ends a process; nothing else in the worker does.
const CUT: i32 = 1;
const FAILED: u8 = 3;
/// Between two workers.
const REST: Duration = Duration::from_millis(100);
/// A worker that was asked to end has this time for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Descriptors below which it cannot begin.
const FILES: u64 = 64;

/// Listens, says where, and keeps a worker until a signal.
pub(crate) fn keep(args: &Args) -> anyhow::Result<()> {
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    ensure!(most >= FILES, "this process may open {most} files, and needs {FILES}; raise `ulimit -n`");
    let sockets = Sockets::bind(args)?;
    let token = args.token().map_err(anyhow::Error::msg)?.unwrap_or_else(Token::random);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        // Before the link is known, and one for all rounds: whatever comes is heard.
        let mut signals = Signals::listen();
        server::announce(args, &sockets, &token)?;
        loop {
            let mut worker = start(&sockets, &token)?;
            tokio::select! {
                ended = worker.wait() => match ended? {
                    e if e.success() => return Ok(()),
                    e if e.code() == Some(CUT) => {}
                    e => bail!("{}", words(e)),
                },
                () = signals.came() => return end(worker).await,
            }
            tokio::select! {
                () = tokio::time::sleep(REST) => {}
                () = signals.came() => return Ok(()),
            }
        }
    })
}

fn words(ended: ExitStatus) -> String {
    if ended.code() == Some(FAILED.into()) {
        return "it cannot go on".to_owned();
    }
    format!("its worker ended by itself ({ended})")
}

/// The worker gets the addresses in place of stdin and stdout: those are passed on without further ado.
fn start(sockets: &Sockets, token: &Token) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("where is this program?")?;
    let given = |l: &TcpListener| -> anyhow::Result<_> { Ok(OwnedFd::from(l.try_clone()?).into()) };
    let other: std::process::Stdio = match &sockets.foxglove {
        Some(l) => given(l)?,
        None => std::process::Stdio::null(),
    };
    let mut command = Command::new(&program);
    command.arg(format!("--worker={}", std::process::id())).args(std::env::args_os().skip(1));
    command.env(TOKEN, token.text()).stdin(given(&sockets.page)?).stdout(other).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

async fn end(mut worker: Child) -> anyhow::Result<()> {
    if let Some(pid) = worker.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(PATIENCE, worker.wait()).await.is_err() {
        worker.kill().await.context("its worker does not end")?;
    }
    Ok(())
}

/// What the worker does. It ends with its keeper.
pub(crate) fn work(args: &Args, keeper: u32) -> ExitCode {
    shmx_os::signal::explain_bus_errors(WORDS);
    match work_until_signal(args, keeper) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            say::complain(&e);
            ExitCode::from(FAILED)
        }
    }
}

fn work_until_signal(args: &Args, keeper: u32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM)).context("cannot end with the keeper")?;
    let parent = getppid().map(|p| p.as_raw_nonzero().get().cast_unsigned());
    if parent != Some(keeper) {
        bail!("--worker is for shmx-live itself");
    }
    let socket = |fd: OwnedFd| TcpListener::from(fd);
    let page = socket(std::io::stdin().as_fd().try_clone_to_owned()?);
    let foxglove = match args.foxglove {
        Some(Some(_)) => Some(socket(std::io::stdout().as_fd().try_clone_to_owned()?)),
        _ => None,
    };
    let token = args.token().map_err(anyhow::Error::msg)?.context("--worker is for shmx-live itself")?;
    server::run(args, Sockets { page, foxglove }, token)
}
