//! URLs from a template and values: whatever a value holds, it stays where the template puts it.

use super::Error;

/// A URL with `{name}` where values go, and what goes there.
#[derive(Debug, Clone)]
pub(super) struct Template {
    text: String,
    values: Vec<(String, String)>,
    query: Vec<(String, String)>,
    joined_after_query: bool,
}

impl Template {
    pub(super) fn new(text: String) -> Self {
        Template { text, values: Vec::new(), query: Vec::new(), joined_after_query: false }
    }

    pub(super) fn fill(&mut self, name: &str, value: String) {
        self.values.retain(|(known, _)| known != name);
        self.values.push((name.to_owned(), value));
    }

    pub(super) fn join(&mut self, path: &str) {
        self.joined_after_query |= self.text.contains(['?', '#']);
        let base = self.text.trim_end_matches('/').len();
        self.text.truncate(base);
        self.text.push('/');
        self.text.push_str(path.trim_start_matches('/'));
    }

    pub(super) fn query(&mut self, name: &str, value: String) {
        self.query.push((name.to_owned(), value));
    }

    /// The URL, or why there is none.
    pub(super) fn build(self) -> Result<String, Error> {
        if self.joined_after_query {
            return Err(invalid("a path is joined to a URL that has a query", &self.text));
        }
        if self.text.contains('#') {
            return Err(invalid("a URL cannot have a fragment", &self.text));
        }
        let path_start = path_start(&self.text).ok_or_else(|| invalid("not an absolute URL", &self.text))?;
        let (authority, rest) = self.text.split_at(path_start);
        if authority.contains(['{', '}']) {
            return Err(invalid("a placeholder in the host", &self.text));
        }
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let mut url = authority.to_owned();
        let mut used = Vec::new();
        for (index, segment) in path.split('/').enumerate() {
            if index > 0 {
                url.push('/');
            }
            url.push_str(&self.segment(segment, &mut used)?);
        }
        let mut separator = '?';
        if let Some(query) = query {
            url.push('?');
            url.push_str(&self.substitute(query, &mut used)?);
            separator = '&';
        }
        if let Some((name, _)) = self.values.iter().find(|(name, _)| !used.contains(name)) {
            return Err(invalid(&format!("no placeholder `{{{name}}}` in the URL"), &self.text));
        }
        if !self.query.is_empty() {
            url.push(separator);
            url.push_str(&encode_pairs(self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))));
        }
        Ok(url)
    }

    /// One segment of the path. If a value is part of a segment, the result is a segment of its own: not empty, and not
    /// of dots, which a URL parser would take for "here" and "up".
    fn segment(&self, template: &str, used: &mut Vec<String>) -> Result<String, Error> {
        let before = used.len();
        let segment = self.substitute(template, used)?;
        for name in used.iter().skip(before) {
            let reason = match self.value(name) {
                Some("") => "it is empty",
                _ if segment.chars().all(|c| c == '.') => "it consists of dots",
                _ => continue,
            };
            return Err(Error::BadValue { name: name.clone(), reason });
        }
        Ok(segment)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A part of the template with its placeholders filled; the names that were filled go to `used`.
    fn substitute(&self, template: &str, used: &mut Vec<String>) -> Result<String, Error> {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((literal, after)) = rest.split_once('{') {
            out.push_str(literal);
            let (name, after) = after.split_once('}').ok_or_else(|| invalid("a `{` without its `}`", &self.text))?;
            let value = self.value(name).ok_or_else(|| invalid(&format!("no value for `{{{name}}}`"), &self.text))?;
            encode_into(&mut out, value);
            used.push(name.to_owned());
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// The start of the path: after scheme, host and port.
fn path_start(url: &str) -> Option<usize> {
    // Not `find("://")`: a component pays 2 KB for the search of a text in a text.
    let colon = url.find(':')?;
    let rest = url.get(colon..)?.strip_prefix("://")?;
    let authority = colon + 3;
    if rest.is_empty() || rest.starts_with(['/', '?']) {
        return None;
    }
    Some(authority + rest.find(['/', '?']).unwrap_or(rest.len()))
}

/// The template is the author's own text and holds no value, so a message may show it.
fn invalid(reason: &str, template: &str) -> Error {
    let shown = template.split('?').next().unwrap_or_default();
    Error::Invalid(format!("{reason}: {}", crate::text::excerpt(shown).unwrap_or_default()))
}

/// `name=value&name=value`, percent-encoded.
pub(super) fn encode_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        encode_into(&mut out, name);
        out.push('=');
        encode_into(&mut out, value);
    }
    out
}

/// All but RFC 3986's unreserved characters as `%XX`.
fn encode_into(out: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.extend(char::from_digit(digit.into(), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn build(template: &str, values: &[(&str, &str)]) -> Result<String, Error> {
        let mut built = Template::new(template.to_owned());
        for (name, value) in values {
            built.fill(name, (*value).to_owned());
        }
        built.build()
    }

    fn problem(template: &str, values: &[(&str, &str)]) -> String {
        build(template, values).unwrap_err().to_string()
    }

    #[test]
    fn a_value_stays_in_its_segment() {
        let url = build("https://h/v1/{id}/x?f={id}", &[("id", "a/../b?c#d&e=\"\n%ü")]).unwrap();
        let quoted = "a%2F..%2Fb%3Fc%23d%26e%3D%22%0A%25%C3%BC";
        assert_eq!(url, format!("https://h/v1/{quoted}/x?f={quoted}"));
    }

    #[test]
    fn a_segment_of_dots_or_nothing_is_refused() {
        for value in ["", ".", "..", "..."] {
            assert!(matches!(build("https://h/{id}", &[("id", value)]), Err(Error::BadValue { .. })), "{value:?}");
        }
        assert!(build("https://h/{a}{b}", &[("a", "."), ("b", ".")]).is_err());
        assert_eq!(build("https://h/{a}.json", &[("a", "..")]).unwrap(), "https://h/...json");
        assert!(build("https://h/x{a}", &[("a", "")]).is_err());
        assert_eq!(build("https://h/x?q={a}", &[("a", "")]).unwrap(), "https://h/x?q=");
    }

    #[test]
    fn queries_are_appended_to_what_is_there() {
        let mut template = Template::new("https://h/x?a=1".to_owned());
        template.query("b c", "d&e".to_owned());
        assert_eq!(template.build().unwrap(), "https://h/x?a=1&b%20c=d%26e");
        let mut template = Template::new("https://h".to_owned());
        template.query("b", "é".to_owned());
        assert_eq!(template.build().unwrap(), "https://h?b=%C3%A9");
    }

    #[test]
    fn a_joined_path_has_one_slash_before_it() {
        for (base, path) in [("http://h:1/v", "x"), ("http://h:1/v/", "/x"), ("http://h:1/v//", "x")] {
            let mut template = Template::new(base.to_owned());
            template.join(path);
            assert_eq!(template.build().unwrap(), "http://h:1/v/x");
        }
        let mut template = Template::new("http://h/?q=1".to_owned());
        template.join("x");
        assert!(template.build().is_err());
    }

    #[test]
    fn an_author_s_slip_is_named() {
        assert!(problem("https://h/{id}", &[]).contains("no value for `{id}`"));
        assert!(problem("https://h/x", &[("id", "1")]).contains("no placeholder `{id}`"));
        assert!(problem("https://{id}/x", &[("id", "1")]).contains("placeholder in the host"));
        assert!(problem("https://{id}", &[("id", "1")]).contains("placeholder in the host"));
        assert!(problem("https://h/{id", &[("id", "1")]).contains("without its"));
        assert!(problem("/v1/x", &[]).contains("not an absolute URL"));
        assert!(problem("https:///x", &[]).contains("not an absolute URL"));
        assert!(problem("https://h/x#y", &[]).contains("fragment"));
        // A key that an author put into the query is in no message.
        assert!(!problem("https://h/{id}?key=s3cret", &[]).contains("s3cret"));
    }

    fn decode(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let hex = [rest.next().unwrap(), rest.next().unwrap()];
                let hex = std::str::from_utf8(&hex).unwrap();
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn an_id_never_escapes_its_segment(id in prop_oneof![any::<String>(), "[./\\\\%2eE?#&; ]{0,8}"]) {
            match build("https://h.example/v1/{id}/tail", &[("id", &id)]) {
                Err(error) => {
                    let refused = matches!(error, Error::BadValue { .. });
                    prop_assert!(refused && id.chars().all(|c| c == '.'));
                }
                Ok(url) => {
                    let parsed = url::Url::parse(&url).unwrap();
                    prop_assert_eq!(parsed.as_str(), &url);
                    let segments: Vec<&str> = parsed.path_segments().unwrap().collect();
                    prop_assert_eq!(segments.len(), 3);
                    prop_assert_eq!((segments[0], segments[2]), ("v1", "tail"));
                    prop_assert_eq!(decode(segments[1]), id);
                    prop_assert_eq!(parsed.query(), None);
                }
            }
        }

        #[test]
        fn a_query_value_never_adds_a_pair(name in "[a-z]{1,4}", value: String) {
            let mut template = Template::new("https://h.example/x?first=1".to_owned());
            template.query(&name, value.clone());
            let parsed = url::Url::parse(&template.build().unwrap()).unwrap();
            let pairs: Vec<_> = parsed.query_pairs().into_owned().collect();
            prop_assert_eq!(pairs, [("first".to_owned(), "1".to_owned()), (name, value)]);
        }

        #[test]
        fn no_template_panics(template: String, id: String) {
            let _ = build(&template, &[("id", &id)]);
            let _ = build(&format!("https://h/{template}"), &[("id", &id)]);
        }
    }
}
