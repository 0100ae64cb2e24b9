//! The item to fetch.

use std::time::Duration;

use crate::Failure;

/// One record to fetch.
///
/// ```
/// use damper_sdk::FetchRequest;
///
/// let request = FetchRequest::new("42").with_param("lang", "en");
/// assert_eq!(request.param("lang"), Some("en"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchRequest {
    /// The record's identifier in the API's terms, at most 512 bytes. It comes from outside:
    /// [`Request::path`](crate::http::Request::path) and [`Request::query`](crate::http::Request::query) quote it.
    pub id: String,
    /// Further parameters of the item, sorted by name, each name once.
    pub params: Vec<(String, String)>,
    /// Which attempt at this item this is; the first is 1.
    pub attempt: u32,
    /// The provider's day, `YYYY-MM-DD`.
    pub day: String,
    /// How long the call may take from its beginning; after that the host ends it.
    pub deadline: Duration,
    /// The bytes that this item's last call returned with [`Failure::not_ready`]; `None` where no call did.
    pub resume: Option<Vec<u8>>,
    /// Fields that later versions of the contract add; unknown names are to be ignored.
    pub extras: Vec<(String, String)>,
}

impl FetchRequest {
    /// The first attempt at a record, for tests: the host makes the real ones.
    pub fn new(id: impl Into<String>) -> Self {
        FetchRequest {
            id: id.into(),
            params: Vec::new(),
            attempt: 1,
            day: "2026-01-01".to_owned(),
            deadline: Duration::from_secs(30),
            resume: None,
            extras: Vec::new(),
        }
    }

    /// The same request with a further parameter.
    #[must_use]
    pub fn with_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.params.retain(|(known, _)| *known != name);
        self.params.push((name, value.into()));
        self.params.sort();
        self
    }

    /// The same request, of an item whose last call was not ready and returned these bytes.
    #[must_use]
    pub fn with_resume(mut self, resume: impl Into<Vec<u8>>) -> Self {
        self.resume = Some(resume.into());
        self
    }

    /// A parameter of the item, if it has it.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter without which the record cannot be fetched.
    ///
    /// # Errors
    ///
    /// `rejected` where the item lacks it: no retry would bring it.
    pub fn required_param(&self, name: &str) -> Result<&str, Failure> {
        self.param(name).ok_or_else(|| Failure::rejected(format!("the item has no parameter `{name}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;

    #[test]
    fn parameters_are_sorted_and_unique() {
        let request = FetchRequest::new("1").with_param("b", "2").with_param("a", "1").with_param("b", "3");
        assert_eq!(request.params, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "3".to_owned())]);
        assert_eq!(request.required_param("a").unwrap(), "1");
        assert_eq!(request.required_param("c").unwrap_err().kind, FailureKind::Rejected);
    }
}
