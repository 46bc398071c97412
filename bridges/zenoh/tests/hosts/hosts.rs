//! Hosts of their own: network namespaces, and cables between them.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Runs a command, and gives what went wrong.
pub(crate) fn sh(words: &[&str]) -> Result<String, String> {
    let out = Command::new(words[0]).args(&words[1..]).output().map_err(|e| format!("{words:?}: {e}"))?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        Err(format!("{words:?}: {}", String::from_utf8_lossy(&out.stderr).trim()))
    }
}

/// Whether a program is there; nothing is needed by the empty name.
pub(crate) fn has(program: &str) -> bool {
    let found = || Command::new(program).arg("--version").output().is_ok();
    program.is_empty() || found()
}

/// Hosts that are linked, each with each; they go with their value.
pub(crate) struct Hosts {
    names: Vec<String>,
    net: u32,
}

/// Why there can be none here.
pub(crate) fn impossible() -> Option<String> {
    match Hosts::new(2) {
        Ok(hosts) => hosts.ping().err(),
        Err(e) => Some(e),
    }
}

impl Hosts {
    pub(crate) fn new(count: usize) -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (pid, n) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let names = (0..count).map(|i| format!("shmxb-{pid}-{n}-{i}")).collect();
        let hosts = Self { names, net: (pid + n) % 200 };
        for name in &hosts.names {
            sh(&["ip", "netns", "add", name])?;
            hosts.ip(name, &["link", "set", "lo", "up"])?;
        }
        for a in 0..count {
            for b in a + 1..count {
                let (from, to) = (format!("v{b}"), format!("v{a}"));
                let pair = ["link", "add", &from, "type", "veth", "peer", "name", &to, "netns", &hosts.names[b]];
                hosts.ip(&hosts.names[a], &pair)?;
                for (host, other) in [(a, b), (b, a)] {
                    let (device, address) = (format!("v{other}"), format!("{}/30", hosts.address(host, other)));
                    hosts.ip(&hosts.names[host], &["addr", "add", &address, "dev", &device])?;
                    hosts.ip(&hosts.names[host], &["link", "set", &device, "up"])?;
                }
            }
        }
        Ok(hosts)
    }

    fn ip(&self, name: &str, words: &[&str]) -> Result<String, String> {
        sh(&[&["ip", "-n", name], words].concat())
    }

    /// Address of a host on its cable to another one.
    pub(crate) fn address(&self, host: usize, other: usize) -> String {
        let (low, high) = (host.min(other), host.max(other));
        let cable = (low * 8 + high) * 4 + 1 + usize::from(host > other);
        format!("10.77.{}.{cable}", self.net)
    }

    /// The words that run a command on a host.
    pub(crate) fn on(&self, host: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.names[host]].map(str::to_owned).to_vec()
    }

    /// Takes a host's cable to another one out, or plugs it in.
    pub(crate) fn set_cable(&self, host: usize, other: usize, there: bool) -> Result<(), String> {
        let device = format!("v{other}");
        self.ip(&self.names[host], &["link", "set", &device, if there { "up" } else { "down" }]).map(drop)
    }

    /// A host sends no more than this to another one.
    pub(crate) fn limit(&self, host: usize, other: usize, bytes_per_second: u64) -> Result<(), String> {
        let (device, rate) = (format!("v{other}"), format!("{}bit", bytes_per_second * 8));
        let name = &self.names[host];
        let words = ["tc", "-n", name, "qdisc", "add", "dev", &device, "root", "tbf"];
        sh(&[&words[..], &["rate", &rate, "burst", "64kb", "latency", "100ms"]].concat()).map(drop)
    }

    /// A host loses so many of a hundred packets that come to it, by chance.
    pub(crate) fn lose(&self, host: usize, percent: u32) -> Result<(), String> {
        let rules = format!(
            "table inet loss {{ chain input {{ type filter hook input priority 0; iif != lo numgen random mod 100 < {percent} drop; }}; }}"
        );
        let words: Vec<String> = self.on(host).into_iter().chain(["nft".to_owned(), rules]).collect();
        sh(&words.iter().map(String::as_str).collect::<Vec<_>>()).map(drop)
    }

    fn ping(&self) -> Result<(), String> {
        // Without the program `ping`: an address that is known on the other side is enough.
        self.ip(&self.names[1], &["addr", "show"]).map(drop)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = sh(&["ip", "netns", "del", name]);
        }
    }
}
