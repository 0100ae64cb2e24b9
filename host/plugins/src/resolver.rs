//! Resolves host names and applies the egress policy to their addresses: the client connects to the address that was checked.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::egress::address;

/// Resolves host names.
pub trait Resolver: Send + Sync {
    /// The addresses of a host name.
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The machine's own resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}

/// The error of a name whose addresses are all refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedAddress {
    address: IpAddr,
    class: &'static str,
}

impl fmt::Display for RefusedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, class } = self;
        write!(
            f,
            "the name resolves to {address}, a {class} address, which the operator has not granted as a private origin"
        )
    }
}

impl std::error::Error for RefusedAddress {}

/// Which addresses a client may connect to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Public,
    Everything,
}

/// A resolver as the HTTP client wants one, that lets only reachable addresses through.
pub(crate) struct FilteringResolver {
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) reach: Reach,
}

impl Resolve for FilteringResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (addresses, reach) = (self.resolver.resolve(name.as_str()), self.reach);
        Box::pin(async move {
            let mut addresses = addresses.await?;
            if reach == Reach::Public {
                addresses = keep_public(addresses)?;
            }
            // Port 0 stands for the URL's own.
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// The public ones of a name's addresses; an error if there are only others.
fn keep_public(addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, RefusedAddress> {
    let first_refused = addresses
        .iter()
        .find_map(|address| address::refusal(*address).map(|class| RefusedAddress { address: *address, class }));
    let public: Vec<IpAddr> = addresses.into_iter().filter(|address| address::refusal(*address).is_none()).collect();
    match first_refused {
        Some(refused) if public.is_empty() => Err(refused),
        _ => Ok(public),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_connected_to() {
        let (loopback, metadata, open) = ("127.0.0.1", "169.254.169.254", "8.8.8.8");
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(keep_public(parse(&[loopback, open])), Ok(parse(&[open])));
        assert_eq!(keep_public(Vec::new()), Ok(Vec::new()));
        let refused = keep_public(parse(&[metadata, loopback])).unwrap_err();
        assert!(refused.to_string().contains("169.254.169.254, a link-local address"), "{refused}");
    }
}
