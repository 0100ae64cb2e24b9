//! A provider's manifest.

use std::time::Duration;

use damper_core::manifest::{Manifest, Tightening};

use crate::message::check_message;

/// An accepted manifest is within the documented bounds and is the same when it is read again; an operator who tightens
/// nothing leaves it as it is.
pub fn manifest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let manifest = match Manifest::parse(text) {
        Ok(manifest) => manifest,
        Err(error) => return check_message(&error.to_string()),
    };
    check_bounds(&manifest);
    assert_eq!(Manifest::parse(text).as_ref(), Ok(&manifest));
    let untouched = manifest.clone().tighten(&Tightening::default());
    assert_eq!(untouched.as_ref(), Ok(&manifest));
}

/// Checks what `damper_core::manifest` says of each field.
pub(crate) fn check_bounds(manifest: &Manifest) {
    let Manifest { name, version, identity, egress, limits, pace, retry, .. } = manifest;
    assert!((1..=64).contains(&name.len()) && name.starts_with(|first: char| first.is_ascii_lowercase()), "{name:?}");
    assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')), "{name:?}");
    assert!(version.split('.').count() >= 3 && version.len() <= 64, "{version:?}");
    for (index, param) in identity.iter().enumerate() {
        assert!(!identity.iter().skip(index + 1).any(|other| other == param), "{param:?} twice");
    }
    for host in &egress.hosts {
        assert_eq!(*host, host.to_lowercase());
        assert!(
            !host.contains(['*', ':', '/', '@', '[', '?', '#', '\\']) && host.parse::<std::net::IpAddr>().is_err(),
            "{host:?}"
        );
    }
    assert!((1..=1_000).contains(&limits.max_concurrency.get()));
    assert!(limits.requests_per_second.is_none_or(|rate| rate > 0.0 && rate <= 10_000.0));
    assert!(limits.daily_quota.is_none_or(|quota| quota >= 1));
    assert!((Duration::from_millis(100)..=Duration::from_secs(600)).contains(&limits.fetch_timeout));
    assert!((1 << 20..=1 << 30).contains(&limits.memory_bytes));
    assert!((1 << 10..=64 << 20).contains(&limits.response_bytes));
    assert!((1..=10_000).contains(&pace.max_batch) && (1..=pace.max_batch).contains(&pace.start_batch));
    assert!((1..=100).contains(&retry.max_attempts));
    assert!((Duration::from_millis(10)..=Duration::from_secs(3_600)).contains(&retry.backoff));
    assert!(retry.spread <= Duration::from_secs(7 * 86_400));
    assert!((Duration::from_secs(60)..=Duration::from_secs(365 * 86_400)).contains(&retry.max_item_age));
}
