//! Tests docs/PROVIDER_GUIDE.md: its commands run in order, the real parsers accept its files, its recipes are the
//! tested ones, and its reference is the parser's.
//!
//! `DAMPER_UPDATE_GUIDE=1 cargo test -p damper-tests guide` writes the recipes and the reference into it.

mod blocks;
mod snippets;
mod tutorial;

use std::path::{Path, PathBuf};

const GUIDE: &str = "docs/PROVIDER_GUIDE.md";

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn guide() -> String {
    std::fs::read_to_string(root().join(GUIDE)).unwrap()
}

/// Compares the guide with the expected text, or writes that text if the environment asks for it.
#[allow(clippy::disallowed_methods, reason = "whether files are rewritten is said by the environment, as insta's are")]
fn check_guide(should_be: &str) {
    if guide() == should_be {
        return;
    }
    assert!(
        std::env::var_os("DAMPER_UPDATE_GUIDE").is_some(),
        "{GUIDE} differs from the code; run: DAMPER_UPDATE_GUIDE=1 cargo test -p damper-tests guide"
    );
    // In one step, since the other tests read it at the same time.
    let draft = root().join("docs/.PROVIDER_GUIDE.md.new");
    std::fs::write(&draft, should_be).unwrap();
    std::fs::rename(draft, root().join(GUIDE)).unwrap();
}
