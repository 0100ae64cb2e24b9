//! The least timeout of a function: with a shorter one a fetch could outlast its invocation, so that nothing would ever
//! start. Pure.

use std::time::Duration;

use damper_core::manifest::Manifest;
use damper_core::pipeline::shortest_call;

/// The time that the function reserves of each invocation for its response.
const ANSWER: Duration = Duration::from_secs(1);
/// Below this the end of an invocation costs more than its work.
const SHORTEST_SECONDS: u64 = 60;

/// The least `TimeoutSeconds` of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeastTimeout {
    pub(crate) seconds: u64,
    /// The provider that needs so many, if one does.
    because: Option<String>,
}

impl LeastTimeout {
    /// That of the function which runs these providers.
    pub(crate) fn of<'a>(providers: impl Iterator<Item = &'a Manifest>) -> Self {
        let shortest = Self { seconds: SHORTEST_SECONDS, because: None };
        providers.fold(shortest, |least, manifest| {
            let needed = shortest_call(manifest.limits.fetch_timeout).saturating_add(ANSWER);
            let seconds = needed.as_secs().saturating_add(u64::from(needed.subsec_nanos() > 0));
            if seconds > least.seconds { Self { seconds, because: Some(manifest.name.clone()) } } else { least }
        })
    }

    /// Why it is that, as a sentence of the parameter's description.
    pub(crate) fn reason(&self) -> String {
        match &self.because {
            Some(provider) => format!("The fetch_timeout of {provider} needs {} at least.", self.seconds),
            None => "A shorter timeout only makes batches smaller.".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, fetch_timeout: &str) -> Manifest {
        let text = format!(
            "name = {name:?}\nversion = \"0.1.0\"\n[egress]\nhosts = [\"api.test\"]\n[limits]\nfetch_timeout = \
                {fetch_timeout:?}\n"
        );
        Manifest::parse(&text).unwrap()
    }

    #[test]
    fn the_slowest_provider_decides() {
        let manifests = [manifest("quick", "2s"), manifest("slow", "2m"), manifest("slower", "150500ms")];
        let least = |count: usize| LeastTimeout::of(manifests.iter().take(count));
        assert_eq!((least(0).seconds, least(1).seconds, least(2).seconds, least(3).seconds), (60, 60, 130, 161));
        assert!(least(2).reason().contains("slow needs 130"), "{}", least(2).reason());
    }

    /// Lambda allows 900 seconds.
    #[test]
    fn the_longest_fetch_timeout_of_a_manifest_fits_into_an_invocation() {
        assert!(LeastTimeout::of([manifest("slowest", "10m")].iter()).seconds <= 900);
    }
}
