//! Components in OCI registries: push, pull, signatures, and a local store of what was pulled.
//!
//! A component travels as an artifact of the CNCF's layout for WebAssembly
//! (<https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>), so that `wkg` and other tools read what
//! [`push`] writes, and [`pull`] reads what they write.
//!
//! Begin with [`Reference`], which names an artifact, and [`Registry`], the client for one repository. Then read:
//!
//! - [`artifact`]: the layout, written and read; the same component always has the same manifest and digest.
//! - [`push`] and [`pull`]: all or nothing; a push that breaks off leaves the tag as it was.
//! - [`signature`]: keyed signatures as cosign makes them, checked without any other network service.
//! - [`store`]: a folder of pulled components by digest, from which a pinned component is had without the network.
//!
//! A registry is not trusted. Each response has a maximum size, each request a timeout, and each content a digest; its
//! texts are escaped in messages; credentials are sent to no other host than the registry and its own token service.
//!
//! This crate knows no engine, no manifest of a provider and no damper.toml, and reads no environment: the caller
//! passes what it needs.
//!
//! ```
//! use damper_registry::Reference;
//!
//! let reference = Reference::parse("oci://registry.example.com/providers/gleif:1.2.0")?;
//! assert_eq!(reference.host(), "registry.example.com");
//! assert_eq!((reference.repository(), reference.tag()), ("providers/gleif", Some("1.2.0")));
//! assert!(Reference::parse("oci://gleif:1.2.0").is_err(), "no registry is named");
//! # Ok::<(), damper_registry::ReferenceError>(())
//! ```

pub mod artifact;
mod auth;
mod credentials;
mod digest;
mod error;
pub mod pull;
pub mod push;
mod reference;
mod registry;
pub mod signature;
mod signature_error;
pub mod store;
mod transport;
mod upload;

pub use digest::{Digest, DigestError};
pub use error::{Cause, CredentialOrigin, RegistryError};
pub use reference::{Reference, ReferenceError, SCHEME};
pub use registry::{Access, Registry};
pub use transport::{RegistryOptions, Timeouts};
