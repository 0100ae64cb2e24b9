//! The algorithms by name, and how each is put in the limiter's place.

use std::fmt;
use std::str::FromStr;

use damper_core::control::admission::ConcurrencyLimiter;
use damper_core::control::limiter::{Limiter, LimiterConfig};

use crate::bare::Setting;
use crate::peers::aimd::Aimd;
use crate::peers::article::Article;
use crate::peers::ciad::Ciad;
use crate::peers::fixed::Fixed;
use crate::peers::gradient2::Gradient2;
use crate::peers::oracle::Oracle;
use crate::peers::vector_arc::VectorArc;

/// An algorithm that decides when a call may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// Damper's own limiter.
    Damper,
    /// The article's batch size.
    Article,
    /// Netflix's AIMD.
    Aimd,
    /// Netflix's Gradient2.
    Gradient2,
    /// Vector's adaptive request concurrency.
    VectorArc,
    /// Palantir's CIAD.
    Ciad,
    /// Always so many in flight.
    Fixed(u32),
    /// The all-knowing.
    Oracle,
}

impl Algorithm {
    /// All that a comparison shows beside each other, the oracle's figure being 1.
    pub const COMPARED: [Self; 6] =
        [Self::Damper, Self::Aimd, Self::Gradient2, Self::VectorArc, Self::Ciad, Self::Article];

    /// One of it for each of `clients`.
    #[must_use]
    pub fn limiters(self, setting: &Setting, clients: u32) -> Vec<Box<dyn ConcurrencyLimiter>> {
        (0..clients).map(|client| self.limiter(setting, client, clients)).collect()
    }

    pub(crate) fn limiter(self, setting: &Setting, client: u32, clients: u32) -> Box<dyn ConcurrencyLimiter> {
        let max = setting.max_in_flight;
        match self {
            Self::Damper => Box::new(Limiter::new(LimiterConfig { max_in_flight: max, requests_per_second: None })),
            Self::Article => Box::new(Article::new(max)),
            Self::Aimd => Box::new(Aimd::new(max, setting.timeout)),
            Self::Gradient2 => Box::new(Gradient2::new(max)),
            Self::VectorArc => Box::new(VectorArc::new(max)),
            Self::Ciad => Box::new(Ciad::new(max)),
            Self::Fixed(limit) => Box::new(Fixed::new(limit.min(max))),
            Self::Oracle => Box::new(Oracle::new(&setting.plan, max, client, clients)),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damper => f.pad("damper"),
            Self::Article => f.pad("article"),
            Self::Aimd => f.pad("aimd"),
            Self::Gradient2 => f.pad("gradient2"),
            Self::VectorArc => f.pad("vector-arc"),
            Self::Ciad => f.pad("ciad"),
            Self::Fixed(limit) => f.pad(&format!("fixed={limit}")),
            Self::Oracle => f.pad("oracle"),
        }
    }
}

/// A name that no algorithm has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an algorithm: choose damper, article, aimd, gradient2, vector-arc, ciad, fixed=N or oracle")]
pub struct UnknownAlgorithm(String);

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let all = [Self::Damper, Self::Article, Self::Aimd, Self::Gradient2, Self::VectorArc, Self::Ciad, Self::Oracle];
        let fixed = name.strip_prefix("fixed=").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
        all.into_iter()
            .find(|algorithm| algorithm.to_string() == name)
            .or(fixed.map(Self::Fixed))
            .ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for algorithm in Algorithm::COMPARED.into_iter().chain([Algorithm::Fixed(7), Algorithm::Oracle]) {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "fixed=0".parse::<Algorithm>().unwrap_err().to_string();
        assert!(error.contains("\"fixed=0\"") && error.contains("vector-arc"), "{error}");
    }
}
