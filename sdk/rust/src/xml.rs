//! XML documents (1.0, with namespaces), read safely: for SOAP and other APIs that do not speak JSON. Behind the
//! feature `xml`.
//!
//! Harmful XML is refused as `malformed`: a document type (and with it every entity of one's own, within the document
//! or outside), a nesting, a number of elements or a namespace that no record needs. This is a reader, and [`escape`]
//! for what is written; it validates against no schema.
//!
//! ```
//! use damper_sdk::prelude::*;
//! use damper_sdk::xml;
//!
//! const NS: &str = "urn:example:things";
//!
//! let root = xml::parse(
//!     br#"<t:thing xmlns:t="urn:example:things" id="42">
//!         <t:name>A &amp; B</t:name> <t:tag>new</t:tag> <t:tag>blue</t:tag>
//!     </t:thing>"#,
//! )?;
//! assert!(root.is(NS, "thing"));
//! assert_eq!(root.attribute("id"), Some("42"));
//! assert_eq!(root.required(NS, "name")?.text(), "A & B");
//! let tags: Vec<&str> = root.children_named(NS, "tag").map(xml::Element::text).collect();
//! assert_eq!(tags, ["new", "blue"]);
//!
//! let failure = root.required(NS, "price").unwrap_err();
//! assert_eq!(failure.kind, FailureKind::Malformed);
//! assert_eq!(failure.message, "`thing` has no `price`");
//!
//! let body = format!("<name>{}</name>", xml::escape("A & B")?);
//! assert_eq!(body, "<name>A &amp; B</name>");
//! # Ok::<(), Failure>(())
//! ```

mod syntax;

use std::collections::BTreeSet;
use std::rc::Rc;

use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{NamespaceResolver, ResolveResult};
use quick_xml::reader::NsReader;

use crate::Failure;
use crate::text::{encoding, short};

/// How deep elements may lie in one another.
const MAX_DEPTH: usize = 64;
/// How many elements and attributes a document may have; each takes some memory beside its text.
const MAX_NODES: usize = 100_000;
/// How many bytes of a document are searched for its declaration.
const DECLARATION_BYTES: usize = 256;
/// The pseudo-attribute of a declaration that names the encoding.
const ENCODING: &[u8] = b"encoding";
/// The longest name of a namespace, in bytes; each element is compared with those that are known.
const MAX_NAMESPACE_BYTES: usize = 1_024;

/// Parses a document, and gives its outermost element. It is decoded by its byte order mark, else by its declaration,
/// else as UTF-8; [`text::decode`](crate::text::decode) says which encodings are read.
///
/// # Errors
///
/// `malformed`, for what is not well-formed, not in its encoding, or refused (see the [module](self)).
pub fn parse(document: &[u8]) -> Result<Element, Failure> {
    parse_as(document, None)
}

/// Parses a document that came with a content type, whose `charset` comes before the document's own declaration (RFC
/// 7303).
///
/// # Errors
///
/// As [`parse`].
pub fn parse_as(document: &[u8], content_type: Option<&str>) -> Result<Element, Failure> {
    let declared = || if encoding::is_marked(document) { None } else { declared_encoding(document) };
    let label = content_type.and_then(encoding::charset_of).map(str::to_owned).or_else(declared);
    let decoded = encoding::decode_as(label.as_deref().unwrap_or("utf-8"), document);
    let document = decoded.map_err(|failure| not_xml(failure.message))?;
    let mut reader = NsReader::from_str(&document);
    reader.config_mut().check_comments = true;
    let mut tree = Tree::default();
    let mut is_first = true;
    loop {
        match reader.read_event().map_err(not_xml)? {
            Event::Start(start) => tree.open(reader.resolver(), &start)?,
            Event::Empty(start) => {
                tree.open(reader.resolver(), &start)?;
                tree.close()?;
            }
            Event::End(_) => tree.close()?,
            Event::Text(text) if syntax::find(text.as_bytes(), b"]]>").is_some() => {
                return Err(not_xml("`]]>` in a text"));
            }
            Event::Text(text) => tree.text(&text.xml10_content())?,
            Event::CData(text) => tree.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => tree.text(&resolve(&reference)?)?,
            Event::Decl(_) if !is_first => return Err(not_xml("a misplaced XML declaration")),
            Event::Decl(_) => {}
            Event::DocType(_) => return Err(not_xml("a document type is refused")),
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => return tree.finish(),
        }
        is_first = false;
    }
}

/// A text as it may stand between tags or in an attribute of a document that one writes: an id, for instance.
///
/// # Errors
///
/// `rejected`, where the text has a character that no XML document can hold, such as NUL.
pub fn escape(value: &str) -> Result<String, Failure> {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // Written out, a reader would make blanks of them in an attribute.
            '\t' | '\n' | '\r' => out.push_str(&format!("&#{};", u32::from(character))),
            _ if is_allowed(character) => out.push(character),
            _ => return Err(Failure::rejected("a value has a character that no XML document can hold")),
        }
    }
    Ok(out)
}

/// An element, with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    namespace: Rc<str>,
    name: String,
    attributes: Vec<Attribute>,
    children: Vec<Element>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Attribute {
    namespace: Rc<str>,
    name: String,
    value: String,
}

impl Element {
    /// Its name, without a prefix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace of its name; empty if there is none.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether it has this name of this namespace, whatever prefix the document gives it.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        &*self.namespace == namespace && self.name == name
    }

    /// The value of an attribute without a prefix.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attribute_in("", name)
    }

    /// The value of an attribute of a namespace.
    pub fn attribute_in(&self, namespace: &str, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|it| &*it.namespace == namespace && it.name == name);
        found.map(|attribute| attribute.value.as_str())
    }

    /// All elements directly in this one, in order.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.children.iter()
    }

    /// All elements directly in this one, in order, on their own.
    pub fn into_children(self) -> impl Iterator<Item = Element> {
        self.children.into_iter()
    }

    /// The elements of a name directly in this one, in order.
    pub fn children_named<'a>(&'a self, namespace: &'a str, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.is(namespace, name))
    }

    /// The first element of a name directly in this one.
    pub fn child(&self, namespace: &str, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.is(namespace, name))
    }

    /// The first element of a name directly in this one.
    ///
    /// # Errors
    ///
    /// `malformed` where there is none.
    pub fn required(&self, namespace: &str, name: &str) -> Result<&Element, Failure> {
        self.child(namespace, name)
            .ok_or_else(|| Failure::malformed(format!("`{}` has no `{name}`", short(&self.name))))
    }

    /// The text directly in this element, without blanks around it.
    pub fn text(&self) -> &str {
        self.text.trim_matches([' ', '\t', '\n', '\r'])
    }
}

/// The document as far as it was read.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    nodes: usize,
    /// Each namespace once: a document names it once, and thousands of elements have it.
    namespaces: BTreeSet<Rc<str>>,
}

impl Tree {
    fn open(&mut self, resolver: &NamespaceResolver, start: &BytesStart<'_>) -> Result<(), Failure> {
        if self.open.is_empty() && self.root.is_some() {
            return Err(not_xml("a second element after the outermost"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(not_xml(format!("elements in one another more than {MAX_DEPTH} deep")));
        }
        self.count()?;
        if !syntax::has_blanks_between(start) {
            return Err(not_xml("no blank between attributes"));
        }
        let (namespace, name) = resolver.resolve_element(start.name());
        check_name(name.into_inner())?;
        let mut element = Element {
            namespace: self.namespace(namespace)?,
            name: name.into_inner().to_owned(),
            attributes: Vec::new(),
            children: Vec::new(),
            text: String::new(),
        };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(not_xml)?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            self.count()?;
            if syntax::find(attribute.value.as_bytes(), b"<").is_some() {
                return Err(not_xml("`<` in an attribute"));
            }
            let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(not_xml)?;
            check_characters(&value)?;
            let (namespace, name) = resolver.resolve_attribute(attribute.key);
            check_name(name.into_inner())?;
            element.attributes.push(Attribute {
                namespace: self.namespace(namespace)?,
                name: name.into_inner().to_owned(),
                value: value.into_owned(),
            });
        }
        self.open.push(element);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Failure> {
        let closed = self.open.pop().ok_or_else(|| not_xml("an end without its beginning"))?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None => self.root = Some(closed),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Failure> {
        check_characters(text)?;
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(not_xml("text outside of the outermost element")),
        }
        Ok(())
    }

    fn finish(self) -> Result<Element, Failure> {
        if let Some(element) = self.open.last() {
            return Err(not_xml(format!("it ends within `{}`", element.name)));
        }
        self.root.ok_or_else(|| not_xml("it has no element"))
    }

    fn count(&mut self) -> Result<(), Failure> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(not_xml(format!("more than {MAX_NODES} elements and attributes")));
        }
        Ok(())
    }

    fn namespace(&mut self, resolved: ResolveResult<'_>) -> Result<Rc<str>, Failure> {
        let namespace = match &resolved {
            ResolveResult::Bound(namespace) => namespace.into_inner(),
            ResolveResult::Unbound => "",
            ResolveResult::Unknown(prefix) => return Err(not_xml(format!("the prefix `{prefix}` stands for nothing"))),
        };
        if namespace.len() > MAX_NAMESPACE_BYTES {
            return Err(not_xml(format!("a namespace of more than {MAX_NAMESPACE_BYTES} bytes")));
        }
        if let Some(known) = self.namespaces.get(namespace) {
            return Ok(Rc::clone(known));
        }
        let namespace: Rc<str> = namespace.into();
        self.namespaces.insert(Rc::clone(&namespace));
        Ok(namespace)
    }
}

/// The value of a reference in a text: a character by its number, or one of the five that XML itself names.
fn resolve(reference: &BytesRef<'_>) -> Result<String, Failure> {
    if let Some(character) = reference.resolve_char_ref().map_err(not_xml)? {
        return Ok(character.to_string());
    }
    match resolve_predefined_entity(reference) {
        Some(text) => Ok(text.to_owned()),
        None => Err(not_xml(format!("the entity `{}` is not known", &**reference))),
    }
}

/// The encoding that a document without a mark declares, or whose first characters are of two bytes.
fn declared_encoding(document: &[u8]) -> Option<String> {
    if document.starts_with(b"<\0") {
        return Some("utf-16le".to_owned());
    }
    if document.starts_with(b"\0<") {
        return Some("utf-16be".to_owned());
    }
    let head = document.get(..DECLARATION_BYTES).unwrap_or(document).strip_prefix(b"<?xml")?;
    let declaration = head.get(..syntax::find(head, b"?>")?)?;
    let value = declaration.get(syntax::find(declaration, ENCODING)? + ENCODING.len()..)?;
    let value = value.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, value) = value.split_first().filter(|(quote, _)| matches!(quote, b'"' | b'\''))?;
    let value = value.get(..value.iter().position(|byte| byte == quote)?)?;
    std::str::from_utf8(value).ok().map(str::to_owned)
}

fn check_name(name: &str) -> Result<(), Failure> {
    if syntax::is_name(name) { Ok(()) } else { Err(not_xml(format!("`{name}` is no name"))) }
}

fn check_characters(text: &str) -> Result<(), Failure> {
    if text.chars().all(is_allowed) { Ok(()) } else { Err(not_xml("a character that no document can hold")) }
}

/// XML 1.0's production `Char`.
fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// The message of a parser may quote the document, so it is cut like a body.
fn not_xml(reason: impl ToString) -> Failure {
    Failure::malformed(format!("not the expected XML: {}", short(&reason.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;
    use proptest::prelude::*;

    fn parse_error(document: &str) -> String {
        let failure = parse(document.as_bytes()).expect_err(document);
        assert_eq!(failure.kind, FailureKind::Malformed);
        failure.message
    }

    #[test]
    fn names_are_told_apart_by_namespace_and_not_by_prefix() {
        let document = r#"<a:x xmlns:a="urn:1" xmlns="urn:2"><y/><b:y xmlns:b="urn:1" b:k="v" k="w"/></a:x>"#;
        let root = parse(document.as_bytes()).unwrap();
        assert!(root.is("urn:1", "x") && !root.is("", "x"));
        assert_eq!(root.children().map(Element::namespace).collect::<Vec<_>>(), ["urn:2", "urn:1"]);
        let y = root.required("urn:1", "y").unwrap();
        assert_eq!((y.attribute("k"), y.attribute_in("urn:1", "k")), (Some("w"), Some("v")));
        assert_eq!(root.children_named("urn:2", "y").count(), 1);
        assert!(root.child("urn:3", "y").is_none());
    }

    #[test]
    fn text_is_put_together_from_all_its_kinds() {
        let root = parse(
            b"\xef\xbb\xbf<?xml version='1.0' encoding='UTF-8'?><a> x<!-- no -->&lt;&#65;<![CDATA[&<]]><b/>\r\ny </a>",
        );
        assert_eq!(root.unwrap().text(), "x<A&<\ny");
    }

    #[test]
    fn a_document_type_and_its_entities_are_refused() {
        let bomb = r#"<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a>&c;</a>"#;
        assert!(parse_error(bomb).contains("document type"));
        assert!(parse_error(r#"<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>"#).contains("document type"));
        assert!(parse_error("<a>&c;</a>").contains("entity `c`"));
        parse_error(r#"<a k="&c;"/>"#);
    }

    #[test]
    fn what_is_not_well_formed_is_malformed() {
        for document in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>text",
            "text<a/>",
            "</a>",
            "<p:a/>",
            "<a p:k='v'/>",
            "<a k=v/>",
            "<a k='1' k='2'/>",
            "<a>&#0;</a>",
            "<a>&#1;</a>",
            "<a>\u{1}</a>",
            "<a k='\u{ffff}'/>",
            "<a>&</a>",
            "{\"a\": 1}",
        ] {
            parse_error(document);
        }
        assert_eq!(parse(&[0xff]).unwrap_err().kind, FailureKind::Malformed);
    }

    #[test]
    fn depth_and_number_of_elements_are_bounded() {
        let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse_error(&nested(MAX_DEPTH + 1)).contains("deep"));
        assert!(parse_error(&nested(100_000)).contains("deep"));
        let wide = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count));
        assert!(parse(wide(MAX_NODES - 1).as_bytes()).is_ok());
        assert!(parse_error(&wide(MAX_NODES)).contains("more than"));
    }

    #[test]
    fn the_length_of_a_namespace_is_bounded() {
        let document_named = |length: usize| format!("<a xmlns='{}'/>", "n".repeat(length));
        assert!(parse(document_named(MAX_NAMESPACE_BYTES).as_bytes()).is_ok());
        assert!(parse_error(&document_named(MAX_NAMESPACE_BYTES + 1)).contains("namespace"));
    }

    #[test]
    fn a_message_quotes_little_of_the_document() {
        assert!(parse_error(&format!("<a>&{};</a>", "s3cret".repeat(200))).len() < 300);
        assert!(parse_error(&format!("<{}:a/>", "s3cret".repeat(200))).len() < 300);
    }

    #[test]
    fn what_no_document_can_hold_is_rejected() {
        assert_eq!(escape("a\u{0}b").unwrap_err().kind, FailureKind::Rejected);
        assert_eq!(escape("\u{ffff}").unwrap_err().kind, FailureKind::Rejected);
    }

    proptest! {
        #[test]
        fn an_escaped_value_comes_back_as_it_was(value in any::<String>()) {
            if let Ok(escaped) = escape(&value) {
                let document = format!("<a k=\"{escaped}\">x{escaped}x</a>");
                let root = parse(document.as_bytes()).unwrap();
                prop_assert_eq!(root.attribute("k"), Some(value.as_str()));
                prop_assert_eq!(root.text(), format!("x{value}x"));
                prop_assert_eq!(root.children().count(), 0);
            }
        }

        #[test]
        fn nothing_panics(document in prop_oneof![
            any::<String>(),
            "(<[/!?]?[ab:]{0,3}( [a:]{1,3}='[a&;#<]{0,4}')?/?>|[a&;#\\]]{0,3}|<!\\[CDATA\\[|<!--|-->|<!DOCTYPE ){0,12}",
        ]) {
            if let Err(failure) = parse(document.as_bytes()) {
                prop_assert_eq!(failure.kind, FailureKind::Malformed);
            }
        }

        #[test]
        fn bytes_never_panic(document: Vec<u8>) {
            let _ = parse(&document);
        }
    }
}
