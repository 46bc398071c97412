//! `--key value` arguments.

use anyhow::{Context, Result, anyhow, bail};
use std::collections::HashMap;
use std::str::FromStr;

const FLAGS: &[&str] = &["quick", "copy", "directory", "soak"];

/// One positional argument and options.
pub(crate) struct Opts {
    name: Option<String>,
    values: HashMap<String, String>,
}

impl Opts {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut opts = Self { name: None, values: HashMap::new() };
        while let Some(arg) = args.next() {
            if let Some(key) = arg.strip_prefix("--") {
                let value = if FLAGS.contains(&key) {
                    String::new()
                } else {
                    args.next().with_context(|| format!("--{key} needs a value"))?
                };
                opts.values.insert(key.to_owned(), value);
            } else if opts.name.replace(arg).is_some() {
                bail!("more than one name");
            }
        }
        Ok(opts)
    }

    pub(crate) fn name(&self) -> Result<&str> {
        self.name.as_deref().context("a region name is needed")
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    pub(crate) fn num<T: FromStr>(&self, key: &str, default: T) -> Result<T> {
        match self.values.get(key) {
            Some(v) => v.parse().map_err(|_| anyhow!("--{key}: {v:?} is not a number")),
            None => Ok(default),
        }
    }
}
