//! Publishes what tests ask for: `cargo run --example publish -- NAME STREAMS`, then a frame for each line of input.
//!
//! STREAMS is JSON: `[{"id": 1, "name": "a", "type": "f32", "components": 1, "max": 8, "extra": {}}]`; a line has the
//! streams' data in hex: `{"1": "0000803f"}`. At the end of the input the region is removed.

use serde_json::Value;
use shmx::{ElementLayout, ElementType, Server, StreamSpec};
use std::io::BufRead;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, streams] = args.as_slice() else { return Err("NAME STREAMS".into()) };
    let streams: Vec<Value> = serde_json::from_str(streams)?;
    let mut server = Server::builder(name).slots(8);
    for s in &streams {
        let number = |key: &str, or: u32| s[key].as_u64().map_or(or, |v| v as u32);
        let kind = s["type"].as_str().and_then(ElementType::from_name).ok_or("no such type")?;
        let components = number("components", 1);
        let layout = if components > 1 { ElementLayout::AosVector } else { ElementLayout::SoaScalar };
        let spec = StreamSpec::new(number("id", 0), s["name"].as_str().unwrap_or_default(), kind, components);
        let extra = if s["extra"].is_null() { String::new() } else { s["extra"].to_string() };
        server = server.stream(spec.layout(layout).extra(extra), number("max", 1));
    }
    let mut server = server.create()?;
    for (n, line) in std::io::stdin().lock().lines().enumerate() {
        let frame: Value = serde_json::from_str(&line?)?;
        let mut f = server.begin_frame()?;
        for s in &streams {
            let Some(hex) = frame[s["id"].to_string()].as_str() else { continue };
            let data = shmx_record::hex::decode(hex).ok_or("no hex")?;
            let kind = s["type"].as_str().and_then(ElementType::from_name).ok_or("no such type")?;
            let each = kind.size() as usize * s["components"].as_u64().unwrap_or(1) as usize;
            f.append_raw(s["id"].as_u64().unwrap_or(0) as u32, (data.len() / each) as u32, &data)?;
        }
        f.publish_frame(n as f64)?;
    }
    Ok(())
}
