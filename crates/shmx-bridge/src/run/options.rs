//! What a bridge is told.

use crate::allow::Patterns;
use crate::body::Compress;
use crate::codec::Codec;
use crate::keys::is_host;
use crate::mirror::MirrorOptions;
use crate::relay::{Export, interval_of};
use crate::wire::Wish;
use serde::Deserialize;
use shmx_record::error::PatternError;
use std::time::Duration;
use thiserror::Error;

/// Regions of other hosts that are mirrored here.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Import {
    /// `HOST/REGION`, or patterns.
    pub regions: Patterns,
    /// The mirror's name: `{host}` and `{region}` stand for the origin's, and nothing else is in braces. Default
    /// `{host}.{region}`.
    pub name: String,
    /// Most frames per second; 0 for any number.
    pub rate: f64,
    /// Most bytes per second; 0 for any number.
    pub bytes_per_second: u64,
    /// Only these streams, by name or number; all if there are none.
    pub streams: Vec<String>,
    /// Every frame in order, where the other host allows it and the link carries it.
    pub every: bool,
}

impl Default for Import {
    fn default() -> Self {
        let (rate, bytes_per_second, streams, every) = (0.0, 0, Vec::new(), false);
        Self { regions: Patterns::default(), name: "{host}.{region}".into(), rate, bytes_per_second, streams, every }
    }
}

impl Import {
    /// What is asked for, of a bridge that can undo these codecs.
    #[must_use]
    pub fn wish(&self, codecs: u32) -> Wish {
        let interval_ns = u64::try_from(interval_of(self.rate).as_nanos()).unwrap_or(u64::MAX);
        let (every, bytes_per_second, streams) = (self.every, self.bytes_per_second, self.streams.clone());
        Wish { every, codecs, interval_ns, bytes_per_second, streams }
    }

    fn check(&self) -> Result<(), OptionsError> {
        // `*` and `?` may stand for a host and its slash.
        let without_host = |p: &&str| !p.starts_with("re:") && !p.contains(['/', '*', '?']);
        if let Some(pattern) = self.regions.iter().map(|p| p.trim_start_matches('/')).find(without_host) {
            return Err(OptionsError::NoHost(pattern.to_owned()));
        }
        let wrong = |why: String| Err(OptionsError::MirrorName { name: self.name.clone(), why });
        let name = self.name_of("host", "region");
        match name.find(['{', '}']) {
            Some(_) => wrong("only {host} and {region} are in braces".to_owned()),
            None => shmx_os::RegionName::new(&name).map(drop).or_else(|e| wrong(e.to_string())),
        }
    }

    /// The mirror's name.
    #[must_use]
    pub fn name_of(&self, host: &str, region: &str) -> String {
        self.name.replace("{host}", host).replace("{region}", region)
    }
}

fn check_level(rule: &Compress) -> Result<(), OptionsError> {
    let (most, right) = match rule.codec {
        Codec::None | Codec::Lz4 => (0, "it has none"),
        Codec::Zstd => (22, "give one from 1 to 22"),
        Codec::Jpeg => (100, "give a quality from 1 to 100"),
    };
    if rule.level <= most { Ok(()) } else { Err(OptionsError::Level(rule.codec, right)) }
}

/// What a bridge is told.
///
/// ```
/// use shmx_bridge::{Export, Import, Options, Patterns};
///
/// let options = Options {
///     host: "robot".into(),
///     export: vec![Export { regions: Patterns::new(["camera"]), ..Export::default() }],
///     import: vec![Import { regions: Patterns::new(["desk/*"]), ..Import::default() }],
///     ..Options::default()
/// };
/// assert!(options.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Name of this host, as others see it.
    pub host: String,
    /// Regions that others may have; none if it is empty.
    pub export: Vec<Export>,
    /// Regions that are mirrored; none if it is empty.
    pub import: Vec<Import>,
    /// Most bytes of a mirror.
    pub mirror_bytes: u64,
    /// Permission bits of mirrors, as an octal number in words: `"0600"`.
    pub mirror_mode: String,
    /// Most mirrors.
    pub mirrors: usize,
    /// Most peers that regions are sent to, all regions together.
    pub peers: usize,
    /// Seconds after which a mirror ends whose origin is not heard any more.
    pub end_after: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: String::new(),
            export: Vec::new(),
            import: Vec::new(),
            mirror_bytes: 1 << 30,
            mirror_mode: "0600".into(),
            mirrors: 64,
            peers: 64,
            end_after: 5.0,
        }
    }
}

/// Options that make no bridge.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The host has no name, or an impossible one.
    #[error("`{0}` is no name for this host; set `host` to letters, digits, `-`, `_` and `.`, at most 63")]
    Host(String),
    /// There is nothing to do.
    #[error("nothing is exported and nothing is imported; name regions under `export` or `import`")]
    Nothing,
    /// A rule names no region.
    #[error("a rule under `{0}` names no regions")]
    Rule(&'static str),
    /// A pattern makes no sense.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A number is impossible.
    #[error("`{0}` is impossible; give a number from {1}")]
    Number(&'static str, &'static str),
    /// A codec has no such level.
    #[error("the level of `{0}` is impossible; {1}")]
    Level(Codec, &'static str),
    /// An import names no host, and so matches nothing.
    #[error("`{0}` names no host; import HOST/{0}, or */{0} from any host")]
    NoHost(String),
    /// An export can match no region.
    #[error("`{0}` cannot be the name of a region; export names or patterns, without a host")]
    NoRegion(String),
    /// Mirrors cannot have such names.
    #[error("mirrors cannot be named by `name: \"{name}\"`: {why}")]
    MirrorName {
        /// What is given.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The permission bits are no octal number.
    #[error("`mirror_mode` is `{0}`; give an octal number such as \"0600\"")]
    Mode(String),
}

impl Options {
    /// Whether they make a bridge.
    ///
    /// # Errors
    ///
    /// [`OptionsError`].
    pub fn check(&self) -> Result<(), OptionsError> {
        if !is_host(&self.host) {
            return Err(OptionsError::Host(self.host.clone()));
        }
        if self.export.is_empty() && self.import.is_empty() {
            return Err(OptionsError::Nothing);
        }
        if self.export.iter().any(|e| e.regions.is_empty()) {
            return Err(OptionsError::Rule("export"));
        }
        if self.import.iter().any(|i| i.regions.is_empty()) {
            return Err(OptionsError::Rule("import"));
        }
        let mut exports = self.export.iter().flat_map(|e| e.regions.iter());
        // Names of regions have no slash but the first.
        let impossible = |p: &str| !p.starts_with("re:") && p.trim_start_matches('/').contains('/') && !cfg!(windows);
        if let Some(pattern) = exports.find(|p| p.is_empty() || impossible(p)) {
            return Err(OptionsError::NoRegion(pattern.to_owned()));
        }
        for regions in self.export.iter().map(|e| &e.regions).chain(self.import.iter().map(|i| &i.regions)) {
            regions.check()?;
        }
        let rates = self.export.iter().map(|e| e.rate).chain(self.import.iter().map(|i| i.rate));
        if rates.into_iter().any(|r| !(r.is_finite() && r >= 0.0)) {
            return Err(OptionsError::Number("rate", "0 on"));
        }
        self.export.iter().flat_map(|e| &e.compress).try_for_each(check_level)?;
        self.import.iter().try_for_each(Import::check)?;
        if self.mirror_bytes == 0 {
            return Err(OptionsError::Number("mirror_bytes", "1 on"));
        }
        if self.mirrors == 0 {
            return Err(OptionsError::Number("mirrors", "1 on"));
        }
        if self.peers == 0 {
            return Err(OptionsError::Number("peers", "1 on"));
        }
        if !(0.1..=86400.0).contains(&self.end_after) {
            return Err(OptionsError::Number("end_after", "0.1 to 86400"));
        }
        self.mode()?;
        Ok(())
    }

    fn mode(&self) -> Result<u32, OptionsError> {
        let bits = u32::from_str_radix(self.mirror_mode.trim_start_matches("0o"), 8);
        bits.ok().filter(|m| *m <= 0o777).ok_or_else(|| OptionsError::Mode(self.mirror_mode.clone()))
    }

    /// How mirrors are made.
    #[must_use]
    pub fn mirror(&self) -> MirrorOptions {
        let mode = self.mode().unwrap_or(0o600);
        MirrorOptions { mode, most_bytes: self.mirror_bytes, ..MirrorOptions::default() }
    }

    /// When a mirror ends whose origin is not heard any more.
    #[must_use]
    pub fn end_after(&self) -> Duration {
        Duration::try_from_secs_f64(self.end_after).unwrap_or(Duration::from_secs(5))
    }

    /// The terms on which a region may leave; `None` if it may not.
    #[must_use]
    pub fn terms_of(&self, region: &str) -> Option<&Export> {
        self.export.iter().find(|e| e.regions.matches(region))
    }

    /// The rule by which a region of another host is mirrored.
    #[must_use]
    pub fn import_of(&self, host: &str, region: &str) -> Option<&Import> {
        let name = format!("{host}/{region}");
        self.import.iter().find(|i| i.regions.matches(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_makes_no_sense_is_told() {
        let of = |pattern: &str| {
            let export = vec![Export { regions: Patterns::new([pattern]), ..Export::default() }];
            Options { host: "robot".into(), export, ..Options::default() }.check()
        };
        assert_eq!(of("re:camera-[0-9]+"), Ok(()));
        assert!(matches!(of("re:("), Err(OptionsError::Pattern(e)) if e.pattern == "re:("));
    }

    #[test]
    fn what_could_never_work_is_told() {
        let of = |import: Import| Options { host: "desk".into(), import: vec![import], ..Options::default() }.check();
        let regions = |pattern: &str| of(Import { regions: Patterns::new([pattern]), ..Import::default() });
        for good in ["robot/camera", "/robot/camera", "robot/*", "*camera", "*", "re:.*/camera"] {
            assert_eq!(regions(good), Ok(()), "{good}");
        }
        assert_eq!(regions("camera"), Err(OptionsError::NoHost("camera".into())));
        let named = |name: &str| of(Import { regions: Patterns::new(["*"]), name: name.into(), ..Import::default() });
        for good in ["{region}", "{host}.{region}", "camera", "a-{host}-{region}"] {
            assert_eq!(named(good), Ok(()), "{good}");
        }
        for bad in ["", "{Host}.{region}", "{host", "{}", "{host}/{region}", "a\0b"] {
            assert!(matches!(named(bad), Err(OptionsError::MirrorName { .. })), "{bad}: {:?}", named(bad));
        }
        let level = |codec, level| {
            let compress = vec![Compress { stream: "*".into(), codec, level }];
            let export = vec![Export { regions: Patterns::new(["*"]), compress, ..Export::default() }];
            Options { host: "robot".into(), export, ..Options::default() }.check()
        };
        for (codec, most) in [(Codec::None, 0), (Codec::Lz4, 0), (Codec::Zstd, 22), (Codec::Jpeg, 100)] {
            assert_eq!(level(codec, most), Ok(()));
            assert!(matches!(level(codec, most + 1), Err(OptionsError::Level(c, _)) if c == codec));
        }
        let export = |pattern: &str| {
            let export = vec![Export { regions: Patterns::new([pattern]), ..Export::default() }];
            Options { host: "robot".into(), export, ..Options::default() }.check()
        };
        for good in ["camera", "/camera", "*", "re:a/?"] {
            assert_eq!(export(good), Ok(()), "{good}");
        }
        for bad in ["", "robot/camera"] {
            assert_eq!(export(bad), Err(OptionsError::NoRegion(bad.into())));
        }
        let none = Import { regions: Patterns::new(["*"]), ..Import::default() };
        let none = Options { host: "desk".into(), import: vec![none], ..Options::default() };
        assert!(matches!(Options { mirrors: 0, ..none.clone() }.check(), Err(OptionsError::Number("mirrors", _))));
        assert!(matches!(Options { peers: 0, ..none }.check(), Err(OptionsError::Number("peers", _))));
    }
}
