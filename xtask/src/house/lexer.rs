//! The words of a Rust file: names, `::` and single characters, without comments, numbers and lifetimes, and without
//! strings but those of `path = "..."`.

/// A word and its line, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) word: Word,
    pub(crate) line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Name(String),
    /// `::`
    Sep,
    Mark(char),
    /// What `path` is set to.
    Path(String),
}

impl Token {
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.word {
            Word::Name(name) => Some(name),
            _ => None,
        }
    }

    pub(crate) fn is(&self, mark: char) -> bool {
        self.word == Word::Mark(mark)
    }
}

pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: source.chars().collect(), at: 0, line: 1, found: Vec::new() };
    while lexer.at < lexer.rest.len() {
        lexer.step();
    }
    lexer.found
}

struct Lexer {
    rest: Vec<char>,
    at: usize,
    line: usize,
    found: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.rest.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn skip(&mut self, count: usize) {
        let end = (self.at + count).min(self.rest.len());
        self.line += self.rest[self.at..end].iter().filter(|&&c| c == '\n').count();
        self.at = end;
    }

    fn push(&mut self, word: Word) {
        self.found.push(Token { word, line: self.line });
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.skip_while(|c| c != '\n'),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(0),
            ('\'', _) => self.quote(),
            (':', ':') => {
                self.push(Word::Sep);
                self.skip(2);
            }
            (c, _) if c == '_' || c.is_alphabetic() => self.name(),
            (c, _) if c.is_ascii_digit() => self.skip_while(|c| c == '_' || c.is_alphanumeric()),
            (c, _) => {
                if !c.is_whitespace() {
                    self.push(Word::Mark(c));
                }
                self.skip(1);
            }
        }
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.at < self.rest.len() && wanted(self.peek(0)) {
            self.skip(1);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.rest.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => {
                    depth += 1;
                    self.skip(2);
                }
                ('*', '/') => {
                    depth -= 1;
                    self.skip(2);
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.skip(1),
            }
        }
    }

    /// A string with escapes, from its quotation mark on, or a raw one between that many `#`.
    fn string(&mut self, hashes: usize) {
        let raw = hashes > 0;
        self.skip(1);
        let (start, line) = (self.at, self.line);
        while self.at < self.rest.len() {
            match self.peek(0) {
                '\\' if !raw => self.skip(2),
                '"' if (1..=hashes).all(|i| self.peek(i) == '#') => {
                    if let [.., path, set] = self.found.as_slice()
                        && path.name() == Some("path")
                        && set.is('=')
                    {
                        let text = self.rest[start..self.at].iter().collect();
                        self.found.push(Token { word: Word::Path(text), line });
                    }
                    return self.skip(1 + hashes);
                }
                _ => self.skip(1),
            }
        }
    }

    /// A character or a lifetime.
    fn quote(&mut self) {
        if self.peek(1) == '\\' {
            self.skip(3);
            self.skip_while(|c| c != '\'');
            self.skip(1);
        } else if self.peek(2) == '\'' {
            self.skip(3);
        } else {
            self.skip(1);
            self.skip_while(|c| c == '_' || c.is_alphanumeric());
        }
    }

    /// A name, or a string with letters before its quotation mark.
    fn name(&mut self) {
        let start = self.at;
        let line = self.line;
        self.skip_while(|c| c == '_' || c.is_alphanumeric());
        let name: String = self.rest[start..self.at].iter().collect();
        let raw = matches!(name.as_str(), "r" | "br" | "cr");
        if matches!(name.as_str(), "b" | "c") && self.peek(0) == '"' {
            return self.string(0);
        }
        if name == "b" && self.peek(0) == '\'' {
            return self.quote();
        }
        if raw {
            let hashes = (0..).take_while(|&i| self.peek(i) == '#').count();
            if self.peek(hashes) == '"' {
                self.skip(hashes);
                return if hashes == 0 { self.raw_string() } else { self.string(hashes) };
            }
            if name == "r" && hashes == 1 {
                self.skip(1);
                return self.name();
            }
        }
        self.found.push(Token { word: Word::Name(name), line });
    }

    /// A raw string without `#`.
    fn raw_string(&mut self) {
        self.skip(1);
        self.skip_while(|c| c != '"');
        self.skip(1);
    }
}

#[cfg(test)]
mod tests {
    use super::tokens;

    fn names(source: &str) -> Vec<(String, usize)> {
        tokens(source).iter().filter_map(|t| Some((t.name()?.to_owned(), t.line))).collect()
    }

    #[test]
    fn what_is_no_code_is_left_out() {
        let source = "a // b\n/* c /* d */ e */ f \"g \\\" h\" r#\"i \" j\"# r\"k\\\" l b\"m\" 'n' '\\'' '\\u{6f}' p::<'q> \
                      1_u32 r#type b'\"' s";
        let found = names(source);
        let only: Vec<&str> = found.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(only, ["a", "f", "l", "p", "type", "s"]);
        assert_eq!(found[1].1, 2);
    }

    #[test]
    fn lines_are_counted_through_strings() {
        assert_eq!(names("\"\n\n\" a\n'\n' b"), [("a".to_owned(), 3), ("b".to_owned(), 5)]);
    }
}
