//! The differences between the vendors of the standard, as the operator sets them in a provider's config.

use damper_sdk::prelude::*;

use crate::soap::Version;

/// One vendor's service.
#[derive(Debug)]
pub(crate) struct Vendor {
    pub(crate) endpoint: String,
    pub(crate) soap: Version,
    /// The namespace of the standard's version; also the beginning of its SOAP action.
    pub(crate) namespace: &'static str,
    /// The name of the credential that its requests carry.
    pub(crate) credential: &'static str,
    pub(crate) username: String,
    pub(crate) firm: String,
}

impl Vendor {
    pub(crate) fn from_config() -> Result<Self, Failure> {
        let soap = choose("soap", &[("1.1", Version::V1_1), ("1.2", Version::V1_2)])?;
        let namespaces = [("2.0", "urn:example:contract-enquiry:2.0"), ("2.1", "urn:example:contract-enquiry:2.1")];
        let credentials = ["certificate", "login", "token", "key"].map(|name| (name, name));
        Ok(Vendor {
            soap,
            namespace: choose("standard", &namespaces)?,
            credential: choose("access", &credentials)?,
            endpoint: config::required("endpoint")?,
            username: config::required("username")?,
            firm: config::required("firm")?,
        })
    }
}

/// The meaning of a setting that has one of a few values.
fn choose<T: Copy>(key: &str, choices: &[(&str, T)]) -> Result<T, Failure> {
    let value = config::required(key)?;
    let found = choices.iter().find(|(name, _)| *name == value);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        Failure::other("config", format!("`{key}` is none of {names}; set it in this provider's config in damper.toml"))
    })
}
