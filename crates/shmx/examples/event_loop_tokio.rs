//! Three regions, a socket and a timer in one tokio task. `event_loop_tokio REGION REGION REGION`
//!
//! As `event_loop`: prints what comes; a datagram `quit` ends it. Unix only.

#[cfg(unix)]
pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(unix::run())
}

#[cfg(not(unix))]
pub(crate) fn main() {
    eprintln!("this example waits on descriptors, which only Unix has");
}

#[cfg(unix)]
mod unix {
    use futures::StreamExt;
    use futures::stream::select_all;
    use shmx::{Client, Order, Stream};
    use std::time::Duration;
    use tokio::net::UdpSocket;

    const TICK: Stream<u64> = Stream::new(1, "tick");

    pub(super) async fn run() -> Result<(), Box<dyn std::error::Error>> {
        let options = Client::options().reconnect(true);
        let mut streams = Vec::new();
        for (index, name) in std::env::args().skip(1).take(3).enumerate() {
            let client = options.open_within(&name, Duration::from_secs(60))?;
            streams.push(client.into_tokio_stream(Order::Newest)?.map(move |frame| (index, frame)));
        }
        let mut frames = select_all(streams);
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        println!("socket,{}", socket.local_addr()?.port());
        let mut timer = tokio::time::interval(Duration::from_secs(1));
        let mut text = [0; 64];
        loop {
            tokio::select! {
                Some((index, frame)) = frames.next() => println!("frame,{index},{}", frame?.value(TICK)?),
                _ = timer.tick() => println!("timer,1"),
                len = socket.recv(&mut text) => {
                    let text = &text[..len?];
                    println!("datagram,{}", String::from_utf8_lossy(text));
                    if text == b"quit" {
                        return Ok(());
                    }
                }
            }
        }
    }
}
