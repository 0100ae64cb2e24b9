//! Rules about a file's items: documentation, names and lengths.

use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::Finding;
use crate::tree::Source;

/// The longest function, in lines.
const MAX_FUNCTION_LINES: usize = 70;

/// Participles that no ending gives away.
const PARTICIPLES: [&str; 30] = [
    "begun", "born", "bound", "built", "chosen", "done", "drawn", "fed", "found", "given", "gone", "heard", "held",
    "kept", "known", "lost", "made", "meant", "met", "said", "saw", "seen", "sent", "shown", "taken", "told", "woken",
    "worn", "written", "left",
];
/// Words that end like participles and are none, or are verbs.
const OTHERS: [&str; 12] =
    ["embed", "exceed", "feed", "need", "proceed", "red", "seed", "shed", "speed", "spread", "succeed", "thread"];

/// A file without a first line that says what it is for.
#[must_use]
pub fn missing_docs(source: &Source) -> Vec<Finding> {
    let is_unit_test = source.path.ends_with("/tests.rs");
    if is_unit_test || source.text.trim_start().starts_with("//!") || source.text.starts_with("#![no_main]") {
        return Vec::new();
    }
    vec![Finding::new(&source.path, 1, "no module documentation: begin with `//!` and what the file is for")]
}

/// `mod.rs`, whose name says nothing.
#[must_use]
pub fn unnamed_modules(source: &Source) -> Vec<Finding> {
    if !source.path.ends_with("/mod.rs") {
        return Vec::new();
    }
    vec![Finding::new(&source.path, 1, "name it after the module: foo.rs beside foo/")]
}

/// A file's items, as far as the rules need them.
#[derive(Debug, Default)]
pub struct Items {
    /// Functions, with their first and last lines.
    functions: Vec<(String, usize, usize)>,
    /// Types, with their lines.
    types: Vec<(String, usize)>,
}

impl Items {
    /// Reads a file. `None`: it is no Rust that this parser knows, which the compiler reports better.
    #[must_use]
    pub fn of(source: &Source) -> Option<Self> {
        let file = syn::parse_file(&source.text).ok()?;
        let mut items = Self::default();
        items.visit_file(&file);
        Some(items)
    }

    /// Its documentation does not count.
    fn add_function(&mut self, signature: &syn::Signature, item: &impl Spanned) {
        let (first, last) = (signature.span().start().line, item.span().end().line);
        self.functions.push((signature.ident.to_string(), first, last));
    }

    /// Whether a function of this name is there.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        self.functions.iter().any(|(function, ..)| function == name)
    }
}

impl<'a> Visit<'a> for Items {
    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        // Unit tests may call their helpers as they like, as long as they are short.
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        self.add_function(&function.sig, function);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        self.add_function(&function.sig, function);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'a syn::TraitItemFn) {
        self.add_function(&function.sig, function);
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
        self.types.push((item.ident.to_string(), item.ident.span().start().line));
    }

    fn visit_item_enum(&mut self, item: &'a syn::ItemEnum) {
        self.types.push((item.ident.to_string(), item.ident.span().start().line));
    }

    fn visit_item_trait(&mut self, item: &'a syn::ItemTrait) {
        self.types.push((item.ident.to_string(), item.ident.span().start().line));
        visit::visit_item_trait(self, item);
    }
}

/// Functions that are too long.
#[must_use]
pub fn long_functions(source: &Source, items: &Items) -> Vec<Finding> {
    let length = |(_, first, last): &&(String, usize, usize)| last.saturating_sub(*first) + 1;
    let long = items.functions.iter().filter(|function| length(function) > MAX_FUNCTION_LINES);
    long.map(|function| {
        let message = format!("{} has {} lines, at most {MAX_FUNCTION_LINES}", function.0, length(&function));
        Finding::new(&source.path, function.1, message)
    })
    .collect()
}

/// Functions whose name is one participle: it does not say what they do, or whether they do anything.
#[must_use]
pub fn participles(source: &Source, items: &Items) -> Vec<Finding> {
    let named = items.functions.iter().filter(|(name, ..)| is_participle(name));
    named
        .map(|(name, first, _)| {
            let message =
                format!("fn {name}: a verb and its object, `on_...` for an event, or `is_...` for a question");
            Finding::new(&source.path, *first, message)
        })
        .collect()
}

/// Whether a name is one participle.
#[must_use]
pub fn is_participle(name: &str) -> bool {
    let has_ending = name.ends_with("ed") && name.len() > 3 && !OTHERS.contains(&name);
    !name.contains('_') && (has_ending || PARTICIPLES.contains(&name))
}

/// Types of one name in one package, outside of its tests. Programs in `src/bin` are crates of their own.
#[must_use]
pub fn same_types(files: &[(&Source, &Items)]) -> Vec<Finding> {
    let mut places: BTreeMap<(String, &str), Vec<(&Source, usize)>> = BTreeMap::new();
    let is_of_the_crate =
        |source: &Source| source.path.contains("/src/") && !source.path.contains("/src/bin/") && !source.is_unit_test();
    for (source, items) in files.iter().filter(|(source, _)| is_of_the_crate(source)) {
        for (name, line) in &items.types {
            places.entry((source.package(), name)).or_default().push((source, *line));
        }
    }
    let mut findings = Vec::new();
    for ((_, name), places) in places {
        let Some(((first, first_line), others)) = places.split_first() else { continue };
        for (source, line) in others {
            let message = format!("{name} is another type in {}:{first_line}: one name, one meaning", first.path);
            findings.push(Finding::new(&source.path, *line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_file_without_documentation_is_found() {
        assert_eq!(missing_docs(&source("host/core/src/a.rs", "use std::io;")).len(), 1);
        assert!(missing_docs(&source("host/core/src/a.rs", "//! A.\n")).is_empty());
        assert!(missing_docs(&source("host/core/src/a/tests.rs", "use super::*;")).is_empty());
        assert_eq!(unnamed_modules(&source("host/core/src/a/mod.rs", "")).len(), 1);
    }

    #[test]
    fn participles_are_found_and_verbs_are_not() {
        let text =
            "fn told() {}\nimpl A { fn tried(&self) {} fn feed(&self) {} fn is_closed(&self) {} fn read(&self) {} }\n";
        let file = source("a.rs", text);
        let found: Vec<usize> = participles(&file, &Items::of(&file).unwrap()).iter().map(|found| found.line).collect();
        assert_eq!(found, [1, 2]);
        let helper = source("a.rs", "#[cfg(test)]\nmod tests { fn told() {} }");
        assert!(participles(&helper, &Items::of(&helper).unwrap()).is_empty());
    }

    #[test]
    fn a_function_of_more_than_70_lines_is_found() {
        let of = |lines: usize| source("a.rs", &format!("fn a() {{\n{}}}\n", "    b();\n".repeat(lines - 2)));
        let found = |file: &Source| long_functions(file, &Items::of(file).unwrap()).len();
        assert_eq!((found(&of(70)), found(&of(71))), (0, 1));
    }

    #[test]
    fn two_types_of_one_name_are_found_in_one_package_alone() {
        let files = [
            source("host/core/src/a.rs", "struct State;"),
            source("host/core/src/b.rs", "enum State {}"),
            source("host/core/src/b/tests.rs", "struct State;"),
            source("host/cli/src/a.rs", "trait State {}"),
        ];
        let items: Vec<Items> = files.iter().map(|file| Items::of(file).unwrap()).collect();
        let both: Vec<_> = files.iter().zip(&items).collect();
        let found: Vec<String> = same_types(&both).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            ["host/core/src/b.rs:1: State is another type in host/core/src/a.rs:1: one name, one meaning"]
        );
    }
}
