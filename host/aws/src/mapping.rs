//! The mapping port over Lambda's API: the event source mappings of one function, by the names of their streams.
//!
//! The control plane allows 15 requests a second over all functions of an account, so it is asked rarely: the governor
//! asks only where it matters, and one list tells of all providers, which is what a tick needs; it is believed for
//! [`CACHE_TTL`]. A mapping's UUID is found once and kept, until the mapping is deleted and made anew.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::update_event_source_mapping::UpdateEventSourceMappingError as UpdateError;
use damper_core::mapping::{Mapping, MappingChange, MappingError, MappingState};
use damper_core::random::RandomSource;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::backoff::Backoff;

/// How long what a list said is believed.
pub const CACHE_TTL: Duration = Duration::from_secs(5);
/// The largest batch.
pub const MAX_BATCH_SIZE: u32 = 10_000;

/// The batch size that Lambda gives a Kinesis mapping for which none is set.
const DEFAULT_BATCH_SIZE: u32 = 100;
/// While the control plane throttles: about five seconds in all.
const THROTTLED: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(2), waits: 5 };

/// Requests that were sent to the control plane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ControlPlaneCalls {
    /// Pages of mappings listed.
    pub lists: u64,
    /// Changes asked for.
    pub updates: u64,
}

/// The mappings of a function.
///
/// ```no_run
/// # async fn example() -> Result<(), damper_core::mapping::MappingError> {
/// use damper_aws::{AwsClients, LambdaMapping};
/// use damper_core::mapping::{Mapping, MappingChange};
///
/// let clients = AwsClients::load().await;
/// let mapping = LambdaMapping::new(clients.lambda(), "damper:live", "damper-");
/// let stream = "arn:aws:kinesis:eu-west-1:123456789012:stream/damper-gleif";
/// assert_eq!(mapping.provider(stream), Some("gleif"));
///
/// // Lambda applies a change within a minute or two, and refuses others until then.
/// mapping.apply("gleif", MappingChange { batch_size: Some(500), enabled: None }).await?;
/// assert!(mapping.read("gleif").await?.pending);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LambdaMapping {
    client: Client,
    function: String,
    stream_prefix: String,
    random: RandomSource,
    cached: Mutex<BTreeMap<String, CachedMapping>>,
    lists: AtomicU64,
    updates: AtomicU64,
}

/// A mapping as it was seen last.
#[derive(Debug, Clone)]
struct CachedMapping {
    uuid: String,
    state: MappingState,
    seen: Instant,
}

impl CachedMapping {
    fn is_fresh(&self, now: Instant) -> bool {
        now.duration_since(self.seen) < CACHE_TTL
    }
}

/// A mapping as the API returns it.
struct ApiState<'a> {
    state: Option<&'a str>,
    batch_size: Option<i32>,
}

impl LambdaMapping {
    /// The mappings of `function` (a name, an ARN, either with an alias) whose streams are called `stream_prefix` and
    /// the provider's name, for example `damper-gleif`.
    #[must_use]
    pub fn new(client: Client, function: impl Into<String>, stream_prefix: impl Into<String>) -> Self {
        Self {
            client,
            function: function.into(),
            stream_prefix: stream_prefix.into(),
            random: RandomSource::System,
            cached: Mutex::default(),
            lists: AtomicU64::new(0),
            updates: AtomicU64::new(0),
        }
    }

    /// How often the control plane was asked.
    #[must_use]
    pub fn calls(&self) -> ControlPlaneCalls {
        ControlPlaneCalls { lists: self.lists.load(Ordering::Relaxed), updates: self.updates.load(Ordering::Relaxed) }
    }

    /// The provider whose stream this is, if it is one of ours.
    #[must_use]
    pub fn provider<'a>(&self, stream_arn: &'a str) -> Option<&'a str> {
        provider_of(stream_arn, &self.stream_prefix)
    }

    /// The providers whose streams are mapped to the function, by name.
    ///
    /// # Errors
    /// If the control plane fails.
    pub async fn providers(&self) -> Result<Vec<String>, MappingError> {
        let mut cached = self.cached.lock().await;
        self.refresh(&self.function, &mut cached).await?;
        Ok(cached.keys().cloned().collect())
    }

    /// Look all mappings up anew.
    async fn refresh(&self, provider: &str, cached: &mut BTreeMap<String, CachedMapping>) -> Result<(), MappingError> {
        let mut found = BTreeMap::new();
        let mut marker = None;
        loop {
            let page = self.list(provider, marker).await?;
            let now = Instant::now();
            for mapping in page.event_source_mappings() {
                let name = mapping.event_source_arn().and_then(|arn| self.provider(arn));
                if let (Some(name), Some(uuid)) = (name, mapping.uuid()) {
                    let answered = ApiState { state: mapping.state(), batch_size: mapping.batch_size() };
                    if let Some(state) = read_state(&answered, cached.get(name).map(|cached| cached.state)) {
                        found.insert(name.to_owned(), CachedMapping { uuid: uuid.to_owned(), state, seen: now });
                    }
                }
            }
            marker = page.next_marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                break;
            }
        }
        *cached = found;
        Ok(())
    }

    async fn list(
        &self,
        provider: &str,
        marker: Option<String>,
    ) -> Result<aws_sdk_lambda::operation::list_event_source_mappings::ListEventSourceMappingsOutput, MappingError>
    {
        let mut number = 0;
        loop {
            self.lists.fetch_add(1, Ordering::Relaxed);
            let request = self.client.list_event_source_mappings().function_name(&self.function);
            match request.set_marker(marker.clone()).send().await {
                Ok(page) => return Ok(page),
                Err(error) if is_throttled(&error) && THROTTLED.sleep(number, &self.random).await => number += 1,
                Err(error) => return Err(self.mapping_error(provider, &error)),
            }
        }
    }

    /// One update, sent again while the control plane throttles. `None`: there is no mapping of this UUID.
    async fn update(
        &self,
        provider: &str,
        cached: &CachedMapping,
        change: MappingChange,
    ) -> Result<Option<MappingState>, MappingError> {
        let batch_size = change.batch_size.and_then(|size| i32::try_from(size).ok());
        let mut number = 0;
        loop {
            self.updates.fetch_add(1, Ordering::Relaxed);
            let request = self.client.update_event_source_mapping().uuid(&cached.uuid);
            let request = request.set_batch_size(batch_size).set_enabled(change.enabled);
            match request.send().await {
                Ok(answer) => {
                    let wanted = MappingState {
                        enabled: change.enabled.unwrap_or(cached.state.enabled),
                        batch_size: change.batch_size.unwrap_or(cached.state.batch_size),
                        pending: false,
                    };
                    let answered = ApiState { state: answer.state(), batch_size: answer.batch_size() };
                    return Ok(Some(read_state(&answered, Some(wanted)).unwrap_or(wanted)));
                }
                Err(error) if is_throttled(&error) && THROTTLED.sleep(number, &self.random).await => number += 1,
                Err(error) => {
                    return match error.as_service_error() {
                        Some(UpdateError::ResourceInUseException(_) | UpdateError::ResourceConflictException(_)) => {
                            Err(MappingError::Pending(provider.to_owned()))
                        }
                        Some(UpdateError::ResourceNotFoundException(_)) => Ok(None),
                        _ => Err(self.mapping_error(provider, &error)),
                    };
                }
            }
        }
    }

    fn mapping_error<E>(&self, provider: &str, error: &SdkError<E>) -> MappingError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let function = &self.function;
        let message = match error.code() {
            Some("TooManyRequestsException") => {
                "Lambda's control plane throttles the request (the account has 15 a second); the next \
                 batch or tick tries again"
                    .to_owned()
            }
            Some("ResourceNotFoundException") => {
                format!("there is no function {function:?}: deploy the shared stack, or check its name and the region")
            }
            Some("AccessDeniedException") => {
                let said = error.message().unwrap_or("access denied");
                format!(
                    "these credentials have no permission to read or change the mappings of {function:?} ({said}): compare them with the stack's role"
                )
            }
            _ => DisplayErrorContext(error).to_string(),
        };
        MappingError::Failed { provider: provider.to_owned(), message }
    }
}

#[async_trait]
impl Mapping for LambdaMapping {
    async fn read(&self, provider: &str) -> Result<MappingState, MappingError> {
        // A caller that arrives during a lookup waits for its result.
        let mut cached = self.cached.lock().await;
        if !cached.get(provider).is_some_and(|cached| cached.is_fresh(Instant::now())) {
            self.refresh(provider, &mut cached).await?;
        }
        cached.get(provider).map(|cached| cached.state).ok_or_else(|| MappingError::Unknown(provider.to_owned()))
    }

    async fn apply(&self, provider: &str, change: MappingChange) -> Result<(), MappingError> {
        if let Some(size) = change.batch_size.filter(|size| !(1..=MAX_BATCH_SIZE).contains(size)) {
            let message = format!("the batch size {size} is not allowed: it must be from 1 to {MAX_BATCH_SIZE}");
            return Err(MappingError::Failed { provider: provider.to_owned(), message });
        }
        let mut cached = self.cached.lock().await;
        let mut looked_up = false;
        loop {
            let Some(mapping) = cached.get(provider).cloned() else {
                if looked_up {
                    return Err(MappingError::Unknown(provider.to_owned()));
                }
                self.refresh(provider, &mut cached).await?;
                looked_up = true;
                continue;
            };
            match self.update(provider, &mapping, change).await {
                Ok(Some(state)) => {
                    cached.insert(provider.to_owned(), CachedMapping { state, seen: Instant::now(), ..mapping });
                    return Ok(());
                }
                // It was deleted; its successor, if there is one, has another UUID.
                Ok(None) => {
                    cached.remove(provider);
                }
                Err(error) => {
                    if matches!(error, MappingError::Pending(_))
                        && let Some(mapping) = cached.get_mut(provider)
                    {
                        (mapping.state.pending, mapping.seen) = (true, Instant::now());
                    }
                    return Err(error);
                }
            }
        }
    }
}

fn is_throttled<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code() == Some("TooManyRequestsException")
}

/// `arn:aws:kinesis:REGION:ACCOUNT:stream/NAME`, or a consumer of it.
fn provider_of<'a>(arn: &'a str, prefix: &str) -> Option<&'a str> {
    let (service, rest) = arn.split_once(":stream/")?;
    let stream = rest.split('/').next()?;
    let provider = stream.strip_prefix(prefix)?;
    (service.split(':').nth(2) == Some("kinesis") && !provider.is_empty()).then_some(provider)
}

/// A mapping's state in our words; `None`: it is being deleted. `before` is what it was, for a state that does not
/// tell.
fn read_state(answered: &ApiState<'_>, before: Option<MappingState>) -> Option<MappingState> {
    let was_enabled = before.is_none_or(|before| before.enabled);
    let (enabled, pending) = match answered.state.unwrap_or_default() {
        "Enabled" => (true, false),
        "Disabled" => (false, false),
        "Creating" | "Enabling" => (true, true),
        "Disabling" => (false, true),
        "Deleting" => return None,
        // "Updating": of a mapping that is enabled or of one that is not.
        _ => (was_enabled, true),
    };
    let batch_size = answered.batch_size.and_then(|size| u32::try_from(size).ok()).unwrap_or(DEFAULT_BATCH_SIZE);
    Some(MappingState { batch_size, enabled, pending })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_ours_names_its_provider() {
        let provider = |arn| provider_of(arn, "damper-");
        assert_eq!(provider("arn:aws:kinesis:eu-west-1:123456789012:stream/damper-sec-edgar"), Some("sec-edgar"));
        assert_eq!(provider("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/damper-x/consumer/y:1"), Some("x"));
        assert_eq!(provider("arn:aws:kinesis:eu-west-1:123456789012:stream/damper-"), None);
        assert_eq!(provider("arn:aws:kinesis:eu-west-1:123456789012:stream/other-x"), None);
        assert_eq!(provider("arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/damper-x"), None);
        assert_eq!(provider("damper-x"), None);
    }

    #[test]
    fn every_state_of_the_api_is_read() {
        let before = Some(MappingState { batch_size: 1, enabled: false, pending: false });
        let read = |state, before| {
            let answered = ApiState { state: Some(state), batch_size: Some(7) };
            read_state(&answered, before).map(|state| (state.enabled, state.pending))
        };
        assert_eq!(read("Enabled", before), Some((true, false)));
        assert_eq!(read("Disabled", None), Some((false, false)));
        assert_eq!(read("Creating", before), Some((true, true)));
        assert_eq!(read("Enabling", before), Some((true, true)));
        assert_eq!(read("Disabling", None), Some((false, true)));
        assert_eq!(read("Updating", before), Some((false, true)), "a disabled mapping is not enabled by an update");
        assert_eq!(read("Updating", None), Some((true, true)));
        assert_eq!(read("Deleting", before), None);
    }
}
