//! Files of a package that import each other in a circle.
//!
//! A file imports another if it names something in it by a path that begins with `crate`, `self` or `super`. A module
//! that declares another (`mod x;`) does not import it by that alone. Unit tests are not looked at; packages of tests
//! are.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use crate::Finding;
use crate::tree::Source;

/// The files of one package, by their modules' paths below the crate's root: `["pipeline", "run"]`.
type Modules = BTreeMap<Vec<String>, usize>;

/// Circles in the packages of these files: one finding for each, in its first file, which names them all.
#[must_use]
pub fn circles(sources: &[Source]) -> Vec<Finding> {
    let mut packages: BTreeMap<String, Vec<&Source>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_unit_test() && source.path.contains("/src/")) {
        packages.entry(source.package()).or_default().push(source);
    }
    packages.values().flat_map(|files| circles_in(files)).collect()
}

fn circles_in(files: &[&Source]) -> Vec<Finding> {
    let modules: Modules = files.iter().enumerate().map(|(index, file)| (module_of(&file.path), index)).collect();
    let imports: Vec<BTreeSet<usize>> = files.iter().map(|file| imports(file, &modules)).collect();
    let mut findings = Vec::new();
    for circle in strongly_connected(&imports) {
        let names: Vec<&str> = circle.iter().filter_map(|index| Some(files.get(*index)?.path.as_str())).collect();
        if let [first, _, ..] = names.as_slice() {
            let message = format!("{} files import each other in a circle: {}", names.len(), names.join(", "));
            findings.push(Finding::new(first, 1, message));
        }
    }
    findings
}

/// The module that a file holds: `host/core/src/pipeline/run.rs` holds `pipeline::run`.
fn module_of(path: &str) -> Vec<String> {
    let (_, below) = path.split_once("/src/").unwrap_or_default();
    let below = below.trim_end_matches(".rs");
    if matches!(below, "lib" | "main") { Vec::new() } else { below.split('/').map(str::to_owned).collect() }
}

/// The files that a file imports.
fn imports(file: &Source, modules: &Modules) -> BTreeSet<usize> {
    let own = module_of(&file.path);
    let Ok(parsed) = syn::parse_file(&file.text) else { return BTreeSet::new() };
    let mut paths = Paths { own: own.clone(), found: Vec::new() };
    paths.visit_file(&parsed);
    let itself = modules.get(&own).copied();
    paths.found.iter().filter_map(|path| file_of(path, modules)).filter(|found| Some(*found) != itself).collect()
}

/// The file that holds the item of this path: the longest beginning of the path that is a module.
fn file_of(path: &[String], modules: &Modules) -> Option<usize> {
    (0..=path.len()).rev().find_map(|length| modules.get(path.get(..length)?).copied())
}

/// The paths that a file names, from the crate's root.
struct Paths {
    own: Vec<String>,
    found: Vec<Vec<String>>,
}

impl Paths {
    /// A path as it is written, from the crate's root; none: it leads out of the crate, or to what is in scope.
    fn absolute(&self, written: &[String]) -> Option<Vec<String>> {
        let mut path = match written.first()?.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => self.own.clone(),
            _ => return None,
        };
        for segment in written {
            match segment.as_str() {
                "crate" | "self" => {}
                "super" => drop(path.pop()),
                name => path.push(name.to_owned()),
            }
        }
        Some(path)
    }

    fn add_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name.to_string()]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => self.add_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.found.extend(self.absolute(&with(&name.ident))),
            syn::UseTree::Rename(rename) => self.found.extend(self.absolute(&with(&rename.ident))),
            syn::UseTree::Glob(_) => self.found.extend(self.absolute(before)),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(before, tree)),
        }
    }
}

impl<'a> Visit<'a> for Paths {
    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        // A re-export is the interface of the modules below, not a use of them.
        if matches!(item.vis, syn::Visibility::Inherited) {
            self.add_tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let written: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if written.len() > 1 {
            self.found.extend(self.absolute(&written));
        }
        visit::visit_path(self, path);
    }
}

/// The groups of nodes that reach each other, each sorted. Simple rather than fast: a package has a few hundred files.
fn strongly_connected(edges: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let reach: Vec<BTreeSet<usize>> = (0..edges.len()).map(|start| reachable(start, edges)).collect();
    let mut groups = Vec::new();
    let mut seen = BTreeSet::new();
    for node in 0..edges.len() {
        if seen.contains(&node) {
            continue;
        }
        let others = reach.get(node).into_iter().flatten();
        let group: BTreeSet<usize> = others
            .copied()
            .filter(|other| reach.get(*other).is_some_and(|back| back.contains(&node)))
            .chain([node])
            .collect();
        seen.extend(group.iter().copied());
        groups.push(group.into_iter().collect());
    }
    groups
}

fn reachable(start: usize, edges: &[BTreeSet<usize>]) -> BTreeSet<usize> {
    let (mut found, mut next) = (BTreeSet::new(), vec![start]);
    while let Some(node) = next.pop() {
        next.extend(edges.get(node).into_iter().flatten().filter(|to| found.insert(**to)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: format!("host/x/src/{path}"), text: text.to_owned() }
    }

    #[test]
    fn files_that_import_each_other_are_found() {
        let files = [
            source("lib.rs", "mod a; mod b; mod c; pub use a::A;"),
            source("a.rs", "use crate::b::B; pub struct A;"),
            source("b.rs", "use super::c; pub struct B;"),
            source("c.rs", "fn c() { crate::a::A; }"),
            source("a/tests.rs", "use crate::c;"),
        ];
        let found: Vec<String> = circles(&files).iter().map(ToString::to_string).collect();
        let expected = "host/x/src/a.rs:1: 3 files import each other in a circle: host/x/src/a.rs, host/x/src/b.rs, host/x/src/c.rs";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_module_and_its_parts_are_a_circle_only_if_both_import() {
        let parent = |text: &str| source("a.rs", text);
        let child = source("a/b.rs", "use super::Settings;");
        assert!(circles(&[parent("mod b; pub struct Settings; pub use b::B;"), child.clone()]).is_empty());
        assert_eq!(circles(&[parent("mod b; use self::b::B; pub struct Settings;"), child]).len(), 1);
    }
}
