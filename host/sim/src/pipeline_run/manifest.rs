//! The one provider of a simulation, and its manifest.

use damper_core::manifest::{Manifest, ManifestError};

use crate::scenario::Scenario;

/// The provider's name in a simulation.
pub(super) const PROVIDER: &str = "simulated";

/// The manifest of a scenario's provider.
pub(super) fn manifest(scenario: &Scenario) -> Result<Manifest, ManifestError> {
    let mapping = &scenario.mapping;
    let text = format!(
        "name = \"{PROVIDER}\"\nversion = \"0.1.0\"\n\
         [egress]\nhosts = [\"api.example.org\"]\n\
         [limits]\nmax_concurrency = {}\nfetch_timeout = \"{}ms\"\n\
         [pace]\nstart_batch = {}\nmax_batch = {}\n",
        scenario.max_concurrency,
        scenario.fetch_timeout.as_millis(),
        mapping.start_batch,
        mapping.max_batch,
    );
    Manifest::parse(&text)
}
