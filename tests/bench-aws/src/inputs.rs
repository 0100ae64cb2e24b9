//! The inputs of all benchmarks: the package, the functions beside it, and figures.

use std::path::PathBuf;

use crate::package::Packaged;

/// The inputs of all benchmarks.
pub(crate) struct Bench {
    pub(crate) packaged: Packaged,
    pub(crate) functions: PathBuf,
}

impl Bench {
    /// The program that is packaged.
    pub(crate) fn bootstrap(&self) -> PathBuf {
        self.packaged.folder.path().join("bootstrap")
    }

    /// One of the functions that ours is measured beside.
    pub(crate) fn function(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.functions.join(name);
        anyhow::ensure!(path.is_file(), "{} is missing: run `make bench-aws`, which builds it", path.display());
        Ok(path)
    }
}

/// The middle of some figures, and those at a quarter and at three.
pub(crate) fn quartiles(mut figures: Vec<f64>) -> [f64; 3] {
    figures.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (figures.len().saturating_sub(1) as f64 * share).round() as usize;
        figures.get(place).copied().unwrap_or(f64::NAN)
    };
    [at(0.25), at(0.5), at(0.75)]
}
