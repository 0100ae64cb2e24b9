//! The state of a refresh token in this process, beside its secret: a new one that is not written yet, and one that the
//! endpoint refused for good.

use std::sync::{Arc, Mutex};

use super::cached_secret::SecretVersion;
use super::tokens::{Token, TokenFailure};
use crate::grants::Secret;
use crate::lock::lock;

/// A token that was fetched with a refresh token.
#[derive(Debug, Clone)]
pub(crate) struct Refreshed {
    pub(crate) token: Arc<Token>,
    /// The secret as its place held it.
    pub(crate) home: Arc<SecretVersion>,
    /// The refresh token to use next.
    pub(crate) refresh_token: Secret,
    /// The one that was used.
    pub(crate) used: Secret,
}

impl Refreshed {
    /// Whether the endpoint replaced the refresh token.
    pub(crate) fn is_rotated(&self) -> bool {
        self.refresh_token != self.used
    }
}

/// The state of one credential's refresh token in this process.
#[derive(Debug, Default)]
pub(crate) struct RefreshState {
    unsaved: Mutex<Option<Refreshed>>,
    refused: Mutex<Option<(Secret, TokenFailure)>>,
}

impl RefreshState {
    /// Keeps a token whose new refresh token could not be written: the endpoint no longer accepts the old one.
    pub(crate) fn keep_unsaved(&self, refreshed: Refreshed) {
        *lock(&self.unsaved) = Some(refreshed);
    }

    /// Takes the token whose new refresh token is to be written, if there is one.
    pub(crate) fn take_unsaved(&self) -> Option<Refreshed> {
        lock(&self.unsaved).take()
    }

    /// Records that the endpoint refused a refresh token for good.
    pub(crate) fn record_refusal(&self, refresh_token: &Secret, failed: &TokenFailure) {
        *lock(&self.refused) = Some((refresh_token.clone(), failed.clone()));
    }

    /// The refusal of this refresh token: the endpoint is not asked with it again.
    pub(crate) fn find_refusal(&self, refresh_token: &Secret) -> Option<TokenFailure> {
        let refused = lock(&self.refused);
        refused.as_ref().filter(|(token, _)| token == refresh_token).map(|(_, failed)| failed.clone())
    }
}
