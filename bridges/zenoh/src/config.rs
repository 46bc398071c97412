//! The configuration: a file, and what the command line says over it.

use crate::network::{self, defaults, merge};
use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use shmx_bridge::{Export, Import, Options};
use std::path::{Path, PathBuf};

/// What a bridge does without being told where: nobody but this host reaches it.
const LOOPBACK: &str = "tcp/127.0.0.1:7447";

/// The commented configuration that `shmx-bridge config` prints.
pub(crate) const EXAMPLE: &str = include_str!("../shmx-bridge.json5");

/// What the command line says of the network.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Place {
    /// Read this configuration file; `shmx bridge config` prints one
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Listen on this endpoint, such as tcp/0.0.0.0:7447, in addition to the file's
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) listen: Vec<String>,
    /// Connect to this endpoint of a bridge or a zenoh router, such as tcp/robot:7447, in addition to the file's
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) connect: Vec<String>,
    /// Name under which others see this host. Without it, the file's; without that, the system's
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
}

/// The configuration cannot be used.
#[derive(Debug)]
pub(crate) struct Wrong(String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The file. Read as it stands, so that what is wrong in it has a place, and nothing is given twice.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    host: String,
    export: Vec<Export>,
    import: Vec<Import>,
    mirror_bytes: u64,
    mirror_mode: String,
    mirrors: usize,
    peers: usize,
    end_after: f64,
    zenoh: Map<String, Value>,
}

impl Default for File {
    fn default() -> Self {
        let Options { host, export, import, mirror_bytes, mirror_mode, mirrors, peers, end_after } = Options::default();
        Self { host, export, import, mirror_bytes, mirror_mode, mirrors, peers, end_after, zenoh: Map::new() }
    }
}

/// Most braces and brackets within each other: a reader that calls itself for each needs as much stack.
const DEPTH: usize = 64;

/// How deep braces and brackets are nested at most. Those in texts count, too.
fn depth(text: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for b in text.bytes() {
        match b {
            b'[' | b'{' => now += 1,
            b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}

/// Endpoints that zenoh would try for ever.
fn check_endpoints(zenoh: &Value) -> anyhow::Result<()> {
    let all = ["listen", "connect"].into_iter().flat_map(|what| zenoh[what]["endpoints"].as_array());
    for endpoint in all.flatten().filter_map(Value::as_str) {
        let Some(("tcp" | "tls", place)) = endpoint.split_once('/') else { continue };
        let place = place.split(['?', '#']).next().unwrap_or_default();
        if !place.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
            bail!("`{endpoint}` is no endpoint; give one such as tcp/robot:7447");
        }
    }
    Ok(())
}

/// Files that zenoh reads only once there is a link, and then says nothing.
fn check_files(zenoh: &Value) -> anyhow::Result<()> {
    for side in [
        "root_ca_certificate",
        "listen_private_key",
        "listen_certificate",
        "connect_private_key",
        "connect_certificate",
    ] {
        if let Some(path) = zenoh["transport"]["link"]["tls"][side].as_str() {
            std::fs::File::open(path).with_context(|| format!("`{side}` is {path}, which cannot be read"))?;
        }
    }
    Ok(())
}

/// Options of the bridge, and the configuration of zenoh.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) options: Options,
    pub(crate) zenoh: Value,
}

fn add(zenoh: &mut Value, what: &str, endpoints: &[String]) -> anyhow::Result<()> {
    match zenoh[what]["endpoints"].as_array_mut() {
        Some(list) => list.extend(endpoints.iter().map(|e| json!(e))),
        None if endpoints.is_empty() => {}
        None => bail!("`{what}.endpoints` is not a list, so --{what} cannot add to it; put the endpoint into the file"),
    }
    Ok(())
}

/// Whether it lists no endpoint.
pub(crate) fn is_empty(zenoh: &Value, what: &str) -> bool {
    zenoh[what]["endpoints"].as_array().is_some_and(Vec::is_empty)
}

impl Config {
    /// Reads the file, if there is one.
    pub(crate) fn read(place: &Place) -> anyhow::Result<Self> {
        let text = match &place.config {
            Some(path) => std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
            None => "{}".to_owned(),
        };
        let of = place.config.as_deref().unwrap_or(Path::new("the configuration")).display();
        let parsed = Self::parse(&text, place).and_then(|config| check_files(&config.zenoh).map(|()| config));
        parsed.map_err(|e| anyhow::anyhow!("{e:#}").context(Wrong(format!("cannot use {of}"))))
    }

    fn parse(text: &str, place: &Place) -> anyhow::Result<Self> {
        if depth(text) > DEPTH {
            bail!("it is nested more than {DEPTH} deep; nothing in a configuration is");
        }
        let File { host, export, import, mirror_bytes, mirror_mode, mirrors, peers, end_after, zenoh: more } =
            json5::from_str(text)?;
        let mut options = Options { host, export, import, mirror_bytes, mirror_mode, mirrors, peers, end_after };
        let mut zenoh = defaults();
        merge(&mut zenoh, more.into());
        add(&mut zenoh, "listen", &place.listen)?;
        add(&mut zenoh, "connect", &place.connect)?;
        if let Some(host) = &place.host {
            options.host.clone_from(host);
        } else if options.host.is_empty() {
            options.host = system_host();
        }
        network::parse(&zenoh)?;
        check_endpoints(&zenoh)?;
        Ok(Self { options, zenoh })
    }

    /// Listens on the loopback address where nothing else is said, so that it can be reached at all.
    pub(crate) fn or_loopback(mut self) -> Self {
        if is_empty(&self.zenoh, "listen") && is_empty(&self.zenoh, "connect") {
            self.zenoh["listen"]["endpoints"] = json!([LOOPBACK]);
        }
        self
    }

    /// Connects to the loopback address where nothing else is said, and never listens.
    pub(crate) fn asking(mut self) -> Self {
        let own = std::mem::replace(&mut self.zenoh["listen"]["endpoints"], json!([]));
        if is_empty(&self.zenoh, "connect") {
            let own = own.as_array().filter(|own| !own.is_empty());
            self.zenoh["connect"]["endpoints"] = own.map_or_else(|| json!([LOOPBACK]), |own| json!(own));
        }
        self
    }
}

/// The system's name for itself, without what cannot be in the name of a host.
fn system_host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let kept = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c));
    kept.take(63).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_what_it_says() {
        let config = Config::parse(EXAMPLE, &Place::default()).unwrap();
        assert!(config.options.export.is_empty() && config.options.import.is_empty());
        let plain = Config::parse("{}", &Place::default()).unwrap();
        // What it shows as defaults are the defaults.
        assert_eq!(config.options, plain.options);
        assert_eq!(config.zenoh, plain.zenoh);
        // And what stands there as comments can be taken out of them.
        let open: String = EXAMPLE.lines().map(|l| l.replacen("// ~ ", "", 1) + "\n").collect();
        let open = Config::parse(&open, &Place::default()).unwrap();
        assert!(!open.options.export.is_empty() && !open.options.import.is_empty());
        open.options.check().unwrap();
    }

    #[test]
    fn nothing_listens_beyond_loopback_unless_it_is_told_to() {
        let place = Place { connect: vec!["tcp/robot:7447".into()], ..Place::default() };
        let config = Config::parse("{}", &place).unwrap().or_loopback();
        assert_eq!(config.zenoh["listen"]["endpoints"], json!([]));
        let config = Config::parse("{}", &Place::default()).unwrap().or_loopback();
        assert_eq!(config.zenoh["listen"]["endpoints"], json!([LOOPBACK]));
        let config = config.asking();
        assert_eq!(config.zenoh["listen"]["endpoints"], json!([]));
        assert_eq!(config.zenoh["connect"]["endpoints"], json!([LOOPBACK]));
    }

    #[test]
    fn what_is_said_counts_and_what_is_not_stays() {
        let mut config = defaults();
        merge(&mut config, json!({ "listen": { "endpoints": ["tcp/127.0.0.1:1"] }, "id": "1" }));
        assert_eq!(config["listen"]["endpoints"][0], "tcp/127.0.0.1:1");
        assert_eq!(config["scouting"]["multicast"]["enabled"], false);
        assert_eq!(config["id"], "1");
    }

    #[test]
    fn a_word_that_means_nothing_is_told() {
        for text in ["{ exprt: [] }", "{ export: [{ region: 'a' }] }", "[]", "{"] {
            assert!(Config::parse(text, &Place::default()).is_err(), "{text}");
        }
    }
}
