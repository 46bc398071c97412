//! Control messages of viewers, where `--control` lets them.

use shmx::Client;
use shmx::error::SendError;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A message has to be taken by the region's server within this time.
const PATIENCE: Duration = Duration::from_secs(2);

/// Of one viewer, under way at once.
const MOST: usize = 8;
pub(crate) const TOO_MANY: &str = "too many messages at once; wait for the answers";

/// Messages of one viewer that are under way. Each holds a clone meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnderWay(Arc<()>);

impl UnderWay {
    /// Sends a message on a thread of its own, if there are not too many; whether it began.
    pub(crate) fn send(
        &self,
        region: String,
        ty: u32,
        body: Vec<u8>,
        done: impl FnOnce(Result<Duration, String>) + Send + 'static,
    ) -> bool {
        if Arc::strong_count(&self.0) > MOST {
            return false;
        }
        let held = self.clone();
        tokio::task::spawn_blocking(move || {
            done(send(&region, ty, &body));
            drop(held);
        });
        true
    }
}

/// Sends a message and waits until the server has taken it; how long that took. Takes a reader slot meanwhile. Blocks.
fn send(region: &str, ty: u32, body: &[u8]) -> Result<Duration, String> {
    let start = Instant::now();
    let client = Client::open(region).map_err(|e| e.to_string())?;
    let inspector = shmx::Inspector::open(region).map_err(|e| e.to_string())?;
    let late = |what: &str| format!("the server of `{region}` {what} within {} s", PATIENCE.as_secs());
    loop {
        match client.control_send(ty, body) {
            Ok(()) => break,
            Err(SendError::Full) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(1)),
            Err(SendError::Full) => return Err(late("has not emptied its ring of messages")),
            Err(e) => return Err(e.to_string()),
        }
    }
    let index = client.reader_index().unwrap_or(0);
    // The slot is kept until the message is taken, so that the server knows the sender.
    while inspector.control_fill(index).is_some_and(|f| f.waiting != Some(0)) {
        if let Some(end) = client.server_end() {
            return Err(format!("the server of `{region}` {end} before it took the message"));
        }
        if start.elapsed() >= PATIENCE {
            return Err(late("has not taken the message"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(start.elapsed())
}
