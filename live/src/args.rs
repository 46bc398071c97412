//! The command line.

use crate::gate::{TOKEN, Token};
use crate::pattern::pattern;
use clap::Parser;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Watch regions live in a browser, and in Foxglove.
///
/// Prints a link that opens the page. Regions are read through read-only mappings: no reader slot, no lock, and the
/// producer cannot tell. Nothing is read or encoded while nobody looks.
#[derive(Debug, Parser)]
#[command(
    name = "shmx-live",
    bin_name = "shmx live",
    version,
    max_term_width = 110,
    after_help = "\
The link carries a token, without which nothing is told; it is new each time, unless SHMX_LIVE_TOKEN gives one. Who \
has the link can see every region that matches. Only this machine can connect, unless --listen says otherwise; \
nothing is encrypted, so use a tunnel across networks (ssh -L 7650:127.0.0.1:7650 HOST).

Exit codes: 0 ended by a signal; 1 failed (the address is taken); 2 wrong usage.

Examples:
  shmx live
  shmx live camera 'robot-*'
  shmx live --foxglove
  shmx live --control galaxies"
)]
pub(crate) struct Args {
    /// Regions to show, by name or pattern (`*`, `?`, or a regular expression behind `re:`); all if none is given
    #[arg(value_name = "NAME|PATTERN", value_parser = pattern)]
    pub(crate) names: Vec<String>,
    /// Address to listen on, with or without a port; loopback by default
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1", value_parser = address)]
    pub(crate) listen: Listen,
    /// Another host name under which browsers may reach this server, beside addresses and `localhost`
    #[arg(long = "host", value_name = "NAME", value_parser = host)]
    pub(crate) hosts: Vec<String>,
    /// Let viewers send control messages to the servers of regions
    #[arg(long)]
    pub(crate) control: bool,
    /// Serve Foxglove's protocol too, on this address (default: the same as the page)
    #[arg(long, value_name = "ADDR", num_args = 0..=1, require_equals = true, value_parser = address)]
    pub(crate) foxglove: Option<Option<Listen>>,
    /// Another origin from which Foxglove may connect, such as `https://foxglove.example.org`
    #[arg(long = "origin", value_name = "URL", value_parser = origin)]
    pub(crate) origins: Vec<String>,
    /// Most frames of a region per second and viewer
    #[arg(long, value_name = "N", default_value_t = 60.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// Print the link and errors, but no other messages
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Log what is done to stderr; more of it with -vv and -vvv. RUST_LOG chooses by module
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(flatten)]
    pub(crate) color: colorchoice_clap::Color,
    /// For `keeper.rs`: process that the program has been started by, as the part that touches regions
    #[cfg(target_os = "linux")]
    #[arg(long, value_name = "PID", hide = true, require_equals = true)]
    pub(crate) worker: Option<u32>,
}

impl Args {
    /// The token that the environment gives. An option would show it to all users of the machine.
    pub(crate) fn token(&self) -> Result<Option<Token>, String> {
        match std::env::var(TOKEN) {
            Ok(text) => Token::parse(&text).map(Some),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Token::parse("").map(Some),
        }
    }
}

/// An address, and a port if one was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) ip: IpAddr,
    pub(crate) port: Option<u16>,
}

fn address(text: &str) -> Result<Listen, String> {
    if let Ok(a) = text.parse::<SocketAddr>() {
        return Ok(Listen { ip: a.ip(), port: Some(a.port()) });
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(Listen { ip, port: None });
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let port = match port {
        "" => None,
        p => Some(p.parse().map_err(|_| format!("`{p}` is not a port; give a number below 65536"))?),
    };
    match host {
        "localhost" | "" => Ok(Listen { ip: Ipv4Addr::LOCALHOST.into(), port }),
        _ => {
            Err(format!("`{host}` is not an IP address; give one of this machine, such as 192.168.1.5:7650 or 0.0.0.0"))
        }
    }
}

/// A name as it stands in a request, without its port.
fn host(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !text.is_empty() && text.bytes().all(plain) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("give the name alone, without http:// and port".to_owned())
    }
}

/// An origin as browsers write it: in small letters, without the scheme's usual port and without a path.
fn origin(text: &str) -> Result<String, String> {
    let small = text.to_ascii_lowercase();
    let (scheme, place) = small.split_once("://").unwrap_or_default();
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return Err("give http:// or https://, and the host".to_owned()),
    };
    if place.is_empty() || place.contains(|c: char| "/?#@".contains(c) || c.is_whitespace()) {
        return Err("give the scheme and the host, and the port if it is another, and nothing behind them".to_owned());
    }
    Ok(format!("{scheme}://{}", place.strip_suffix(port).unwrap_or(place)))
}

fn rate(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.1..=1000.0).contains(&number) { Ok(number) } else { Err("give a number from 0.1 to 1000".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn addresses_have_a_port_or_not() {
        let is = |text: &str, ip: &str, port| assert_eq!(address(text), Ok(Listen { ip: ip.parse().unwrap(), port }));
        is("127.0.0.1", "127.0.0.1", None);
        is("0.0.0.0:80", "0.0.0.0", Some(80));
        is("[::1]:80", "::1", Some(80));
        is("[::1]", "::1", None);
        is("::", "::", None);
        is("localhost", "127.0.0.1", None);
        is("localhost:7", "127.0.0.1", Some(7));
        is(":7", "127.0.0.1", Some(7));
        for bad in ["example.org", "example.org:80", "localhost:x", "localhost:70000"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_and_hosts_are_such_as_browsers_send() {
        for (text, is) in [
            ("https://Foxglove.example.org", "https://foxglove.example.org"),
            ("https://a:443", "https://a"),
            ("http://a:443", "http://a:443"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(is));
        }
        for bad in ["foo", "https://", "https://a/", "https://a/b", "ftp://a", "https://me@a", "https://a b", ""] {
            assert!(origin(bad).is_err(), "{bad}");
        }
        assert_eq!(host("Robot.local").as_deref(), Ok("robot.local"));
        for bad in ["", "http://robot", "robot:7650", "a b"] {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn foxglove_takes_an_address_or_none() {
        let of = |line: &[&str]| Args::try_parse_from(line).unwrap().foxglove;
        assert_eq!(of(&["x"]), None);
        assert_eq!(of(&["x", "--foxglove", "camera"]), Some(None));
        assert!(of(&["x", "--foxglove=127.0.0.1:8765"]).is_some_and(|a| a.is_some()));
    }
}
