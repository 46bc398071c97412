//! Regions for unit tests.

use shmx::{Checksum, Server, ServerBuilder, SharedServer, Stream};

const TICK: Stream<u64> = Stream::new(1, "tick");
const POSITION: Stream<[f32; 3]> = Stream::new(2, "position");
const WAVE: Stream<f64> = Stream::new(3, "wave");
const CLOUD: Stream<[u8; 3]> = Stream::new(4, "cloud");

/// A region of this process under a name of its own.
pub(crate) struct Scratch {
    pub(crate) name: String,
    server: SharedServer,
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
        Self::with(Server::builder(Self::unique(tag)).slots(slots).frame_bytes(65536))
    }

    pub(crate) fn unique(tag: &str) -> String {
        shmx_testkit::unique(tag)
    }

    /// With a checksum for every frame: when large ones have one otherwise depends on the time.
    pub(crate) fn with(builder: ServerBuilder) -> Self {
        let builder = builder.checksum(Checksum::Always);
        let builder = builder.stream(TICK, 1).stream(POSITION, 3).stream(WAVE, 1).stream(CLOUD, 16_000);
        let server = builder.create().unwrap();
        Self { name: server.name().to_owned(), server: server.into_shared(), cloud: 0 }
    }

    pub(crate) fn server(&self) -> &SharedServer {
        &self.server
    }

    /// Publishes this many frames and returns the last one's id.
    pub(crate) fn publish(&self, frames: u64) -> u64 {
        (0..frames).fold(0, |_, _| {
            let server = self.server();
            let tick = server.frames_published();
            let mut frame = server.begin_frame().unwrap();
            frame.append_stream(TICK, &[tick]).unwrap();
            let t = tick as f32;
            frame.append_stream(POSITION, &[[t, 0.5, -1.0], [t + 1.0, 1.5, -2.0], [t + 2.0, 2.5, -3.0]]).unwrap();
            frame.append_stream(WAVE, &[(tick as f64 / 5.0).sin()]).unwrap();
            if self.cloud > 0 {
                let bytes: Vec<u8> = (0..self.cloud / 3 * 3).map(|i| (i as u64 * 7 + tick) as u8).collect();
                frame.append_raw(4, (bytes.len() / 3) as u32, &bytes).unwrap();
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
