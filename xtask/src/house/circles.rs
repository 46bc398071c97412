//! Files of one crate that import each other in a circle.
//!
//! A parent that declares a child, or passes its items on by `pub use`, does not import it. A name is followed to the
//! file that defines it, through any module that passes it on.

use crate::house::module::{Import, Mention, Module, modules};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Reads a file of the crate; none if there is no such file.
type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// Files by number, and the imports from one to another: what is written, and where.
struct Graph {
    files: Vec<PathBuf>,
    edges: BTreeMap<(usize, usize), Vec<(usize, String)>>,
}

/// The circles among the files below `root`, the crate's first file, each told by the imports that make it; and modules
/// whose file is not found, since what they import is not known.
pub(crate) fn circles(root: &Path, read: Read<'_>) -> Vec<String> {
    let krate = Crate::read(root, read);
    let graph = krate.graph();
    let lost = krate.lost.iter().map(|module| format!("{}: no file of the module `{module}` is found", root.display()));
    lost.chain(graph.knots().iter().map(|circle| graph.report(circle))).collect()
}

/// Imports shown between two files.
const SHOWN: usize = 3;

struct Crate {
    files: Vec<PathBuf>,
    /// By path. Modules of one path for several platforms are one.
    modules: BTreeMap<Vec<String>, Vec<(usize, Module)>>,
    /// Declared, without a file.
    lost: Vec<String>,
}

impl Crate {
    fn read(root: &Path, read: Read<'_>) -> Self {
        let mut krate = Self { files: Vec::new(), modules: BTreeMap::new(), lost: Vec::new() };
        // Each with the folder of its children.
        let mut waiting = vec![(Vec::new(), root.to_owned(), root.parent().unwrap_or(root).to_owned())];
        while let Some((path, file, folder)) = waiting.pop() {
            let Some(source) = read(&file) else { continue };
            let number = krate.files.len();
            krate.files.push(file.clone());
            for module in modules(&path, &source) {
                // A module within the file has its children in a folder of its name.
                let inner: PathBuf = module.path[path.len()..].iter().collect();
                for (name, paths) in &module.files {
                    let mut child = module.path.clone();
                    child.push(name.clone());
                    let children = folder.join(&inner).join(name);
                    let beside = |path: &String| {
                        let file = file.parent().unwrap_or(&file).join(path);
                        let folder = file.parent().unwrap_or(&file).to_owned();
                        (file, folder)
                    };
                    let places: Vec<_> = if paths.is_empty() {
                        vec![(children.with_extension("rs"), children.clone()), (children.join("mod.rs"), children)]
                    } else {
                        paths.iter().map(beside).collect()
                    };
                    let found: Vec<_> = places.into_iter().filter(|(file, _)| read(file).is_some()).collect();
                    if found.is_empty() {
                        krate.lost.push(child.join("::"));
                    }
                    waiting.extend(found.into_iter().map(|(file, folder)| (child.clone(), file, folder)));
                }
                krate.modules.entry(module.path.clone()).or_default().push((number, module));
            }
        }
        krate
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph { files: self.files.clone(), edges: BTreeMap::new() };
        for (file, module) in self.modules.values().flatten() {
            for (mention, counts) in module.all_mentions() {
                for target in self.targets(&module.path, &mention.path, &mut BTreeSet::new()) {
                    if target.file != *file && counts.holds(module, &target) {
                        let imports = graph.edges.entry((*file, target.file)).or_default();
                        let said = (mention.line, mention.path.join("::"));
                        if !imports.contains(&said) {
                            imports.push(said);
                        }
                    }
                }
            }
        }
        graph
    }

    /// Where a path that stands in `within` leads; nowhere if it is not one of this crate.
    fn targets(&self, within: &[String], path: &[String], seen: &mut BTreeSet<Vec<String>>) -> Vec<Target> {
        let mut at = within.to_vec();
        let mut rest = path;
        let mut absolute = false;
        while let [first, tail @ ..] = rest {
            match first.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => {
                    at.pop();
                }
                _ => break,
            }
            absolute = true;
            rest = tail;
        }
        if !absolute {
            let known = |name: &String| self.child(&at, name).is_some() || !self.bindings(&at, name).is_empty();
            if !rest.first().is_some_and(known) {
                return Vec::new();
            }
        }
        self.walk(at, rest, seen)
    }

    fn walk(&self, mut at: Vec<String>, mut rest: &[String], seen: &mut BTreeSet<Vec<String>>) -> Vec<Target> {
        while let [name, tail @ ..] = rest {
            if let Some(child) = self.child(&at, name) {
                at = child;
                rest = tail;
                continue;
            }
            let asked: Vec<String> = at.iter().chain([name]).cloned().collect();
            let defined = self.of(&at).any(|m| m.defined.contains(name));
            if !defined && seen.insert(asked) {
                let mut found = Vec::new();
                for import in self.bindings(&at, name) {
                    let path: Vec<String> = import.from.path.iter().chain(tail).cloned().collect();
                    found.extend(self.targets(&at, &path, seen));
                }
                if found.is_empty() {
                    found.extend(self.through_globs(&at, rest, seen));
                }
                // What comes from another crate is in no file of this one.
                if !found.is_empty() || !self.bindings(&at, name).is_empty() {
                    return found;
                }
            }
            return self.here(&at, false);
        }
        self.here(&at, true)
    }

    fn through_globs(&self, at: &[String], rest: &[String], seen: &mut BTreeSet<Vec<String>>) -> Vec<Target> {
        let Some(name) = rest.first() else { return Vec::new() };
        let globs: Vec<&Import> = self.of(at).flat_map(|m| &m.imports).filter(|i| i.name == "*").collect();
        let mut found = Vec::new();
        for glob in globs {
            for target in self.targets(at, &glob.from.path, seen) {
                let has = |m: &Module| m.defined.contains(name) || m.files.contains_key(name);
                let known = self.of(&target.module).any(has) || !self.bindings(&target.module, name).is_empty();
                if target.is_module && known {
                    found.extend(self.walk(target.module, rest, seen));
                }
            }
        }
        found
    }

    fn of<'a>(&'a self, path: &[String]) -> impl Iterator<Item = &'a Module> {
        self.modules.get(path).into_iter().flatten().map(|(_, m)| m)
    }

    fn child(&self, of: &[String], name: &str) -> Option<Vec<String>> {
        let path: Vec<String> = of.iter().map(String::as_str).chain([name]).map(str::to_owned).collect();
        self.modules.contains_key(&path).then_some(path)
    }

    fn bindings<'a>(&'a self, of: &[String], name: &'a str) -> Vec<&'a Import> {
        // `use super::x as x` binds the name that it looks up elsewhere; a path that is only its own name does not.
        let imports = self.of(of).flat_map(|m| &m.imports);
        imports.filter(|i| i.name == name && i.from.path != [name.to_owned()]).collect()
    }

    fn here(&self, module: &[String], is_module: bool) -> Vec<Target> {
        let files = self.modules.get(module).into_iter().flatten().map(|(file, _)| *file);
        files.map(|file| Target { file, module: module.to_vec(), is_module }).collect()
    }
}

#[derive(Clone, Debug)]
struct Target {
    file: usize,
    /// The module it is in, or the module itself.
    module: Vec<String>,
    is_module: bool,
}

/// Whether a mention makes its file depend on what it names.
#[derive(Clone, Copy)]
enum Counts {
    Always,
    /// A `use` that passes a name on: if it comes from elsewhere than a descendant, or is used here as well.
    PassedOn {
        used: bool,
    },
    /// A `use` whose name stands in front of other paths here, which count instead, if what it names is a module.
    UnlessModule,
}

impl Counts {
    fn holds(self, module: &Module, target: &Target) -> bool {
        match self {
            Self::Always => true,
            Self::PassedOn { used } => used || !target.module.starts_with(&module.path),
            Self::UnlessModule => !target.is_module,
        }
    }
}

impl Module {
    fn all_mentions(&self) -> impl Iterator<Item = (&Mention, Counts)> {
        let imports = self.imports.iter().map(|i| {
            let used = self.names.contains_key(&i.name);
            let leads = self.mentions.iter().any(|m| m.path[0] == i.name);
            let counts = match (i.exported, leads) {
                (true, _) => Counts::PassedOn { used },
                (false, true) => Counts::UnlessModule,
                (false, false) => Counts::Always,
            };
            (&i.from, counts)
        });
        imports.chain(self.mentions.iter().map(|m| (m, Counts::Always)))
    }
}

impl Graph {
    fn report(&self, circle: &BTreeSet<usize>) -> String {
        let mut lines = vec![format!("{} files import each other in a circle:", circle.len())];
        for (&(from, to), imports) in &self.edges {
            if circle.contains(&from) && circle.contains(&to) {
                let shown: Vec<String> =
                    imports.iter().take(SHOWN).map(|(line, path)| format!("{path} (line {line})")).collect();
                let more = match imports.len().saturating_sub(SHOWN) {
                    0 => String::new(),
                    n => format!(" and {n} more"),
                };
                let [from, to] = [from, to].map(|f| self.files[f].display());
                lines.push(format!("    {from} from {to}: {}{more}", shown.join(", ")));
            }
        }
        lines.join("\n")
    }

    /// Files that reach each other, in sets of two or more.
    fn knots(&self) -> Vec<BTreeSet<usize>> {
        let reach: Vec<BTreeSet<usize>> = (0..self.files.len()).map(|f| self.reach(f)).collect();
        let mut knots: Vec<BTreeSet<usize>> = Vec::new();
        for file in 0..self.files.len() {
            let knot: BTreeSet<usize> =
                reach[file].iter().copied().filter(|&other| reach[other].contains(&file)).collect();
            if knot.len() > 1 && !knots.contains(&knot) {
                knots.push(knot);
            }
        }
        knots
    }

    fn reach(&self, from: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![from];
        while let Some(file) = waiting.pop() {
            for &(_, to) in self.edges.range((file, 0)..(file + 1, 0)).map(|(edge, _)| edge) {
                if found.insert(to) {
                    waiting.push(to);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::circles;
    use std::path::Path;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let read = |path: &Path| files.iter().find(|(p, _)| Path::new(p) == path).map(|(_, s)| (*s).to_owned());
        circles(Path::new("lib.rs"), &read)
    }

    #[test]
    fn a_parent_may_declare_and_pass_on_its_children() {
        let none: Vec<String> = Vec::new();
        let a = "use super::shared; use crate::Error; pub struct A;";
        let files = [
            ("lib.rs", "mod error; mod a; pub mod shared; pub use a::A; pub use error::Error;"),
            ("error.rs", "pub struct Error;"),
            ("a.rs", a),
            ("shared.rs", "use crate::Error;"),
        ];
        assert_eq!(found(&files), none);
        // Used by the parent itself, the child's item is an import, and an item of the parent in the child makes it a
        // circle.
        let files = [("lib.rs", "mod a; pub use a::A; pub struct B(A);"), ("a.rs", "use super::B;")];
        assert_eq!(
            found(&files),
            [concat!(
                "2 files import each other in a circle:\n",
                "    lib.rs from a.rs: a::A (line 1)\n",
                "    a.rs from lib.rs: super::B (line 1)"
            )]
        );
    }

    #[test]
    fn circles_of_imports_and_paths_are_found() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::{self, B};\nfn f() { b::g() }"),
            ("b/mod.rs", "mod deep;\npub fn g() { deep::h() }"),
            ("b/deep.rs", "pub fn h() -> crate::c::C { todo!() }"),
            ("c.rs", "use crate::a;\nfn i() { a::f() }"),
        ];
        let report = found(&files);
        assert_eq!(report.len(), 1, "{report:?}");
        for line in [
            "a.rs from b/mod.rs: crate::b::B (line 1), b::g (line 2)",
            "deep.rs: deep::h",
            "c.rs: crate::c::C",
            "a.rs: a::f (line 2)",
        ] {
            assert!(report[0].contains(line), "{line} in {report:?}");
        }
        assert!(report[0].starts_with("4 files"), "{report:?}");
    }

    #[test]
    fn names_are_followed_to_the_file_that_defines_them() {
        // `b` takes `A` through the root, which has it from `a`; the root itself imports nothing of `b`'s.
        let files = [
            ("lib.rs", "mod a; mod b; mod c; pub use a::*; use b as sys; pub use c::C; fn f() { sys::g() }"),
            ("a.rs", "pub struct A;"),
            ("b.rs", "use crate::A; pub fn g(c: crate::C) {}"),
            ("c.rs", "pub struct C(crate::A);"),
        ];
        assert!(found(&files).is_empty(), "{:?}", found(&files));
        let files = [
            ("lib.rs", "mod a; mod b; pub use a::*; pub use b::B;"),
            ("a.rs", "pub struct A; fn f(_: crate::B) {}"),
            ("b.rs", "use super::A; pub struct B;"),
        ];
        assert_eq!(found(&files).len(), 1);
    }

    #[test]
    fn modules_are_followed_to_the_file_that_an_attribute_names() {
        let files = [
            (
                "lib.rs",
                "#[cfg_attr(x, path = \"x/mod.rs\")] #[cfg_attr(not(x), path = \"y.rs\")] mod m; pub struct A;\n\
                        fn f() { m::g() }",
            ),
            ("x/mod.rs", "mod deep; pub fn g() {}"),
            ("x/deep.rs", "use crate::A;"),
            ("y.rs", "use super::A; pub fn g() {}"),
        ];
        let report = found(&files);
        assert!(report.len() == 1 && report[0].contains("y.rs from lib.rs: super::A"), "{report:?}");
        assert!(!report[0].contains("deep"), "{report:?}");
        assert_eq!(found(&[("lib.rs", "mod a;")]), ["lib.rs: no file of the module `a` is found"]);
    }

    #[test]
    fn what_is_for_tests_or_of_other_crates_makes_no_circle() {
        let files = [
            ("lib.rs", "mod a; use a::A; pub struct B; pub use std::sync::Arc;"),
            ("a.rs", "use crate::Arc; pub struct A;\n#[cfg(test)]\nmod tests { use super::super::B; }"),
        ];
        assert!(found(&files).is_empty(), "{:?}", found(&files));
    }
}
