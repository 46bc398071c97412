//! Who may connect: the token, and the Host and Origin headers of a request.

use axum::http::{HeaderMap, header};
use std::net::IpAddr;

/// What the link carries, and nobody else knows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// The variable that gives one.
pub(crate) const TOKEN: &str = "SHMX_LIVE_TOKEN";
const SHORTEST: usize = 16;
const LONGEST: usize = 128;

impl Token {
    /// 128 random bits.
    pub(crate) fn random() -> Self {
        Self(format!("{:016x}{:016x}", shmx_os::random_u64(), shmx_os::random_u64()))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let fits = (SHORTEST..=LONGEST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{TOKEN} is not a usable token; give {SHORTEST} to {LONGEST} letters and digits"))
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Compared in a time that depends on the lengths alone.
    pub(crate) fn is(&self, other: &str) -> bool {
        let (a, b) = (self.0.as_bytes(), other.as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |d, (x, y)| d | (x ^ y)) == 0
    }
}

/// Why a request is refused, for the log and the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Host,
    Origin,
    Token,
}

impl Refusal {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Host => "this host name is not known here; start shmx live with --host NAME",
            Self::Origin => "pages of other origins may not connect",
            Self::Token => "the token is missing or wrong; open the link that shmx live has printed",
        }
    }
}

/// Hosts and origins that are let in.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) token: Token,
    hosts: Vec<String>,
    /// Beside the page's own: those of the Foxglove app.
    origins: Vec<String>,
}

/// The app in the browser and on the desktop.
const FOXGLOVE: [&str; 3] = ["https://app.foxglove.dev", "https://studio.foxglove.dev", "file://"];

impl Gate {
    pub(crate) fn new(token: Token, hosts: &[String], origins: &[String]) -> Self {
        let origins = FOXGLOVE.iter().map(|&o| o.to_owned()).chain(origins.iter().cloned()).collect();
        Self { token, hosts: hosts.iter().map(|h| h.to_ascii_lowercase()).collect(), origins }
    }

    /// A page of another site that has led its own name here (DNS rebinding) sends that name. An address cannot be led
    /// anywhere. Ports do not matter: a tunnel may have another one.
    pub(crate) fn host<'h>(&self, headers: &'h HeaderMap) -> Result<&'h str, Refusal> {
        let mut all = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (all.next(), all.next()) else { return Err(Refusal::Host) };
        let host = host.to_str().map_err(|_| Refusal::Host)?;
        let name = without_port(host).ok_or(Refusal::Host)?;
        let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let known =
            literal || name.eq_ignore_ascii_case("localhost") || self.hosts.contains(&name.to_ascii_lowercase());
        if known { Ok(host) } else { Err(Refusal::Host) }
    }

    /// Browsers always send the origin of the page that opens a WebSocket. Programs that are none need not.
    fn origin(&self, headers: &HeaderMap, host: &str, foreign: bool) -> Result<(), Refusal> {
        let mut all = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = all.next() else { return Ok(()) };
        if all.next().is_some() {
            return Err(Refusal::Origin);
        }
        let origin = origin.to_str().map_err(|_| Refusal::Origin)?;
        let own = origin
            .split_once("://")
            .is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && rest.eq_ignore_ascii_case(host));
        if own || foreign && self.origins.iter().any(|o| o == origin) { Ok(()) } else { Err(Refusal::Origin) }
    }

    /// Whether the page may open its WebSocket: the token is among the subprotocols, where no log and no history has it.
    pub(crate) fn page(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = self.host(headers)?;
        self.origin(headers, host, false)?;
        let offered = subprotocols(headers).find_map(|p| p.strip_prefix("token."));
        if offered.is_some_and(|t| self.token.is(t)) { Ok(()) } else { Err(Refusal::Token) }
    }

    /// Whether a Foxglove client may connect: it can give the token only in the address.
    pub(crate) fn foxglove(&self, headers: &HeaderMap, query: Option<&str>) -> Result<(), Refusal> {
        let host = self.host(headers)?;
        self.origin(headers, host, true)?;
        let given = query.unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("token="));
        if given.is_some_and(|t| self.token.is(t)) { Ok(()) } else { Err(Refusal::Token) }
    }
}

/// The subprotocols that a client offers.
pub(crate) fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    all.flat_map(|v| v.split(',')).map(str::trim)
}

fn without_port(host: &str) -> Option<&str> {
    let end = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, port) = host.split_at(end);
    let port = port.strip_prefix(':').unwrap_or(port);
    (!name.is_empty() && port.bytes().all(|b| b.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn gate() -> Gate {
        Gate::new(Token("0123456789abcdef".into()), &["Robot.local".into()], &["https://fox.example".into()])
    }

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.clone(), v.parse().unwrap())).collect()
    }

    #[test]
    fn tokens_are_long_and_differ() {
        assert_ne!(Token::random(), Token::random());
        assert_eq!(Token::random().text().len(), 32);
        assert!(Token::parse("short").is_err() && Token::parse("0123456789abcde/").is_err());
        let token = Token::parse("0123456789abcdef").unwrap();
        assert!(token.is("0123456789abcdef") && !token.is("0123456789abcdeF") && !token.is("") && !token.is("0123"));
        assert_eq!(format!("{token:?}"), "Token");
    }

    #[test]
    fn only_known_hosts() {
        let ask = |host: &str| gate().host(&headers(&[(header::HOST, host)])).is_ok();
        for good in ["127.0.0.1:7650", "localhost", "LOCALHOST:1", "[::1]:7650", "192.168.1.9", "robot.local:80"] {
            assert!(ask(good), "{good}");
        }
        for bad in ["evil.example", "evil.example:7650", "127.0.0.1.evil.example", "", ":80", "localhost:x", "[::1"] {
            assert!(!ask(bad), "{bad}");
        }
        assert_eq!(gate().host(&HeaderMap::new()), Err(Refusal::Host));
        assert_eq!(gate().host(&headers(&[(header::HOST, "localhost"), (header::HOST, "x")])), Err(Refusal::Host));
    }

    #[test]
    fn the_page_needs_token_and_its_own_origin() {
        let protocols = "shmx.live.1, token.0123456789abcdef";
        let ask = |origin: &str, protocols: &str| {
            let mut all = vec![(header::HOST, "localhost:7"), (header::SEC_WEBSOCKET_PROTOCOL, protocols)];
            if !origin.is_empty() {
                all.push((header::ORIGIN, origin));
            }
            gate().page(&headers(&all))
        };
        assert_eq!(ask("http://localhost:7", protocols), Ok(()));
        assert_eq!(ask("", protocols), Ok(()), "no browser");
        for bad in ["http://localhost:8", "http://evil.example", "null", "https://fox.example", "file://"] {
            assert_eq!(ask(bad, protocols), Err(Refusal::Origin), "{bad}");
        }
        for bad in ["shmx.live.1", "shmx.live.1, token.", "token.0123456789abcde0"] {
            assert_eq!(ask("http://localhost:7", bad), Err(Refusal::Token), "{bad}");
        }
    }

    #[test]
    fn foxglove_needs_token_and_a_known_origin() {
        let ask = |origin: &str, query| {
            gate().foxglove(&headers(&[(header::HOST, "127.0.0.1:7"), (header::ORIGIN, origin)]), query)
        };
        let good = Some("a=b&token=0123456789abcdef");
        for origin in ["https://app.foxglove.dev", "file://", "https://fox.example", "http://127.0.0.1:7"] {
            assert_eq!(ask(origin, good), Ok(()), "{origin}");
        }
        assert_eq!(ask("https://evil.example", good), Err(Refusal::Origin));
        assert_eq!(ask("file://", Some("token=x")), Err(Refusal::Token));
        assert_eq!(ask("file://", None), Err(Refusal::Token));
    }
}
