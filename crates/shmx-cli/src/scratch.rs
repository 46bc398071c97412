//! Regions for unit tests.

use shmx::{Config, Server, StaticStream};
use std::sync::atomic::{AtomicU32, Ordering};

/// A region of this process under a name of its own.
pub(crate) struct Scratch {
    pub(crate) name: String,
    server: Server,
    /// Bytes of the stream `cloud` in each frame; none of it if 0.
    pub(crate) cloud: usize,
}

/// Whether regions of this machine have liveness locks: screens look different without. Says so if not.
pub(crate) fn has_locks() -> bool {
    use shmx::abi::extension::Features;
    let scratch = Scratch::new("locks", 3);
    let found = Features::of(&scratch.server().header()).has(Features::LOCKS);
    if !found {
        eprintln!("not run: there are no liveness locks here");
    }
    found
}

impl Scratch {
    pub(crate) fn new(tag: &str, slots: u32) -> Self {
        Self::with(&Config { slots, ..Config::new(Self::unique(tag)) })
    }

    pub(crate) fn unique(tag: &str) -> String {
        static N: AtomicU32 = AtomicU32::new(0);
        format!("shmx-cli-u-{tag}-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn with(config: &Config) -> Self {
        let streams = [
            StaticStream::of::<u64>(1, "tick"),
            StaticStream::of::<[f32; 3]>(2, "position"),
            StaticStream::of::<f64>(3, "wave"),
            StaticStream::of::<[u8; 3]>(4, "cloud"),
        ];
        Self { name: config.name.clone(), server: Server::create(config, &streams).unwrap(), cloud: 0 }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Publishes this many frames and returns the last one's id.
    pub(crate) fn publish(&self, frames: u64) -> u64 {
        (0..frames).fold(0, |_, _| {
            let server = self.server();
            let tick = server.frames_published();
            let mut frame = server.begin_frame().unwrap();
            frame.append_stream(1, &[tick]).unwrap();
            let t = tick as f32;
            frame.append_stream(2, &[[t, 0.5, -1.0], [t + 1.0, 1.5, -2.0], [t + 2.0, 2.5, -3.0]]).unwrap();
            frame.append_stream(3, &[(tick as f64 / 5.0).sin()]).unwrap();
            if self.cloud > 0 {
                let bytes: Vec<u8> = (0..self.cloud / 3 * 3).map(|i| (i as u64 * 7 + tick) as u8).collect();
                frame.append_stream(4, &bytes).unwrap();
            }
            frame.publish_frame(tick as f64 / 100.0).unwrap()
        })
    }

    /// Writes into the object from outside, as a stray process would.
    pub(crate) fn poke(&self, at: u64, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new().write(true).open(format!("/dev/shm/{}", self.name)).unwrap();
        file.write_all_at(bytes, at).unwrap();
    }
}
