//! The reasons for which a signature does not hold.

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// A public key cannot be used.
    #[error("this is no public key that can be used: {0}")]
    Key(&'static str),
    /// There is no key to check with.
    #[error("no public key is named to check the signature with")]
    NoKey,
    /// There is no signature.
    #[error("there is no signature")]
    Unsigned,
    /// There are signatures, and none holds. The reason is that of the last one.
    #[error("none of its {count} signatures holds: {last}")]
    Invalid {
        /// The number of signatures.
        count: usize,
        /// The problem of the last one.
        last: &'static str,
    },
    /// The signature cannot be read.
    #[error("its signature cannot be read: {0}")]
    Malformed(String),
}

impl SignatureError {
    /// The remedy.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Key(_) => "give the cosign.pub that `cosign generate-key-pair` wrote (ECDSA on P-256, PEM)",
            Self::NoKey => "name the public key, for example --key cosign.pub",
            Self::Unsigned => "sign it with cosign; `damper verify --help` shows how",
            Self::Invalid { .. } | Self::Malformed(_) => {
                "do not use it before its author has confirmed key and signature"
            }
        }
    }
}
