//! The body of a message to a server.

use crate::common::hex_bytes;
use clap::{ArgAction, ArgMatches, Args, FromArgMatches};

/// A message's body: the options' values in the order in which they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body(pub(crate) Vec<u8>);

/// The options of which a body is made, and how each turns its text into bytes.
type Encode = fn(&str) -> Result<Vec<u8>, String>;

fn encode<T: std::str::FromStr, const N: usize>(s: &str, bytes: fn(T) -> [u8; N]) -> Result<Vec<u8>, String> {
    s.parse().map(|v| bytes(v).to_vec()).map_err(|_| format!("`{s}` is no {}", std::any::type_name::<T>()))
}

const PARTS: [(&str, &str, &str, Encode); 12] = [
    ("text", "TEXT", "Text, as UTF-8", |s| Ok(s.as_bytes().to_vec())),
    ("hex", "DIGITS", "Bytes as hex digits", hex_bytes),
    ("u8", "N", "An 8-bit unsigned integer", |s| encode(s, u8::to_le_bytes)),
    ("u16", "N", "A 16-bit unsigned integer", |s| encode(s, u16::to_le_bytes)),
    ("u32", "N", "A 32-bit unsigned integer", |s| encode(s, u32::to_le_bytes)),
    ("u64", "N", "A 64-bit unsigned integer", |s| encode(s, u64::to_le_bytes)),
    ("i8", "N", "An 8-bit signed integer", |s| encode(s, i8::to_le_bytes)),
    ("i16", "N", "A 16-bit signed integer", |s| encode(s, i16::to_le_bytes)),
    ("i32", "N", "A 32-bit signed integer", |s| encode(s, i32::to_le_bytes)),
    ("i64", "N", "A 64-bit signed integer", |s| encode(s, i64::to_le_bytes)),
    ("f32", "X", "A single-precision number", |s| encode(s, f32::to_le_bytes)),
    ("f64", "X", "A double-precision number", |s| encode(s, f64::to_le_bytes)),
];

impl Args for Body {
    fn augment_args(cmd: clap::Command) -> clap::Command {
        PARTS.iter().fold(cmd, |cmd, &(name, value, help, encode)| {
            cmd.arg(
                clap::Arg::new(name)
                    .long(name)
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
    use crate::args::{Cli, Command};
    use clap::Parser;

    #[test]
    fn a_body_keeps_the_order_of_its_options() {
        let line = "shmx send x user --u8 1 --u8 2 --text ab --i16 -2 --hex 00ff --u8 3 --f32 1.5";
        let Command::Send(a) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!() };
        assert_eq!(a.body.0, [1, 2, b'a', b'b', 0xfe, 0xff, 0, 0xff, 3, 0, 0, 0xc0, 0x3f]);
        // An option takes one value, so that a name behind it stays one.
        let Command::Send(a) = Cli::try_parse_from("shmx send --u64 7 x user".split(' ')).unwrap().command else {
            panic!()
        };
        assert_eq!((a.name.as_str(), a.body.0.as_slice()), ("x", &7_u64.to_le_bytes()[..]));
        assert!(Cli::try_parse_from("shmx send x user --u8 256".split(' ')).is_err());
        assert!(Cli::try_parse_from("shmx send x user --hex 0".split(' ')).is_err());
    }
}
