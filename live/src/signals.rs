//! Signals that ask for the end.

/// Those that came since it began to listen. Where there are no such signals, Ctrl-C alone.
pub(crate) struct Signals {
    #[cfg(unix)]
    waits: Vec<tokio::signal::unix::Signal>,
}

impl Signals {
    /// From now on they end nothing by themselves; those that were ignored at the start stay ignored. In a runtime. A log
    /// that has grown to its limit ends nothing either.
    pub(crate) fn listen() -> Self {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            #[cfg(target_os = "linux")]
            {
                // With any handler the write fails instead.
                let full = rustix::process::Signal::XFSZ.as_raw();
                let _ = (!shmx_os::signal::is_ignored(full)).then(|| signal(SignalKind::from_raw(full)));
            }
            let heard = kinds.into_iter().filter(|k| !shmx_os::signal::is_ignored(k.as_raw_value()));
            Self { waits: heard.filter_map(|k| signal(k).ok()).collect() }
        }
        #[cfg(not(unix))]
        Self {}
    }

    /// Until one of them comes, or has come.
    pub(crate) async fn came(&mut self) {
        #[cfg(unix)]
        {
            let any = std::future::poll_fn(|cx| {
                let came = self.waits.iter_mut().any(|s| s.poll_recv(cx).is_ready());
                if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            });
            any.await;
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
