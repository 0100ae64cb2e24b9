//! Packages providers: builds or takes `bootstrap`, compiles the providers, and writes zips and templates; or compares
//! them with the ones that lie there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use damper_plugins::compiler::Compiler;
use damper_plugins::package::Architecture;
use damper_toolchain::BuildContext;

use crate::bootstrap::{self, Bootstraps};
use crate::changes::{self, FileOutcome};
use crate::dist::{Change, Dist};
use crate::error::PackagingError;
use crate::prepared_provider::PreparedProvider;
use crate::removals::Removals;
use crate::stacks::{check_limits, render_templates};
use crate::templates::Codes;
use crate::zips::{Zips, contents};

/// The input of one packaging.
#[derive(Debug)]
pub struct Packaging<'a> {
    /// The architectures to package for.
    pub architectures: &'a BTreeSet<Architecture>,
    /// The providers, in the order of their names.
    pub providers: &'a [PreparedProvider],
    /// The names of those that get a function of their own.
    pub isolated: &'a BTreeSet<String>,
    /// The names of those that the folder holds and that are to be taken out of it.
    pub removed: &'a BTreeSet<String>,
    /// Ready programs, in place of building one.
    pub bootstraps: &'a Bootstraps,
}

/// The result of one packaging.
#[derive(Debug)]
pub struct Packaged {
    /// The outcome of each file, by its name in the folder.
    pub outcomes: BTreeMap<String, FileOutcome>,
    /// The code of the zips, as the templates name it.
    pub codes: Codes,
}

impl Packaging<'_> {
    /// Says what [`Packaging::write`] would change, without building anything.
    ///
    /// # Errors
    /// If what lies there cannot be read, or [`Packaging::write`] would refuse to take a provider away.
    pub fn compare(&self, dist: &Dist) -> Result<BTreeMap<String, FileOutcome>, PackagingError> {
        self.check(dist)?;
        changes::outcomes(dist, self.architectures, self.providers, self.isolated, self.bootstraps)
    }

    /// Checks what can be checked before the work.
    fn check(&self, dist: &Dist) -> Result<(), PackagingError> {
        check_limits(self.providers, self.isolated)?;
        dist.check_removals(&self.removals())
    }

    fn removals(&self) -> Removals<'_> {
        Removals { packaged: self.providers.iter().map(PreparedProvider::name).collect(), removed: self.removed }
    }

    /// Writes the zips and the templates. `source`: Damper's source tree, see [`Bootstraps::find_source`].
    ///
    /// # Errors
    /// If the folder holds a provider that is neither packaged nor to be removed, `bootstrap` or a provider does not
    /// compile, a zip is too large for Lambda, or the folder cannot be written. The folder is then as it was.
    pub fn write(
        &self,
        dist: &Dist,
        source: Option<&Path>,
        compiler: &Compiler,
        context: &BuildContext<'_>,
    ) -> Result<Packaged, PackagingError> {
        self.check(dist)?;
        let mut zips = Zips::default();
        for architecture in self.architectures {
            let program = match (self.bootstraps.get(*architecture), source) {
                (Some(program), _) => program.to_vec(),
                (None, Some(source)) => bootstrap::build(*architecture, source, context)?,
                (None, None) => {
                    return Err(PackagingError::cannot("build bootstrap", "its source was not looked for"));
                }
            };
            let contents = contents(program, *architecture, self.providers, compiler, context.progress)?;
            zips.add(*architecture, &contents, dist)?;
        }
        let Zips { mut files, unzipped, codes } = zips;
        let templates = render_templates(self.providers, self.isolated, &codes);
        files.extend(templates.into_iter().map(|(name, text)| (name, text.into_bytes())));
        let outcome = |(name, change): (String, Change)| {
            let bytes = files.get(&name).map(Vec::len);
            let outcome = FileOutcome { bytes, unzipped: unzipped.get(&name).copied(), ..FileOutcome::of(change) };
            (name, outcome)
        };
        let outcomes = dist.write(&files, &self.removals())?.into_iter().map(outcome).collect();
        Ok(Packaged { outcomes, codes })
    }
}
