//! What a Rust file declares, imports and mentions, module by module.

use crate::house::lexer::{Token, Word, tokens};
use std::collections::{BTreeMap, BTreeSet};

/// A path as written, from the module it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// A name that a `use` brings into a module; `*` for all names of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) name: String,
    pub(crate) from: Mention,
    /// It is `pub` to somebody.
    pub(crate) exported: bool,
}

/// A module: a file's, or one written within a file.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// From the crate's root, which is empty.
    pub(crate) path: Vec<String>,
    pub(crate) imports: Vec<Import>,
    /// Paths outside of `use`, of two names or more.
    pub(crate) mentions: Vec<Mention>,
    /// Items with a name.
    pub(crate) defined: BTreeSet<String>,
    /// Child modules that have a file of their own, each with the paths that its attributes give.
    pub(crate) files: BTreeMap<String, Vec<String>>,
    /// How often each name stands outside of `use`.
    pub(crate) names: BTreeMap<String, usize>,
}

/// The modules of a file whose own module is `path`; the first is that one. What is for tests alone is left out.
pub(crate) fn modules(path: &[String], source: &str) -> Vec<Module> {
    let tokens = tokens(source);
    let mut scan = Scan { tokens: &tokens, at: 0, paths: Vec::new(), modules: Vec::new() };
    scan.module(path.to_vec());
    scan.modules
}

struct Scan<'a> {
    tokens: &'a [Token],
    at: usize,
    /// Of the attributes before the next item.
    paths: Vec<String>,
    modules: Vec<Module>,
}

const ITEMS: [&str; 8] = ["fn", "struct", "enum", "union", "trait", "type", "const", "static"];

impl<'a> Scan<'a> {
    fn token(&self, ahead: usize) -> Option<&'a Token> {
        self.tokens.get(self.at + ahead)
    }

    fn is(&self, ahead: usize, mark: char) -> bool {
        self.token(ahead).is_some_and(|t| t.is(mark))
    }

    fn is_sep(&self, ahead: usize) -> bool {
        self.token(ahead).is_some_and(|t| t.word == Word::Sep)
    }

    fn name(&self, ahead: usize) -> Option<&str> {
        self.token(ahead)?.name()
    }

    /// Up to the brace that ends the module, or the end of the file.
    fn module(&mut self, path: Vec<String>) {
        let own = self.modules.len();
        self.modules.push(Module { path, ..Module::default() });
        let mut depth = 0_usize;
        let mut exported = false;
        while let Some(token) = self.token(0) {
            let was_exported = std::mem::take(&mut exported);
            if !matches!(&token.word, Word::Mark('#')) && !matches!(token.name(), Some("mod" | "pub")) {
                self.paths.clear();
            }
            match &token.word {
                Word::Mark('#') => self.attribute(),
                Word::Mark('{') => {
                    depth += 1;
                    self.at += 1;
                }
                Word::Mark('}') => {
                    self.at += 1;
                    if depth == 0 {
                        return;
                    }
                    depth -= 1;
                }
                Word::Name(name) => match name.as_str() {
                    "mod" if self.name(1).is_some() => self.child(own),
                    "pub" => {
                        self.at += 1;
                        self.group('(', ')');
                        exported = true;
                    }
                    "use" => self.import(own, was_exported),
                    "macro_rules" if self.is(1, '!') => {
                        self.define(own, 2, depth);
                        self.at += 2;
                    }
                    item if ITEMS.contains(&item) => {
                        self.define(own, 1, depth);
                        self.at += 1;
                    }
                    _ => self.mention(own),
                },
                _ => self.at += 1,
            }
        }
    }

    fn define(&mut self, own: usize, ahead: usize, depth: usize) {
        // `const fn` and the like: the next word counts.
        if let Some(name) = self.name(ahead).filter(|n| depth == 0 && !ITEMS.contains(n)) {
            let name = name.to_owned();
            self.modules[own].defined.insert(name);
        }
    }

    fn child(&mut self, own: usize) {
        let name = self.name(1).unwrap_or_default().to_owned();
        self.at += 2;
        if self.is(0, '{') {
            self.at += 1;
            let mut path = self.modules[own].path.clone();
            path.push(name);
            self.module(path);
        } else {
            self.modules[own].files.entry(name).or_default().append(&mut self.paths);
        }
    }

    /// Skips an attribute, and what follows it if that is for tests.
    fn attribute(&mut self) {
        let inner = self.is(1, '!');
        self.at += if inner { 2 } else { 1 };
        let start = self.at;
        self.group('[', ']');
        let tokens = self.tokens;
        let attribute = &tokens[start..self.at];
        if !inner && is_for_tests(attribute) {
            self.paths.clear();
            return self.skip_item();
        }
        self.paths.extend(attribute.iter().filter_map(|t| match &t.word {
            Word::Path(path) => Some(path.clone()),
            _ => None,
        }));
    }

    fn skip_item(&mut self) {
        while self.is(0, '#') {
            self.at += 1;
            self.group('[', ']');
        }
        let import = self.name(0) == Some("use") || (self.name(0) == Some("pub") && self.name(1) == Some("use"));
        while let Some(token) = self.token(0) {
            match token.word {
                Word::Mark(';') => {
                    self.at += 1;
                    return;
                }
                Word::Mark('(') => self.group('(', ')'),
                Word::Mark('[') => self.group('[', ']'),
                Word::Mark('{') => {
                    self.group('{', '}');
                    if !import {
                        return;
                    }
                }
                // The end of what it stands in: a field or an argument.
                Word::Mark('}' | ')') => return,
                _ => self.at += 1,
            }
        }
    }

    /// Skips a balanced group, if one begins here.
    fn group(&mut self, open: char, close: char) {
        if !self.is(0, open) {
            return;
        }
        let mut depth = 0_usize;
        while let Some(token) = self.token(0) {
            depth += usize::from(token.is(open));
            depth -= usize::from(token.is(close));
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    fn import(&mut self, own: usize, exported: bool) {
        self.at += 1;
        let mut found = Vec::new();
        self.tree(&mut Vec::new(), &mut found);
        self.modules[own].imports.extend(found.into_iter().map(|(name, from)| Import { name, from, exported }));
    }

    /// One branch of a `use`, up to the comma, brace or semicolon behind it.
    fn tree(&mut self, path: &mut Vec<String>, found: &mut Vec<(String, Mention)>) {
        let depth = path.len();
        let mut line = self.token(0).map_or(0, |t| t.line);
        let mut named = None;
        let mut grouped = false;
        while let Some(token) = self.token(0) {
            match &token.word {
                Word::Name(name) if name == "as" => {
                    named = self.name(1).map(str::to_owned);
                    self.at += 2;
                }
                Word::Name(name) => {
                    line = token.line;
                    path.push(name.clone());
                    self.at += 1;
                }
                Word::Mark('*') => {
                    named = Some("*".to_owned());
                    self.at += 1;
                }
                Word::Mark('{') => {
                    grouped = true;
                    self.at += 1;
                    while self.token(0).is_some() && !self.is(0, '}') {
                        self.tree(path, found);
                        if self.is(0, ',') {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                }
                Word::Mark(',' | '}' | ';') => break,
                _ => self.at += 1,
            }
        }
        if !grouped && (path.len() > depth || named.is_some()) {
            let mut path = path.clone();
            if path.len() > 1 && path.last().is_some_and(|l| l == "self") {
                path.pop();
            }
            let name = named.or_else(|| path.last().cloned()).unwrap_or_default();
            found.push((name, Mention { path, line }));
        }
        path.truncate(depth);
    }

    fn mention(&mut self, own: usize) {
        let Some(token) = self.token(0) else { return };
        let (line, mut path) = (token.line, Vec::new());
        let continues = self.at > 0 && self.tokens[self.at - 1].word == Word::Sep;
        while let Some(name) = self.name(0) {
            path.push(name.to_owned());
            self.at += 1;
            if !self.is_sep(0) || self.name(1).is_none() {
                break;
            }
            self.at += 1;
        }
        let module = &mut self.modules[own];
        if let Some(first) = path.first().filter(|_| !continues) {
            *module.names.entry(first.clone()).or_default() += 1;
            if path.len() > 1 {
                module.mentions.push(Mention { path, line });
            }
        }
    }
}

/// Whether an attribute is a `cfg` that holds in tests only: it has `test` outside of any `not`.
fn is_for_tests(attribute: &[Token]) -> bool {
    let mut words = attribute.iter().skip_while(|t| t.is('['));
    if words.next().and_then(Token::name) != Some("cfg") {
        return false;
    }
    let mut negated = false;
    for token in words {
        match token.name() {
            Some("not") => negated = true,
            Some("test" | "doctest") if !negated => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(source: &str) -> Vec<Module> {
        modules(&[], source)
    }

    fn paths(module: &Module) -> Vec<String> {
        module.mentions.iter().map(|m| m.path.join("::")).collect()
    }

    #[test]
    fn trees_of_imports_are_flattened() {
        let m = &scan("use crate::a::{self, B, c::{D as E, *}};\npub(crate) use super::x;\nuse y as z;")[0];
        let imports: Vec<_> =
            m.imports.iter().map(|i| (i.name.as_str(), i.from.path.join("::"), i.from.line, i.exported)).collect();
        let of = |name, path: &str, line, exported| (name, path.to_owned(), line, exported);
        assert_eq!(
            imports,
            [
                of("a", "crate::a", 1, false),
                of("B", "crate::a::B", 1, false),
                of("E", "crate::a::c::D", 1, false),
                of("*", "crate::a::c", 1, false),
                of("x", "super::x", 2, true),
                of("z", "y", 3, false),
            ]
        );
    }

    #[test]
    fn paths_in_code_are_found_and_methods_define_nothing() {
        let source = "const fn f() -> crate::a::B<super::c::D> { g::<e::F>(h::i, ::std::j::k) }\n\
                      impl X { fn method() {} }\nmacro_rules! m { () => { $crate::n::o } }";
        let m = &scan(source)[0];
        assert_eq!(paths(m), ["crate::a::B", "super::c::D", "e::F", "h::i", "crate::n::o"]);
        assert_eq!(m.defined.iter().map(String::as_str).collect::<Vec<_>>(), ["f", "m"]);
    }

    #[test]
    fn the_paths_of_modules_are_kept() {
        let source = "#[cfg_attr(a, path = \"b/mod.rs\")]\n#[cfg_attr(not(a), path = \"c.rs\")]\npub(crate) mod d;\n\
                      #[path = \"no\"]\nfn f() { let path = \"no\"; }\nmod e;";
        let m = &scan(source)[0];
        assert_eq!(m.files["d"], ["b/mod.rs", "c.rs"]);
        assert_eq!(m.files["e"], [""; 0]);
    }

    #[test]
    fn tests_are_left_out_and_inline_modules_are_modules() {
        let source = "mod a;\n#[cfg(test)]\nmod b;\n#[cfg(test)]\nmod tests { use super::x::Y; }\n\
                      #[cfg(all(test, unix))]\nuse crate::{c, d};\n#[cfg(not(test))]\nuse crate::e;\n\
                      mod inner { use super::f; mod deep { use super::g; } }\nuse h;";
        let all = scan(source);
        assert_eq!(all[0].files.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(all[0].imports.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["e", "h"]);
        assert_eq!(all.iter().map(|m| m.path.join("::")).collect::<Vec<_>>(), ["", "inner", "inner::deep"]);
        assert_eq!(all[2].imports[0].name, "g");
    }
}
