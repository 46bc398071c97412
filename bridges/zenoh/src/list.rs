//! `shmx bridge ls`: what other bridges offer.

use crate::config::{Config, Place};
use crate::network::Network;
use crate::say::{self, print, say};
use clap::Args;
use serde_json::json;
use shmx_bridge::keys::Peer;
use shmx_bridge::{ask_offers, safe};

use shmx_bridge::wire::Offer;
use std::fmt::Write;
use std::time::Duration;

/// Options of `ls`.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --connect and endpoints in the file, it asks tcp/127.0.0.1:7447.

Exit codes: 0 done; 1 failed, or no bridge has answered; 2 wrong usage or configuration.

Examples:
  shmx bridge ls
  shmx bridge ls --connect tcp/robot:7447 --timeout 5
  shmx bridge ls --json | jq -r .region")]
pub(crate) struct Ls {
    #[command(flatten)]
    place: Place,
    /// Collect answers for this long
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = crate::time)]
    timeout: Duration,
    /// Print a JSON object for each region
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(ls: &Ls, quiet: bool) -> anyhow::Result<()> {
    let config = Config::read(&ls.place)?.asking();
    let network = Network::open(&config.zenoh)?;
    let answers = ask_offers(&*network, ls.timeout);
    network.close();
    let answers = answers?;
    if answers.is_empty() {
        let place = &config.zenoh["connect"]["endpoints"];
        anyhow::bail!("no bridge answers at {place}; see whether one runs there, and what it listens on");
    }
    let mut text = String::new();
    if !ls.json {
        let _ = writeln!(
            text,
            "{:<24} {:<28} {:>9} {:>7} {:>10} {:>5}  CONTROL",
            "HOST", "REGION", "FRAME", "STREAMS", "PUBLISHED", "PEERS"
        );
    }
    for (peer, offers) in &answers {
        match offers {
            Ok(offers) => offers.regions.iter().for_each(|o| line(&mut text, ls.json, peer, o)),
            Err(e) if ls.json => {
                let bridge = format!("{:016x}", peer.id);
                let what = json!({ "host": peer.host, "bridge": bridge, "error": e.to_string() });
                text.push_str(&say::line("offer", what));
            }
            Err(e) => {
                let _ = writeln!(text, "{:<24} {e}", peer.host);
            }
        }
    }
    for (peer, _) in &answers {
        let same: Vec<_> = answers.iter().filter(|(p, _)| p.host == peer.host).map(|(p, _)| p.id).collect();
        if same.len() > 1 && same.first() == Some(&peer.id) {
            let ids: Vec<_> = same.iter().map(|id| format!("{id:016x}")).collect();
            let (host, ids) = (&peer.host, ids.join(", "));
            say(
                quiet,
                format_args!("{} bridges call their host `{host}` ({ids}); give each one of its own", same.len()),
            );
        }
    }
    print(&text)
}

fn line(text: &mut String, as_json: bool, peer: &Peer, o: &Offer) {
    let (host, region) = (&peer.host, safe(&o.region));
    if as_json {
        let (bridge, session, g) = (format!("{:016x}", peer.id), format!("{:016x}", o.session), o.geometry);
        let offer = json!({
            "host": host, "bridge": bridge, "region": o.region, "session": session,
            "frame_bytes_cap": g.frame_bytes_cap, "slots": g.slots, "streams": o.streams, "published": o.published,
            "peers": o.peers, "control": o.control,
        });
        text.push_str(&say::line("offer", offer));
    } else {
        let control = if o.control { "yes" } else { "no" };
        let (frame, streams, published, peers) = (o.geometry.frame_bytes_cap, o.streams, o.published, o.peers);
        let _ = writeln!(text, "{host:<24} {region:<28} {frame:>9} {streams:>7} {published:>10} {peers:>5}  {control}");
    }
}
