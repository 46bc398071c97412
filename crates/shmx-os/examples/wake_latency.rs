//! From one process's wake-up to the other running, by every way of waiting, in one run. Linux only.
//!
//! `cargo run --release -p shmx-os --example wake_latency [ROUNDS]`
//!
//! The ways take turns, so that what disturbs the machine disturbs all alike; compare the medians' ratios.

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("this example waits by descriptors, which only Linux has");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::error::Error;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
    use std::process::{Command, Stdio};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    use std::time::Duration;

    use shmx_os::{
        CreateOptions, Pending, Region, RegionName, WaitFd, WaitFdKind, WaitMany, WaitSource, WaitWord, clock,
    };

    type Failure = Box<dyn Error>;

    /// Where things are in the region, in words of 4 bytes. The many words come last.
    const BELL: usize = 0;
    const ASLEEP: usize = 16;
    const STAMP: usize = 32;
    const OTHERS: usize = 64;
    const MANY: [usize; 5] = [1, 8, 64, 128, 200];
    /// From the reader's word that it goes to sleep to the wake-up.
    const PAUSE: Duration = Duration::from_micros(150);
    /// Rounds that are not counted.
    const WARM_UP: usize = 100;

    struct Word {
        region: Arc<Region>,
        index: usize,
    }

    impl WaitWord for Word {
        fn word(&self) -> &AtomicU32 {
            // SAFETY: nobody makes plain slices of this region.
            let bytes = &unsafe { self.region.bytes() }[self.index * 4..][..4];
            // SAFETY: four bytes at a multiple of four from a page boundary, borrowed from the region that `self` keeps,
            // and accessed in this width alone.
            unsafe { &*bytes.as_ptr().cast() }
        }

        fn source(&self) -> WaitSource<'_> {
            WaitSource::Region(&self.region)
        }
    }

    fn stamp(region: &Region) -> &AtomicU64 {
        // SAFETY: nobody makes plain slices of this region.
        let bytes = &unsafe { region.bytes() }[STAMP * 4..][..8];
        // SAFETY: eight bytes at a multiple of eight from a page boundary, borrowed from the region, and accessed in this
        // width alone.
        unsafe { &*bytes.as_ptr().cast() }
    }

    fn word(region: &Arc<Region>, index: usize) -> Arc<Word> {
        Arc::new(Word { region: Arc::clone(region), index })
    }

    pub(crate) fn main() -> Result<(), Failure> {
        let mut args = std::env::args().skip(1);
        match args.next().as_deref() {
            Some("--wake") => wake(&args.next().ok_or("no name")?, args.next().ok_or("no processor")?.parse()?),
            rounds => {
                let rounds = rounds.unwrap_or("5000").parse()?;
                println!("Two processors: with the time that it takes to wake the other one from its idleness.");
                measure(rounds, 0)?;
                println!("One processor, which goes from one process to the other.");
                measure(rounds, 1)
            }
        }
    }

    /// Keeps this process on one processor; without success it may wander.
    fn pin(cpu: usize) {
        // SAFETY: all bytes 0 is the empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the set is valid for writes; a number beyond it is ignored.
        unsafe { libc::CPU_SET(cpu, &mut set) };
        // SAFETY: the set is valid for reads of its size.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    }

    /// The other process: wakes whenever the reader says that it is about to sleep.
    fn wake(name: &str, cpu: usize) -> Result<(), Failure> {
        pin(cpu);
        let region = Arc::new(Region::open(&RegionName::new(name)?)?);
        let (bell, asleep) = (word(&region, BELL), word(&region, ASLEEP));
        let mut round = 0;
        loop {
            while asleep.word().load(Ordering::Acquire) == round {
                let _ = region.wait(asleep.word(), round, Duration::from_secs(1));
            }
            round = asleep.word().load(Ordering::Acquire);
            if round == u32::MAX {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
            stamp(&region).store(clock::ticks(), Ordering::Relaxed);
            bell.word().store(round, Ordering::Release);
            region.wake_all(bell.word(), round - 1);
        }
    }

    enum Way {
        Futex,
        Descriptor(WaitFd, OwnedFd),
        Many(WaitMany, usize),
    }

    impl Way {
        fn descriptor(kind: WaitFdKind) -> Result<Self, Failure> {
            let wait = WaitFd::with_kind(kind)?;
            let epoll = epoll_of(wait.as_fd())?;
            Ok(Self::Descriptor(wait, epoll))
        }

        fn name(&self) -> String {
            match self {
                Self::Futex => "futex".to_owned(),
                Self::Descriptor(wait, _) => format!("WaitFd by {:?}, epoll", wait.kind()),
                Self::Many(_, count) => format!("WaitMany, {count} words"),
            }
        }

        fn sleep(&mut self, region: &Arc<Region>, bell: &Arc<Word>, value: u32, ready: impl FnOnce()) {
            match self {
                Self::Futex => {
                    ready();
                    while bell.word().load(Ordering::Acquire) == value {
                        let _ = region.wait(bell.word(), value, Duration::MAX);
                    }
                }
                Self::Descriptor(wait, epoll) => {
                    let armed = wait.arm(Some(bell.clone()), value, Duration::MAX);
                    armed.expect("the descriptor was armed before");
                    ready();
                    while bell.word().load(Ordering::Acquire) == value {
                        let mut event = libc::epoll_event { events: 0, u64: 0 };
                        // SAFETY: room for one event. Interrupted or not, the word is asked.
                        unsafe { libc::epoll_wait(epoll.as_raw_fd(), &raw mut event, 1, -1) };
                    }
                }
                Self::Many(many, count) => {
                    let others = (1..*count).map(|index| word(region, OTHERS + index) as Arc<dyn WaitWord>);
                    let mut entries: Vec<_> = others.map(|other| (other, 0)).collect();
                    entries.push((bell.clone(), value));
                    ready();
                    while bell.word().load(Ordering::Acquire) == value {
                        let _ = many.wait(&entries, Duration::MAX);
                    }
                }
            }
        }
    }

    fn epoll_of(fd: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
        // SAFETY: a plain system call.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        // SAFETY: just opened, and nobody else's.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        // SAFETY: both descriptors are open, and the event is valid for reads.
        match unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event) } {
            0 => Ok(epoll),
            _ => Err(std::io::Error::last_os_error().into()),
        }
    }

    /// This process is on processor 1, the other on `cpu`.
    fn measure(rounds: usize, cpu: usize) -> Result<(), Failure> {
        pin(1);
        let name = RegionName::new(&format!("/shmx-wake-latency-{}", shmx_os::process_id()))?;
        let options = CreateOptions { len: 4096, prefault: true, ..CreateOptions::default() };
        let region = Arc::new(Pending::create(&name, &options)?.publish()?);
        let (bell, asleep) = (word(&region, BELL), word(&region, ASLEEP));
        let program = std::env::current_exe()?;
        let mut other =
            Command::new(program).args(["--wake", name.as_str(), &cpu.to_string()]).stdin(Stdio::null()).spawn()?;

        let mut ways = vec![Way::Futex];
        for kind in [WaitFdKind::IoUring, WaitFdKind::Thread] {
            match Way::descriptor(kind) {
                Ok(way) => ways.push(way),
                Err(error) => eprintln!("left out: {kind:?}, because {error}"),
            }
        }
        for count in MANY {
            ways.push(Way::Many(WaitMany::new()?, count));
        }
        let mut found = vec![Vec::with_capacity(rounds); ways.len()];
        let mut value = 0;
        for round in 0..rounds + WARM_UP {
            for (way, found) in ways.iter_mut().zip(&mut found) {
                way.sleep(&region, &bell, value, || {
                    asleep.word().store(value + 1, Ordering::Release);
                    region.wake_all(asleep.word(), value);
                });
                let now = clock::ticks();
                value += 1;
                if round >= WARM_UP {
                    found.push(now.saturating_sub(stamp(&region).load(Ordering::Relaxed)));
                }
            }
        }
        asleep.word().store(u32::MAX, Ordering::Release);
        region.wake_all(asleep.word(), value);
        other.wait()?;
        region.remove()?;

        println!("{:<28} {:>10} {:>10} {:>9}", "way", "median us", "p99 us", "of futex");
        let mut futex = None;
        for (way, found) in ways.iter().zip(&mut found) {
            found.sort_unstable();
            let at = |part: f64| found[((found.len() - 1) as f64 * part) as usize] as f64 / 1000.0;
            let median = at(0.5);
            let ratio = median / *futex.get_or_insert(median);
            println!("{:<28} {median:>10.1} {:>10.1} {ratio:>9.2}", way.name(), at(0.99));
        }
        Ok(())
    }
}
