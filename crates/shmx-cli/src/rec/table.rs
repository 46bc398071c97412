//! A stream as a table: CSV.

use super::select::{At, Chosen};
use crate::values;
use serde_json::Value;
use shmx::StreamInfo;
use shmx_record::Cursor;
use std::io::Write;

pub(super) fn csv(cursor: &mut Cursor, chosen: &Chosen, out: &mut dyn Write) -> anyhow::Result<u64> {
    let columns: Vec<String> = chosen.columns().iter().map(|c| quoted(c)).collect();
    writeln!(out, "frame_id,time_ns,sim_time,element,{}", columns.join(","))?;
    chosen.each(cursor, |at, data| rows(out, &chosen.info, at, data))
}

/// A field of a table.
fn quoted(text: &str) -> String {
    let plain = !text.contains(['"', ',', '\n', '\r']);
    if plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

/// A line for each element.
fn rows(out: &mut dyn Write, info: &StreamInfo, at: &At, data: &[u8]) -> anyhow::Result<()> {
    let Value::Array(elements) = values::decode(Some(info), data, usize::MAX) else { return Ok(()) };
    for (n, element) in elements.iter().enumerate() {
        write!(out, "{},{},{},{n}", at.frame_id, at.time, at.sim_time)?;
        let components = match element {
            Value::Array(all) => all.as_slice(),
            one => std::slice::from_ref(one),
        };
        for c in components {
            match c {
                // What JSON has no number for: nan, inf.
                Value::String(s) => write!(out, ",{}", quoted(s))?,
                c => write!(out, ",{c}")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_field_that_needs_it_is_quoted() {
        assert_eq!([super::quoted("a"), super::quoted("a,\"b\"")], ["a", "\"a,\"\"b\"\"\""]);
    }
}
