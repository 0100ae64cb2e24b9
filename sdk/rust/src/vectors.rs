//! The three SDKs make the same of the same documents, bodies and names: tests/fixtures/sdk.

#![allow(clippy::unwrap_used, reason = "a vector that cannot be read fails the test")]

use serde_json::Value;

use crate::xml::{self, Element};
use crate::{FailureKind, ids, text};

const XML: &str = include_str!("../../../tests/fixtures/sdk/xml.json");
const TEXT: &str = include_str!("../../../tests/fixtures/sdk/text.json");
const IDS: &str = include_str!("../../../tests/fixtures/sdk/ids.json");

fn vectors(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

fn list(vectors: &Value, name: &str) -> Vec<Value> {
    vectors.get(name).and_then(Value::as_array).unwrap().clone()
}

fn text_of<'a>(vector: &'a Value, name: &str) -> Option<&'a str> {
    vector.get(name).and_then(Value::as_str)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.as_chunks::<2>().0.iter().map(|[high, low]| u8::try_from(high * 16 + low).unwrap()).collect()
}

fn document(vector: &Value) -> Vec<u8> {
    match text_of(vector, "document") {
        Some(document) => document.as_bytes().to_vec(),
        None => bytes(text_of(vector, "document_hex").unwrap()),
    }
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn assert_element(found: &Element, wanted: &Value, why: &str) {
    let (namespace, name) = (text_of(wanted, "namespace").unwrap_or_default(), text_of(wanted, "name").unwrap());
    assert!(found.is(namespace, name), "{why}: {} {}", found.namespace(), found.name());
    assert_eq!(found.text(), text_of(wanted, "text").unwrap_or_default(), "{why}");
    for attribute in wanted.get("attributes").and_then(Value::as_array).into_iter().flatten() {
        let [namespace, name, value] = strings(attribute)[..] else { unreachable!("three texts") };
        assert_eq!(found.attribute_in(namespace, name), Some(value), "{why}");
    }
    let children = wanted.get("children").and_then(Value::as_array).cloned().unwrap_or_default();
    assert_eq!(found.children().count(), children.len(), "{why}");
    for (child, wanted) in found.children().zip(&children) {
        assert_element(child, wanted, why);
    }
}

#[test]
fn xml_documents_are_read_as_in_the_other_languages() {
    for vector in list(&vectors(XML), "good") {
        let why = text_of(&vector, "why").unwrap();
        let root = xml::parse_as(&document(&vector), text_of(&vector, "content_type"));
        assert_element(&root.unwrap_or_else(|failure| panic!("{why}: {failure}")), &vector["root"], why);
    }
}

#[test]
fn what_is_no_xml_or_harmful_is_malformed_as_in_the_other_languages() {
    for vector in list(&vectors(XML), "bad") {
        let result = xml::parse_as(&document(&vector), text_of(&vector, "content_type"));
        // With the feature `encodings` more is read.
        if cfg!(feature = "encodings") && vector.to_string().contains("Shift_JIS") {
            continue;
        }
        let failure = result.expect_err(&vector.to_string());
        assert_eq!(failure.kind, FailureKind::Malformed, "{vector}");
        let says = text_of(&vector, "says").unwrap_or_default();
        assert!(failure.message.contains(says) && failure.message.len() < 300, "{vector}: {failure}");
    }
}

#[test]
fn elements_are_looked_up_by_namespace_and_name() {
    let inside = r#"<t:b k="1"/><t:c><t:b k="3"/></t:c><u:b k="4"/><b k="5"/><v:b xmlns:v="urn:1" k="2"/>"#;
    let root = xml::parse(format!(r#"<t:a xmlns:t="urn:1" xmlns:u="urn:2">{inside}</t:a>"#).as_bytes()).unwrap();
    let named = |namespace, name| {
        root.children_named(namespace, name).map(|child| child.attribute("k").unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(named("urn:1", "b"), ["1", "2"]);
    assert_eq!(named("", "b"), ["5"]);
    assert!(named("urn:1", "none").is_empty());
    assert!(root.child("urn:2", "c").is_none());
    assert_eq!(root.required("urn:1", "price").unwrap_err().message, "`a` has no `price`");
}

#[test]
fn bodies_are_decoded_as_in_the_other_languages() {
    for body in list(&vectors(TEXT), "bodies") {
        let bytes = bytes(text_of(&body, "body_hex").unwrap());
        let decoded = text::decode(&bytes, text_of(&body, "content_type"));
        match text_of(&body, "text") {
            Some(wanted) => assert_eq!(decoded.unwrap(), wanted),
            // With the feature `encodings` more is read.
            None if cfg!(feature = "encodings") && body.to_string().contains("shift_jis") => {}
            None => assert_eq!(decoded.unwrap_err().kind, FailureKind::Malformed, "{body}"),
        }
    }
}

#[test]
fn stable_ids_are_the_published_ones() {
    let known = vectors(IDS);
    let namespaces = [("dns", ids::NAMESPACE_DNS), ("url", ids::NAMESPACE_URL), ("oid", ids::NAMESPACE_OID)];
    for (name, namespace) in namespaces {
        assert_eq!(known["namespaces"][name], namespace);
    }
    for vector in list(&known, "uuid_v5") {
        let [namespace, name, uuid] = strings(&vector)[..] else { unreachable!("three texts") };
        assert_eq!(ids::uuid_v5(namespace, name).unwrap(), uuid);
    }
    for namespace in strings(&known["not_a_namespace"]) {
        assert!(ids::uuid_v5(namespace, "x").is_err(), "{namespace}");
    }
    for vector in list(&known, "sha256") {
        let [message, digest] = strings(&vector)[..] else { unreachable!("two texts") };
        assert_eq!(ids::sha256_hex(message), digest, "{}", message.len());
    }
    assert_eq!(ids::sha256_hex("a".repeat(1_000_000)), text_of(&known, "sha256_of_a_million_a").unwrap());
}
