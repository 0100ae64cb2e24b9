//! The fuzz targets: each function takes any bytes, and asserts what must hold whatever they are.
//!
//! `fuzz/fuzz_targets` has a libFuzzer program for each, `fuzz/corpus` the inputs that are kept, and the test `corpora`
//! runs every function over its corpus. docs/TESTING.md has what each asserts, and how to run them.

#![allow(clippy::panic, clippy::expect_used, reason = "a target tells what is wrong by panicking")]

mod artifact;
mod case;
mod component_file;
mod control_item;
mod headers;
mod item;
mod kinesis;
mod kpl;
mod manifest;
mod message;
mod parts;
mod redirect;
mod scrubber;
mod settings;
mod spelling;

pub use artifact::artifact;
pub use case::case;
pub use component_file::component_file;
pub use control_item::control_item;
pub use headers::headers;
pub use item::item;
pub use kpl::kpl;
pub use manifest::manifest;
pub use redirect::redirect;
pub use scrubber::scrubber;
pub use settings::settings;

/// A target: any bytes, and assertions.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its folder in `fuzz/corpus` and of its program.
pub const TARGETS: [(&str, Target); 11] = [
    ("artifact", artifact),
    ("case", case),
    ("component_file", component_file),
    ("control_item", control_item),
    ("headers", headers),
    ("item", item),
    ("kpl", kpl),
    ("manifest", manifest),
    ("redirect", redirect),
    ("scrubber", scrubber),
    ("settings", settings),
];
