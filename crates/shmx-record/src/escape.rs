//! Text that other processes wrote, made harmless for terminals, logs and eyes.

use std::borrow::Cow;

/// Whether a character could steer a terminal or make text look like other text: controls (C0, C1, DEL), line and
/// paragraph separators, and what changes the direction of writing.
#[must_use]
pub const fn is_harmful(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// The text with what is harmful as `\u{1b}` and the like.
#[must_use]
pub fn safe(text: &str) -> Cow<'_, str> {
    if !text.contains(is_harmful) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_harmful(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out.into()
}

/// An error and its causes on one line, made harmless. One that its parent already tells is not told twice.
///
/// ```
/// use shmx_record::escape::one_line;
///
/// let texts = ["cannot list", "no memory: gone", "gone"].map(String::from);
/// assert_eq!(one_line(texts), "cannot list: no memory: gone");
/// ```
#[must_use]
pub fn one_line(texts: impl IntoIterator<Item = String>) -> String {
    let mut line = String::new();
    for text in texts {
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    safe(&line.replace('\n', " ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_line_and_steers_nothing() {
        let texts = ["cannot list\u{1b}[2J", "no\nmemory: gone", "gone", ""].map(String::from);
        assert_eq!(one_line(texts), "cannot list\\u{1b}[2J: no memory: gone");
    }

    #[test]
    fn what_steers_a_terminal_is_shown_and_not_sent() {
        assert_eq!(safe("größe/\u{1b}[2J\n"), "größe/\\u{1b}[2J\\n");
        assert_eq!(
            safe("\u{9b}2J \u{202e}abc\u{2066}\u{7f}\u{feff}"),
            "\\u{9b}2J \\u{202e}abc\\u{2066}\\u{7f}\\u{feff}"
        );
        assert!(matches!(safe("größe 한국어"), Cow::Borrowed(_)));
    }
}
