//! Pictures in terminals that say that they can show them: by the protocols of kitty, of iTerm2, and sixel.

use crate::png::{self, Colour};
use clap::ValueEnum;
use std::fmt::Write;

/// How images are drawn in a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Images {
    /// The best that the terminal says it can.
    #[default]
    Auto,
    /// The protocol of kitty.
    Kitty,
    /// The protocol of iTerm2.
    Iterm2,
    /// Sixel.
    Sixel,
    /// Half blocks, or characters of their brightness without colours.
    Blocks,
}

/// What a terminal is asked: for a picture of kitty's, for its name, and at last what every terminal answers.
#[cfg(unix)]
const QUESTION: &str = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[>q\x1b[c";

/// Where the answer to the last question is: its numbers, once it is whole.
#[cfg(any(unix, test))]
fn attributes(answer: &str) -> Option<&str> {
    let mut rest = answer;
    while let Some((_, behind)) = rest.split_once("\x1b[?") {
        let end = behind.find(|c: char| !c.is_ascii_digit() && c != ';')?;
        if behind[end..].starts_with('c') {
            return Some(&behind[..end]);
        }
        rest = behind;
    }
    None
}

/// Whether the terminal has answered everything.
#[cfg(any(unix, test))]
fn is_whole(answer: &[u8]) -> bool {
    attributes(&String::from_utf8_lossy(answer)).is_some()
}

/// What the answers allow.
#[cfg(any(unix, test))]
fn of_answer(answer: &[u8]) -> Images {
    let text = String::from_utf8_lossy(answer);
    if text.contains("\x1b_Gi=31;OK") {
        Images::Kitty
    } else if ["iTerm2", "WezTerm"].iter().any(|name| text.contains(&format!("\x1bP>|{name}"))) {
        Images::Iterm2
    } else if attributes(&text).is_some_and(|all| all.split(';').any(|n| n == "4")) {
        Images::Sixel
    } else {
        Images::Blocks
    }
}

/// Asks the terminal. It has the answer within a moment, or never; a key ends the wait.
#[cfg(unix)]
pub(crate) fn ask() -> Images {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::io::{IsTerminal, Write};
    use std::time::{Duration, Instant};
    const PATIENCE: Duration = Duration::from_secs(2);
    let (mut out, stdin) = (std::io::stdout(), std::io::stdin());
    if !out.is_terminal() || !stdin.is_terminal() {
        return Images::Blocks;
    }
    if out.write_all(QUESTION.as_bytes()).and_then(|()| out.flush()).is_err() {
        return Images::Blocks;
    }
    let (end, mut answer) = (Instant::now() + PATIENCE, Vec::new());
    while !is_whole(&answer) {
        let left = end.saturating_duration_since(Instant::now());
        let Ok(limit) = Timespec::try_from(left) else { break };
        let mut keys = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut keys, Some(&limit)) {
            Ok(0) => break,
            Err(rustix::io::Errno::INTR) if !left.is_zero() => continue,
            Err(_) => break,
            Ok(_) => {}
        }
        // One at a time: what is behind the answer are keys.
        let mut byte = [0];
        match rustix::io::read(&stdin, &mut byte) {
            Ok(1) => answer.push(byte[0]),
            _ => break,
        }
        if answer[0] != 0x1b {
            break;
        }
    }
    of_answer(&answer)
}

#[cfg(not(unix))]
pub(crate) fn ask() -> Images {
    Images::Blocks
}

/// A picture for a place on the screen: red, green and blue of each pixel, row after row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bitmap {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rgb: Vec<u8>,
    /// The cells that it fills, and the first of them.
    pub(crate) cells: (u16, u16),
    pub(crate) at: (u16, u16),
}

impl Bitmap {
    /// What draws it.
    pub(crate) fn drawn_by(&self, how: Images) -> String {
        let (column, row) = (u32::from(self.at.0) + 1, u32::from(self.at.1) + 1);
        let picture = match how {
            Images::Kitty => self.kitty(),
            Images::Iterm2 => self.iterm2(),
            Images::Sixel => self.sixel(),
            Images::Auto | Images::Blocks => return String::new(),
        };
        // The cursor goes back to where it was.
        format!("\x1b7\x1b[{row};{column}H{picture}\x1b8")
    }

    /// In pieces of 4096 characters at most. The number makes it take the place of the one before; no answer is wanted.
    fn kitty(&self) -> String {
        let data = base64(&self.rgb);
        let (mut out, mut rest) = (String::with_capacity(data.len() + 1024), data.as_str());
        let (w, h, (columns, rows)) = (self.width, self.height, self.cells);
        let mut head = format!("a=T,f=24,s={w},v={h},c={columns},r={rows},i=1,p=1,q=2,C=1,");
        loop {
            let (piece, behind) = rest.split_at(rest.len().min(4096));
            let more = u8::from(!behind.is_empty());
            let _ = write!(out, "\x1b_G{head}m={more};{piece}\x1b\\");
            if more == 0 {
                return out;
            }
            head = "q=2,".into();
            rest = behind;
        }
    }

    fn iterm2(&self) -> String {
        let mut file = Vec::new();
        let size = (self.width as u32, self.height as u32);
        if png::write(&mut file, size, Colour::Rgb, false, &self.rgb).is_err() {
            return String::new();
        }
        let ((columns, rows), bytes) = (self.cells, file.len());
        let data = base64(&file);
        format!(
            "\x1b]1337;File=inline=1;size={bytes};width={columns};height={rows};preserveAspectRatio=0;\
             doNotMoveCursor=1:{data}\x07"
        )
    }

    /// With 216 colours, six of each primary.
    fn sixel(&self) -> String {
        let mut out = format!("\x1bP0;1q\"1;1;{};{}", self.width, self.height);
        let level = |v: u8| (usize::from(v) * 5 + 127) / 255;
        let colour_of = |x: usize, y: usize| {
            let at = 3 * (y * self.width + x);
            self.rgb.get(at..at + 3).map_or(0, |p| 36 * level(p[0]) + 6 * level(p[1]) + level(p[2]))
        };
        let mut known = [false; 216];
        for top in (0..self.height).step_by(6) {
            // For each colour of the band, which of the six pixels of a column have it.
            let mut columns: Vec<Option<Vec<u8>>> = vec![None; 216];
            for y in top..(top + 6).min(self.height) {
                for x in 0..self.width {
                    let bits = columns[colour_of(x, y)].get_or_insert_with(|| vec![0; self.width]);
                    bits[x] |= 1 << (y - top);
                }
            }
            for (colour, bits) in columns.iter().enumerate().filter_map(|(c, bits)| Some((c, bits.as_ref()?))) {
                if !std::mem::replace(&mut known[colour], true) {
                    let part = |n: usize| n % 6 * 20;
                    let _ = write!(out, "#{colour};2;{};{};{}", part(colour / 36), part(colour / 6), part(colour));
                }
                let _ = write!(out, "#{colour}");
                for run in bits.chunk_by(|a, b| a == b) {
                    let symbol = char::from(63 + run[0]);
                    match run.len() {
                        n @ 1..=3 => out.extend(std::iter::repeat_n(symbol, n)),
                        n => _ = write!(out, "!{n}{symbol}"),
                    }
                }
                out.push('$');
            }
            out.push('-');
        }
        out + "\x1b\\"
    }
}

/// Takes pictures off the screen, where that needs more than drawing over them.
pub(crate) const fn removal(how: Images) -> &'static str {
    if matches!(how, Images::Kitty) { "\x1b_Ga=d,d=I,i=1,q=2\x1b\\" } else { "" }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().chain([&0, &0]).take(3).fold(0, |w, &b| w << 8 | usize::from(b));
        for i in 0..4 {
            let digit = char::from(DIGITS[word >> (18 - 6 * i) & 63]);
            out.push(if i <= three.len() { digit } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As terminals answer, recorded or taken from their documents.
    #[test]
    fn a_terminal_says_what_it_can() {
        let kitty = b"\x1b_Gi=31;OK\x1b\\\x1bP>|kitty(0.35.2)\x1b\\\x1b[?62;c";
        let wezterm = b"\x1bP>|WezTerm 20240203-110809-5046fc22\x1b\\\x1b[?65;4;6;18;22c";
        let iterm2 = b"\x1bP>|iTerm2 3.5.0\x1b\\\x1b[?64;1;2;4;6;17;18;21;22c";
        let foot = b"\x1b_Gi=31;ENOTSUPPORTED\x1b\\\x1bP>|foot(1.17.2)\x1b\\\x1b[?62;4;22c";
        let xterm = b"\x1bP>|XTerm(379)\x1b\\\x1b[?64;1;2;6;9;15;16;17;18;21;22;28c";
        let vt100 = b"\x1b[?1;2c";
        let found = [&kitty[..], wezterm, iterm2, foot, xterm, vt100, b""].map(of_answer);
        use Images::{Blocks, Iterm2, Kitty, Sixel};
        assert_eq!(found, [Kitty, Iterm2, Iterm2, Sixel, Blocks, Blocks, Blocks]);
        assert!(is_whole(foot) && !is_whole(&foot[..foot.len() - 1]) && !is_whole(b"\x1b[?25h"));
        assert!(is_whole(b"\x1b[?25h\x1b[?6c"));
    }

    #[test]
    fn bytes_become_letters() {
        let of = |s: &str| base64(s.as_bytes());
        assert_eq!(["", "f", "fo", "foo", "foob"].map(of), ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }

    fn bitmap(width: usize, height: usize, rgb: Vec<u8>) -> Bitmap {
        Bitmap { width, height, rgb, cells: (4, 2), at: (10, 5) }
    }

    #[test]
    fn a_picture_is_written_for_each_protocol() {
        let red = bitmap(8, 7, [255, 0, 0].repeat(56));
        // Two bands of one colour.
        let sixel = red.drawn_by(Images::Sixel);
        assert_eq!(sixel, "\x1b7\x1b[6;11H\x1bP0;1q\"1;1;8;7#180;2;100;0;0#180!8~$-#180!8@$-\x1b\\\x1b8");
        let kitty = bitmap(40, 40, vec![7; 4800]).drawn_by(Images::Kitty);
        let parts: Vec<&str> = kitty.split("\x1b_G").skip(1).collect();
        assert!(parts[0].starts_with("a=T,f=24,s=40,v=40,c=4,r=2,") && parts[0].contains(",m=1;"), "{}", parts[0]);
        assert!(parts.len() == 2 && parts[1].starts_with("q=2,m=0;"), "{} parts", parts.len());
        let iterm2 = red.drawn_by(Images::Iterm2);
        assert!(iterm2.contains("]1337;File=inline=1;") && iterm2.contains("width=4;height=2;"), "{iterm2}");
        assert!(iterm2.contains(":iVBORw0KGgo"), "a PNG file: {iterm2}");
        assert_eq!(red.drawn_by(Images::Blocks), "");
    }
}
