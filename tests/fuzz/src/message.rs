//! Checks of every message about a file from outside.

/// The longest message that is taken for one, in bytes. A message may quote a few names, each of them cut.
const MAX_BYTES: usize = 8 * 1024;

/// Checks that a message is bounded, and holds nothing that moves a cursor.
pub(crate) fn check_message(message: &str) {
    assert!(!message.trim().is_empty(), "an error without a message");
    assert!(message.len() <= MAX_BYTES, "a message of {} bytes", message.len());
    let control = message.chars().find(|character| character.is_control() && *character != '\n');
    assert!(control.is_none(), "{control:?} in the message {message:?}");
}
