//! A provider's HTTP client: it sends the requests that the egress policy allows, hop by hop, and returns whole
//! responses.

mod authenticate;
mod client;
mod connections;
mod exchange;
mod http_error;
mod key_choice;
mod key_rotation;
mod refreshing;
mod response;
mod shared_tokens;
mod tokens;

pub(crate) use authenticate::SigningKeyError;
pub(crate) use client::{HttpClient, MAX_REQUESTS};
pub(crate) use connections::Connections;
pub use connections::ProxyError;
pub(crate) use response::SendResult;
