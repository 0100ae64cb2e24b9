//! Which contract and which SDK a component was made with, as the custom section `damper:sdk` says it.

/// The version of the contract (`wit/provider.wit`) that this SDK speaks.
pub const WIT_VERSION: &str = "0.1.0";

/// The version of this SDK.
pub const SDK_VERSION: &str = env!("CARGO_PKG_VERSION");

// The macro `concat!` takes no constants, so the contract's version is spelled out again; a test holds the two
// together.
const TEXT: &str = concat!(r#"{"wit":"0.1.0","sdk":""#, env!("CARGO_PKG_VERSION"), r#"","language":"rust"}"#);

/// The section's bytes: an array, since a static in a custom section must hold no pointer.
pub const STAMP: [u8; TEXT.len()] = {
    let mut bytes = [0; TEXT.len()];
    bytes.copy_from_slice(TEXT.as_bytes());
    bytes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_contract_that_the_wit_file_declares() {
        let contract = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/provider.wit"));
        assert!(contract.contains(&format!("package damper:provider@{WIT_VERSION};")));
    }

    #[test]
    fn is_json_with_the_versions() {
        let stamp: serde_json::Value = serde_json::from_slice(&STAMP).unwrap();
        assert_eq!(stamp, serde_json::json!({"wit": WIT_VERSION, "sdk": SDK_VERSION, "language": "rust"}));
    }
}
