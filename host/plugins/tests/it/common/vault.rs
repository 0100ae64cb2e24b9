//! A source of a secret that a test can change, and that counts how often it is read.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use damper_plugins::grants::{Secret, SecretBinding, SecretError, SecretSource};

pub(crate) struct Vault {
    content: Mutex<Result<String, String>>,
    reads: AtomicU32,
}

impl Vault {
    pub(crate) fn holding(secret: &str) -> Arc<Self> {
        Arc::new(Self { content: Mutex::new(Ok(secret.to_owned())), reads: AtomicU32::new(0) })
    }

    pub(crate) fn put(&self, secret: &str) {
        *self.content.lock().unwrap() = Ok(secret.to_owned());
    }

    /// Makes all further reads fail.
    pub(crate) fn lock(&self, why: &str) {
        *self.content.lock().unwrap() = Err(why.to_owned());
    }

    pub(crate) fn reads(&self) -> u32 {
        self.reads.load(Ordering::SeqCst)
    }

    /// A binding to this source, for these hosts.
    pub(crate) fn binding(self: &Arc<Self>, hosts: &[&str]) -> SecretBinding {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        SecretBinding::read_from(Arc::clone(self) as Arc<dyn SecretSource>, "the vault", hosts)
    }
}

#[async_trait::async_trait]
impl SecretSource for Vault {
    async fn read(&self) -> Result<Secret, SecretError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        // Long enough for others to come and wait.
        tokio::task::yield_now().await;
        self.content.lock().unwrap().clone().map(Secret::new).map_err(SecretError::new)
    }
}
