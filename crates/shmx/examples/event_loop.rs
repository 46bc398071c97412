//! Three regions, a socket and a timer in one epoll loop, without another thread. `event_loop REGION REGION REGION`
//!
//! Prints each frame, each tick of the timer, and what comes by UDP; a datagram `quit` ends it. Linux only.

#[cfg(target_os = "linux")]
pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    use rustix::event::epoll;
    use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
    use shmx::{Client, Stream};
    use std::net::UdpSocket;
    use std::time::Duration;

    const TICK: Stream<u64> = Stream::new(1, "tick");
    const SOCKET: u64 = u64::MAX;
    const TIMER: u64 = u64::MAX - 1;

    let names = std::env::args().skip(1).take(3);
    let options = Client::options().reconnect(true);
    let mut clients =
        names.map(|name| options.open_within(&name, Duration::from_secs(60))).collect::<Result<Vec<_>, _>>()?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    println!("socket,{}", socket.local_addr()?.port());
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let times = Itimerspec { it_interval: second, it_value: second };
    rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;

    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let readable = epoll::EventFlags::IN;
    epoll::add(&poll, &socket, epoll::EventData::new_u64(SOCKET), readable)?;
    epoll::add(&poll, &timer, epoll::EventData::new_u64(TIMER), readable)?;
    for (index, client) in clients.iter_mut().enumerate() {
        epoll::add(&poll, client.wait_fd()?, epoll::EventData::new_u64(index as u64), readable)?;
    }
    let mut events = Vec::with_capacity(16);
    loop {
        events.clear();
        match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        for event in &events {
            match event.data.u64() {
                SOCKET => {
                    let mut text = [0; 64];
                    let len = socket.recv(&mut text)?;
                    println!("datagram,{}", String::from_utf8_lossy(&text[..len]));
                    if &text[..len] == b"quit" {
                        return Ok(());
                    }
                }
                TIMER => {
                    let mut expired = [0; 8];
                    rustix::io::read(&timer, &mut expired)?;
                    println!("timer,{}", u64::from_ne_bytes(expired));
                }
                index => {
                    // One frame each time the loop reports it; it reports it again as long as there are more.
                    if let Some(frame) = clients[index as usize].try_wait()? {
                        println!("frame,{index},{}", frame.value(TICK)?);
                    }
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn main() {
    eprintln!("this example uses epoll, which is Linux's");
}
