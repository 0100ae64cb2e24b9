//! Compares the guide's code with the tested code.

use damper_core::manifest::{Manifest, reference};

use super::blocks::{Block, blocks, replace_blocks, with_section};
use super::{check_guide, guide, root};
use crate::local_setup::{LocalSetup, text};

/// The manifest to which a part is added.
const MINIMAL: &str = "name = \"part\"\nversion = \"0.1.0\"\n";
const HOSTS: &str = "[egress]\nhosts = [\"api.example.org\"]\n";

/// A recipe's file, from its first `use` or import to its tests.
fn recipe(name: &str) -> String {
    let (folder, words) = if name.ends_with(".rs") {
        ("docs/recipes/src", &["use "][..])
    } else {
        ("docs/recipes", &["import ", "from "][..])
    };
    let path = root().join(folder).join(name);
    let file = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let code = file.split("#[cfg(test)]").next().unwrap();
    let begin = code.lines().position(|line| words.iter().any(|word| line.starts_with(word))).unwrap();
    let lines: Vec<&str> = code.trim_end().lines().skip(begin).collect();
    lines.join("\n") + "\n"
}

#[test]
fn the_guide_s_recipes_and_reference_are_the_tested_ones() {
    let with_recipes = replace_blocks(&guide(), |block| block.label_value("recipe").map(recipe));
    check_guide(&with_section(&with_recipes, "manifest reference", &reference::markdown()));
}

#[test]
fn every_recipe_is_in_the_guide() {
    let shown: Vec<String> =
        blocks(&guide()).iter().filter_map(|block| block.label_value("recipe").map(str::to_owned)).collect();
    for (folder, extension, prefix) in [("src", "rs", ""), ("js", "js", "js/"), ("python", "py", "python/")] {
        for entry in std::fs::read_dir(root().join("docs/recipes").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|found| found == extension) {
                let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
                assert!(name == "lib.rs" || shown.contains(&name), "{name} is not shown");
            }
        }
    }
}

/// A block that no test looks at could be wrong.
#[test]
fn every_block_is_of_a_kind_that_is_tested() {
    for block in blocks(&guide()) {
        let is_known = match block.language.as_str() {
            "sh" => block.label.is_none(),
            "toml" => ["file", "manifest", "damper.toml"].iter().any(|word| has_label(&block, word)),
            "rust" => ["file", "recipe"].iter().any(|word| has_label(&block, word)),
            "js" | "python" => has_label(&block, "recipe"),
            _ => false,
        };
        assert!(is_known, "the block at line {} has no test: {block:?}", block.line);
    }
}

fn has_label(block: &Block, word: &str) -> bool {
    block.label.as_deref() == Some(word) || block.label_value(word).is_some()
}

#[test]
fn parts_of_manifests_are_manifests() {
    let parts: Vec<Block> = blocks(&guide()).into_iter().filter(|block| has_label(block, "manifest")).collect();
    assert!(!parts.is_empty());
    for part in parts {
        let hosts = if part.text.contains("[egress]") { "" } else { HOSTS };
        // Keys before the first table belong to the top.
        let (top, tables) =
            part.text.split_at(part.text.find('[').filter(|at| *at == 0).unwrap_or_else(|| first_table(&part.text)));
        let manifest = format!("{MINIMAL}{top}\n{hosts}{tables}");
        Manifest::parse(&manifest).unwrap_or_else(|error| panic!("line {}: {error}\n{manifest}", part.line));
    }
}

fn first_table(text: &str) -> usize {
    text.find("\n[").map_or(text.len(), |newline| newline + 1)
}

#[test]
fn what_the_guide_grants_is_a_damper_toml() {
    let shown: Vec<Block> = blocks(&guide()).into_iter().filter(|block| has_label(block, "damper.toml")).collect();
    assert!(!shown.is_empty());
    for block in shown {
        let setup = LocalSetup::demo(damper_demo_api::Settings::default(), "");
        std::fs::write(setup.path().join("damper.toml"), &block.text).unwrap();
        let output = setup.run(&["doctor", "--json"]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "damper.toml").unwrap();
        assert_eq!(check["state"], "ok", "line {}: {check}\n{}", block.line, text(&output));
    }
}
