//! Chance, seeded: what happens to the nth request for an id. Pure.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::settings::Settings;

/// A day: no latency is longer.
const LATENCY_MAX_MS: f64 = 86_400_000.0;

/// The random faults of one request.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Fate {
    pub(crate) latency: Duration,
    /// 500, 502 or 503 instead of the record.
    pub(crate) error: Option<u16>,
    /// 429 instead of the record.
    pub(crate) refused: bool,
    /// Half the JSON only.
    pub(crate) malformed: bool,
    /// The body arrives in pieces.
    pub(crate) drips: bool,
}

impl Settings {
    /// Whether any request's fate depends on chance; if not, [`fate`] needs no generator.
    pub(crate) fn is_random(&self) -> bool {
        self.error_rate > 0.0
            || self.refusals.share > 0.0
            || self.malformed_rate > 0.0
            || self.drip.share > 0.0
            || (self.latency.median_ms > 0.0 && self.latency.sigma > 0.0)
    }
}

/// The fate of the `nth` request for `id` (counted from 0). Each draw is made whatever the settings are,
/// so that changing one rate leaves the other draws alone.
pub(crate) fn fate(settings: &Settings, id: &str, nth: u64) -> Fate {
    if !settings.is_random() {
        return Fate { latency: latency(settings, 0.0), ..Fate::default() };
    }
    let seed = mix(settings.seed ^ mix(hash(id) ^ mix(nth)));
    let mut generator = StdRng::seed_from_u64(seed);
    let normal = standard_normal(&mut generator);
    let error: f64 = generator.random();
    let which: u64 = generator.random();
    let malformed: f64 = generator.random();
    let drips: f64 = generator.random();
    let refused: f64 = generator.random();
    let status = match which % 3 {
        0 => 500,
        1 => 502,
        _ => 503,
    };
    Fate {
        latency: latency(settings, normal),
        error: (error < settings.error_rate).then_some(status),
        refused: refused < settings.refusals.share,
        malformed: malformed < settings.malformed_rate,
        drips: drips < settings.drip.share,
    }
}

fn latency(settings: &Settings, normal: f64) -> Duration {
    let latency = &settings.latency;
    let max_ms = latency.max_ms.unwrap_or(LATENCY_MAX_MS).min(LATENCY_MAX_MS);
    let ms = (latency.median_ms * (latency.sigma * normal).exp()).min(max_ms);
    Duration::try_from_secs_f64(ms / 1_000.0).unwrap_or_default()
}

/// One draw from N(0, 1), by Box and Muller (1958).
fn standard_normal(generator: &mut StdRng) -> f64 {
    let open: f64 = 1.0 - generator.random::<f64>();
    let angle: f64 = generator.random::<f64>() * std::f64::consts::TAU;
    (-2.0 * open.ln()).sqrt() * angle.cos()
}

/// FNV-1a: stable over builds, which the standard library's hasher does not promise.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The finalizer of splitmix64: spreads every bit over all bits.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Drip, Latency, Refusals};

    fn rough() -> Settings {
        Settings {
            latency: Latency { median_ms: 100.0, sigma: 0.5, max_ms: Some(400.0) },
            drip: Drip { share: 0.3, ..Drip::default() },
            error_rate: 0.1,
            refusals: Refusals { share: 0.05, ..Refusals::default() },
            malformed_rate: 0.2,
            seed: 7,
            ..Settings::default()
        }
    }

    fn fates(settings: &Settings) -> Vec<Fate> {
        (0..10_000).map(|n| fate(settings, &format!("id-{n}"), 0)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_fates_and_another_seed_others() {
        assert_eq!(fates(&rough()), fates(&rough()));
        assert_ne!(fates(&rough()), fates(&Settings { seed: 8, ..rough() }));
    }

    #[test]
    fn the_second_request_for_an_id_has_a_fate_of_its_own() {
        assert_ne!(fate(&rough(), "a", 0), fate(&rough(), "a", 1));
    }

    #[test]
    fn shares_and_median_are_as_set() {
        let mut fates = fates(&rough());
        let count = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count();
        assert!((900..1_100).contains(&count(|fate| fate.error.is_some())));
        assert!((430..570).contains(&count(|fate| fate.refused)));
        assert!((1_850..2_150).contains(&count(|fate| fate.malformed)));
        assert!((2_800..3_200).contains(&count(|fate| fate.drips)));
        fates.sort_by_key(|fate| fate.latency);
        let at = |index: usize| fates[index].latency.as_secs_f64() * 1_000.0;
        assert!((96.0..104.0).contains(&at(5_000)), "median {}", at(5_000));
        // One standard deviation up: 100 * exp(0.5).
        assert!((156.0..174.0).contains(&at(8_413)), "84th {}", at(8_413));
        assert!(at(9_999) <= 400.0);
    }

    #[test]
    fn without_spread_every_answer_takes_the_median() {
        let settings = Settings { latency: Latency { median_ms: 5.0, ..Latency::default() }, ..Settings::default() };
        assert!(fates(&settings).iter().all(|fate| fate.latency == Duration::from_millis(5)));
    }
}
