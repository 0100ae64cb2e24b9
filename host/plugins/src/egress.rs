//! The egress policy: which requests a provider may send, to which addresses, and what a redirect changes. Decisions
//! only, no I/O: `http_client` asks here before each request and each hop of a redirect, and [`resolver`] before each
//! connection.

mod address;
pub(crate) mod headers;
mod parameter;
mod policy;
pub(crate) mod redirect;
mod resolver;
mod target_url;

pub use parameter::remove_parameter;
pub(crate) use parameter::set_parameter;
pub(crate) use policy::{EgressPolicy, Route};
pub(crate) use resolver::{FilteringResolver, Reach, RefusedAddress};
pub use resolver::{Resolver, SystemResolver};
pub(crate) use target_url::parse_url;
