//! JSON for machines: one object on each line, with the version of what it looks like and what it is.

use crate::escape::is_harmful;
use serde_json::ser::{CompactFormatter, Formatter};
use serde_json::{Map, Value};
use std::io::{self, Write};

/// Version of all objects. Keys may be added to a version; what one means does not change.
pub(crate) const SCHEMA: u32 = 1;

/// Compact, and what could steer a terminal is escaped. Whoever reads JSON gets it back as it was.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_harmful) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let c = rest[at..].chars().next().unwrap_or_default();
            // All of these are in the basic plane: one unit each.
            write!(writer, "\\u{:04x}", c as u32)?;
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        CompactFormatter.write_f64(writer, value)
    }
}

/// Writes a value on the present line.
pub(crate) fn write(out: &mut impl Write, value: &Value) -> io::Result<()> {
    use serde::Serialize;
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, Harmless)).map_err(io::Error::from)
}

/// Writes an object of this kind as a line of its own.
pub(crate) fn line(out: &mut impl Write, kind: &str, value: Value) -> io::Result<()> {
    let mut whole = Map::new();
    whole.insert("schema".into(), SCHEMA.into());
    whole.insert("kind".into(), kind.into());
    match value {
        Value::Object(map) => whole.extend(map),
        other => drop(whole.insert("value".into(), other)),
    }
    write(out, &Value::Object(whole))?;
    writeln!(out)
}

/// The line on stdout.
pub(crate) fn print(kind: &str, value: Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    line(&mut out, kind, value)?;
    out.flush()
}

/// An id of 64 bits, which many readers of JSON would round, as text.
pub(crate) fn id(id: u64) -> Value {
    format!("{id:#018x}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_is_a_line_that_steers_nothing_and_reads_back() {
        let value = json!({"name": "a\u{1b}[2J\u{9b}\u{202e}\n\"é", "x": 0.1});
        let mut out = Vec::new();
        line(&mut out, "thing", value.clone()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        assert!(!text.trim_end().contains(is_harmful) && text.contains("\\u009b") && text.contains('é'), "{text}");
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&back["schema"], &back["kind"]), (&1.into(), &"thing".into()));
        assert_eq!((&back["name"], &back["x"]), (&value["name"], &value["x"]));
    }
}
