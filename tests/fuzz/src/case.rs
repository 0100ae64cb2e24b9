//! A case of the workbench.

use std::path::Path;

use damper_workbench::case::{Case, Expect, ForeseenBody};

use crate::message::check_message;

/// A folder that is not there: a case may name files below it, and finds none.
const PATH: &str = "/nonexistent/cases/fuzzed.toml";

/// An accepted case can be put on the wire: statuses, methods and headers are such, and a body has one form.
pub fn case(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let case = match Case::parse(Path::new(PATH), text) {
        Ok(case) => case,
        Err(error) => return check_message(&error.to_string()),
    };
    assert!(case.item.attempt >= 1);
    for exchange in case.calls().flat_map(|call| &call.exchanges) {
        let (request, answer) = (&exchange.request, &exchange.answer);
        assert!(
            matches!(request.url.scheme(), "http" | "https") && request.url.host_str().is_some(),
            "{}",
            request.url
        );
        assert!(
            !request.method.is_empty() && request.method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
        );
        assert!(request.headers.keys().all(|name| *name == name.to_ascii_lowercase()));
        if let Some(ForeseenBody::Sha256(digest)) = &request.body {
            assert!(digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        }
        assert!((200..=599).contains(&answer.status));
        for (name, value) in &answer.headers {
            assert!(!name.is_empty() && !name.contains([' ', ':', '\r', '\n']), "{name:?}");
            assert!(!value.contains(['\r', '\n', '\0']), "{value:?}");
        }
    }
    if let Expect::Failure(failure) = &case.last.expect {
        assert!(!damper_workbench::case::kind_name(&failure.kind).is_empty());
    }
}
