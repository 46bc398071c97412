//! The body of a message to a server.

use crate::common::hex_bytes;
use clap::{ArgAction, ArgMatches, Args, FromArgMatches};

/// A message's body: the options' values in the order in which they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body(pub(crate) Vec<u8>);

/// The options of which a body is made, and how each turns its text into bytes.
type Encode = fn(&str) -> Result<Vec<u8>, String>;

fn encode<T: std::str::FromStr, const N: usize>(s: &str, bytes: fn(T) -> [u8; N]) -> Result<Vec<u8>, String> {
    s.parse().map(|v| bytes(v).to_vec()).map_err(|_| format!("`{s}` is not a valid {}", std::any::type_name::<T>()))
}

const PARTS: [(&str, &str, &str, Encode); 12] = [
    ("text", "TEXT", "Append text, as UTF-8", |s| Ok(s.as_bytes().to_vec())),
    ("hex", "DIGITS", "Append bytes, given as hex digits", hex_bytes),
    ("u8", "N", "Append an 8-bit unsigned integer", |s| encode(s, u8::to_le_bytes)),
    ("u16", "N", "Append a 16-bit unsigned integer", |s| encode(s, u16::to_le_bytes)),
    ("u32", "N", "Append a 32-bit unsigned integer", |s| encode(s, u32::to_le_bytes)),
    ("u64", "N", "Append a 64-bit unsigned integer", |s| encode(s, u64::to_le_bytes)),
    ("i8", "N", "Append an 8-bit signed integer", |s| encode(s, i8::to_le_bytes)),
    ("i16", "N", "Append a 16-bit signed integer", |s| encode(s, i16::to_le_bytes)),
    ("i32", "N", "Append a 32-bit signed integer", |s| encode(s, i32::to_le_bytes)),
    ("i64", "N", "Append a 64-bit signed integer", |s| encode(s, i64::to_le_bytes)),
    ("f32", "X", "Append a single-precision number", |s| encode(s, f32::to_le_bytes)),
    ("f64", "X", "Append a double-precision number", |s| encode(s, f64::to_le_bytes)),
];

impl Args for Body {
    fn augment_args(cmd: clap::Command) -> clap::Command {
        PARTS.iter().fold(cmd, |cmd, &(name, value, help, encode)| {
            cmd.arg(
                clap::Arg::new(name)
                    .long(name)
                    .help_heading("Body of the message")
                    .value_name(value)
                    .help(help)
                    .action(ArgAction::Append)
                    .num_args(1)
                    .allow_negative_numbers(true)
                    .value_parser(encode),
            )
        })
    }

    fn augment_args_for_update(cmd: clap::Command) -> clap::Command {
        Self::augment_args(cmd)
    }
}

impl FromArgMatches for Body {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut parts: Vec<(usize, &Vec<u8>)> = Vec::new();
        for (name, ..) in PARTS {
            let places = matches.indices_of(name).into_iter().flatten();
            parts.extend(places.zip(matches.get_many::<Vec<u8>>(name).into_iter().flatten()));
        }
        parts.sort_by_key(|p| p.0);
        Ok(Self(parts.into_iter().flat_map(|p| p.1.iter().copied()).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        name: String,
        #[command(flatten)]
        body: Body,
    }

    #[test]
    fn a_body_keeps_the_order_of_its_options() {
        let of = |line: &str| Line::try_parse_from(line.split(' '));
        let line = of("send x --u8 1 --u8 2 --text ab --i16 -2 --hex 00ff --u8 3 --f32 1.5").unwrap();
        assert_eq!(line.body.0, [1, 2, b'a', b'b', 0xfe, 0xff, 0, 0xff, 3, 0, 0, 0xc0, 0x3f]);
        // An option takes one value, so that a name behind it stays one.
        let line = of("send --u64 7 x").unwrap();
        assert_eq!((line.name.as_str(), line.body.0.as_slice()), ("x", &7_u64.to_le_bytes()[..]));
        assert!(of("send x --u8 256").is_err() && of("send x --hex 0").is_err());
    }
}
