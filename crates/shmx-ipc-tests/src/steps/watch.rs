//! Ends the program when one case does not get on: whoever hangs is found.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Many times what a case with a time of grace takes.
const LONGEST: Duration = Duration::from_secs(120);

static CASE: Mutex<Option<(String, Instant)>> = Mutex::new(None);

/// A case begins.
pub(crate) fn begin(case: String) {
    if let Ok(mut now) = CASE.lock() {
        *now = Some((case, Instant::now()));
    }
}

/// Watches from now on. Victims end with this process.
pub(crate) fn start() {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            if let Ok(now) = CASE.lock()
                && let Some((case, since)) = now.as_ref()
                && since.elapsed() > LONGEST
            {
                println!("FAILED {case}: it hangs");
                std::process::exit(1);
            }
        }
    });
}
