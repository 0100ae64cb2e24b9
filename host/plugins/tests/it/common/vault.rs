//! A source of a secret that a test can change, and that counts how often it is read.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use damper_plugins::grants::{Secret, SecretBinding, SecretError, SecretSource};

pub(crate) struct Vault {
    content: Mutex<Result<String, String>>,
    reads: AtomicU32,
    /// Why it cannot be written now.
    write_fault: Mutex<Option<String>>,
    is_writable: bool,
}

impl Vault {
    pub(crate) fn holding(secret: &str) -> Arc<Self> {
        Self::new(secret, false)
    }

    /// One that the host can write, as a file is.
    pub(crate) fn writable(secret: &str) -> Arc<Self> {
        Self::new(secret, true)
    }

    fn new(secret: &str, is_writable: bool) -> Arc<Self> {
        let (content, reads) = (Mutex::new(Ok(secret.to_owned())), AtomicU32::new(0));
        Arc::new(Self { content, reads, write_fault: Mutex::default(), is_writable })
    }

    /// What it holds.
    pub(crate) fn content(&self) -> String {
        self.content.lock().unwrap().clone().unwrap()
    }

    /// Makes all further writes fail, or work again.
    pub(crate) fn set_write_fault(&self, why: Option<&str>) {
        *self.write_fault.lock().unwrap() = why.map(str::to_owned);
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

    fn is_writable(&self) -> bool {
        self.is_writable
    }

    async fn replace(&self, old: &Secret, new: &Secret) -> Result<bool, SecretError> {
        if let Some(why) = &*self.write_fault.lock().unwrap() {
            return Err(SecretError::new(why));
        }
        let is_as_before = self.content() == old.text_to_store();
        if is_as_before {
            self.put(new.text_to_store());
        }
        Ok(is_as_before)
    }
}
