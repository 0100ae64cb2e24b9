//! An error with all its causes, for messages: the outermost alone seldom says what is wrong.

use std::error::Error;

/// The error's message and those of its causes, outermost first; what a message says already is not said again.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = inner.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn causes_follow_and_nothing_is_said_twice() {
        let cause = Layer("refused", None);
        let said_already = Layer("no connection", Some(Box::new(cause)));
        let outermost = Layer("cannot list: no connection", Some(Box::new(said_already)));
        assert_eq!(error_chain(&outermost), "cannot list: no connection: refused");
    }
}
