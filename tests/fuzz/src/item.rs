//! An item's payload, as it comes from a stream.

use damper_core::item::{Item, MAX_ENTRY_BYTES, MAX_ID_BYTES, MAX_IDENTITY_BYTES};

use crate::message::check_message;

/// A payload that is read as an item is written and read back the same, and has one identity, which is bounded and
/// printable.
pub fn item(data: &[u8]) {
    let item = match Item::parse(data) {
        Ok(item) => item,
        Err(error) => return check_message(&error.to_string()),
    };
    assert!((1..=MAX_ID_BYTES).contains(&item.id.len()));
    let payload = item.to_payload();
    if payload.len() <= MAX_ENTRY_BYTES {
        assert_eq!(Item::parse(&payload).as_ref(), Ok(&item));
    }
    let names: Vec<String> = item.params.keys().take(3).cloned().collect();
    match item.identity(&names) {
        Ok(identity) => {
            let text = identity.as_str();
            assert!((1..=MAX_IDENTITY_BYTES).contains(&text.len()));
            assert!(!text.chars().any(char::is_control), "{text:?}");
            assert_eq!(text.matches(['?', '&']).count(), names.len(), "{text:?}");
            assert_eq!(text.matches('=').count(), names.len(), "{text:?}");
        }
        Err(error) => check_message(&error.to_string()),
    }
    let missing = item.identity(&["no such parameter".to_owned()]);
    assert!(missing.is_err() || item.params.contains_key("no such parameter"));
}
