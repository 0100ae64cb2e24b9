//! The environment of a provider under test: the engine, limits, egress policy and credentials of production, with the network, the clocks
//! and the random numbers of a test.
//!
//! Only [`PluginHost::load_for_test`](crate::PluginHost::load_for_test) uses it; [`PluginHost::load`](crate::PluginHost::load) cannot.
//! Every request that the egress policy lets through goes to one test server on loopback, as to an HTTP proxy, whatever its host, its port
//! and its scheme; so no name is resolved and no other address is reached. The egress policy refuses the same requests as in production.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use damper_core::day::Day;
use sha2::{Digest, Sha256};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// The environment of a test: its network and clocks.
#[derive(Debug, Clone)]
pub struct TestEnvironment {
    address: SocketAddr,
    authority: reqwest::Certificate,
}

/// The error of making a test environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TestEnvironmentError {
    /// The server is not on this machine.
    #[error("the test server's address {0} is not on loopback, and provider tests may connect to nothing else")]
    NotLoopback(SocketAddr),
    /// The certificate cannot be read.
    #[error("the test authority's certificate cannot be read: {0}")]
    Authority(String),
}

impl TestEnvironment {
    /// An environment whose network is the server at `address`, an HTTP proxy that responds for every host, and whose only certificate
    /// authority is the one given (DER).
    ///
    /// # Errors
    /// If the address is not a loopback address, or the certificate is none.
    pub fn new(address: SocketAddr, authority_der: &[u8]) -> Result<Self, TestEnvironmentError> {
        if !address.ip().is_loopback() {
            return Err(TestEnvironmentError::NotLoopback(address));
        }
        let authority = reqwest::Certificate::from_der(authority_der);
        let authority = authority.map_err(|error| TestEnvironmentError::Authority(error.to_string()))?;
        Ok(Self { address, authority })
    }

    /// Directs all connections of a client to the test server.
    pub(crate) fn connect(&self, builder: reqwest::ClientBuilder) -> reqwest::Result<reqwest::ClientBuilder> {
        let proxy = reqwest::Proxy::all(format!("http://{}", self.address))?;
        Ok(builder.proxy(proxy).tls_certs_only([self.authority.clone()]))
    }
}

/// Sets the clocks and random numbers of a guest under test: noon of its day, a monotonic clock that starts at zero, and pseudorandom bytes
/// that are the same each time.
pub(crate) fn fix_clocks_and_random(builder: &mut WasiCtxBuilder, day: Day) {
    builder
        .wall_clock(Noon(since_epoch(day)))
        .monotonic_clock(Ticks(Arc::default()))
        .secure_random(Deterministic::new(seed_bytes(b"secure")))
        .insecure_random(Deterministic::new(seed_bytes(b"insecure")))
        .insecure_random_seed(0x64_61_6d_70_65_72);
}

/// The time from 1970 to noon (UTC) of a day; zero for days before 1970.
fn since_epoch(day: Day) -> Duration {
    let noon = day.0.at(12, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC);
    noon.ok().and_then(|noon| Duration::try_from(noon.timestamp().as_duration()).ok()).unwrap_or_default()
}

/// 4 KiB; they repeat for a guest that asks for more.
fn seed_bytes(name: &[u8]) -> Vec<u8> {
    (0_u8..128).flat_map(|block| Sha256::new().chain_update(name).chain_update([block]).finalize()).collect()
}

/// A wall clock that stands still.
struct Noon(Duration);

impl HostWallClock for Noon {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

/// A clock that advances by a microsecond each time it is read, so that a guest that waits for it to advance does not wait forever.
#[derive(Clone)]
struct Ticks(Arc<AtomicU64>);

impl HostMonotonicClock for Ticks {
    fn resolution(&self) -> u64 {
        1_000
    }

    fn now(&self) -> u64 {
        self.0.fetch_add(1_000, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_ends_at_loopback() {
        let error = TestEnvironment::new("192.0.2.1:80".parse().unwrap(), b"").unwrap_err();
        assert!(error.to_string().contains("192.0.2.1:80"), "{error}");
        assert!(matches!(
            TestEnvironment::new("127.0.0.1:80".parse().unwrap(), b"no certificate"),
            Err(TestEnvironmentError::Authority(_)) | Ok(_)
        ));
    }

    #[test]
    fn a_day_s_noon_and_its_chance_are_the_same_each_time() {
        assert_eq!(since_epoch("1970-01-02".parse().unwrap()), Duration::from_hours(36));
        assert_eq!(seed_bytes(b"x"), seed_bytes(b"x"));
        assert_ne!(seed_bytes(b"x"), seed_bytes(b"y"));
        let clock = Ticks(Arc::default());
        assert_eq!((clock.now(), clock.now()), (0, 1_000));
    }
}
