"""The three SDKs make the same of the same documents, bodies and names: tests/fixtures/sdk."""

import json
import unittest
from pathlib import Path
from typing import Any

from damper_sdk import Malformed, Other, Rejected, http, ids, text, xml
from damper_sdk.testing import Api

FIXTURES = Path(__file__).resolve().parents[3] / "tests/fixtures/sdk"


def vectors(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))


def document(vector: dict[str, Any]) -> bytes:
    return vector["document"].encode("utf-8") if "document" in vector else bytes.fromhex(vector["document_hex"])


class Xml(unittest.TestCase):
    def check(self, found: xml.Element, wanted: dict[str, Any]) -> None:
        self.assertTrue(found.matches(wanted.get("namespace", ""), wanted["name"]), f"{found.namespace} {found.name}")
        self.assertEqual(found.text, wanted.get("text", ""))
        for namespace, name, value in wanted.get("attributes", []):
            self.assertEqual(found.attribute_in(namespace, name), value)
        children = wanted.get("children", [])
        self.assertEqual(len(found.children), len(children))
        for child, wanted_child in zip(found.children, children):
            self.check(child, wanted_child)

    def test_documents_are_read_as_in_the_other_languages(self) -> None:
        for vector in vectors("xml")["good"]:
            with self.subTest(vector["why"]):
                self.check(xml.parse(document(vector), vector.get("content_type")), vector["root"])

    def test_what_is_no_xml_or_harmful_is_malformed(self) -> None:
        for vector in vectors("xml")["bad"]:
            with self.subTest(str(vector)[:100]), self.assertRaises(Malformed) as caught:
                xml.parse(document(vector), vector.get("content_type"))
            self.assertIn(vector.get("says", ""), caught.exception.message)
            self.assertLess(len(caught.exception.message), 300)

    def test_elements_are_looked_up_by_namespace_and_name(self) -> None:
        inside = '<t:b k="1"/><t:c><t:b k="3"/></t:c><u:b k="4"/><b k="5"/><v:b xmlns:v="urn:1" k="2"/>'
        root = xml.parse(f'<t:a xmlns:t="urn:1" xmlns:u="urn:2">{inside}</t:a>')
        self.assertEqual([child.attribute("k") for child in root.children_named("urn:1", "b")], ["1", "2"])
        self.assertEqual([child.attribute("k") for child in root.children_named("", "b")], ["5"])
        self.assertEqual(root.children_named("urn:1", "none"), [])
        self.assertIsNone(root.child("urn:2", "c"))
        with self.assertRaisesRegex(Malformed, "`a` has no `price`"):
            root.required("urn:1", "price")

    def test_depth_and_number_of_elements_are_bounded(self) -> None:
        self.assertEqual(xml.parse("<a>" * 64 + "</a>" * 64).name, "a")
        with self.assertRaisesRegex(Malformed, "more than 64 deep"):
            xml.parse("<a>" * 65 + "</a>" * 65)
        with self.assertRaisesRegex(Malformed, "more than 100000 elements"):
            xml.parse(f"<a>{'<b/>' * 100_000}</a>")

    def test_an_escaped_value_comes_back_as_it_was(self) -> None:
        for value in ["a & b", "<\"'>", "\t\n\r x", "Zürich 😀", "&amp;", "]]>"]:
            root = xml.parse(f'<a k="{xml.escape(value)}">x{xml.escape(value)}x</a>')
            self.assertEqual((root.attribute("k"), root.text), (value, f"x{value}x"))
        for value in ["a\0b", "\uffff", "\ud800"]:
            with self.assertRaises(Rejected):
                xml.escape(value)

    def test_an_answer_is_decoded_by_its_content_type(self) -> None:
        url = "https://api.example.org/thing?key=s3cret"

        def answered(content_type: str, body: bytes) -> Any:
            script = Api().get(url).answer_header("content-type", content_type).answers(200, body)
            return script.run(lambda: http.get(url).send())

        self.assertEqual(answered("text/plain; charset=iso-8859-15", b"\xa4").text(), "€")
        self.assertEqual(answered("text/xml; charset=iso-8859-15", b"<a>\xa4</a>").xml().text, "€")
        wanted = "^GET https://api.example.org/thing: not the expected XML: it ends within `a`$"
        with self.assertRaisesRegex(Malformed, wanted) as caught:
            answered("text/xml", b"<a>").xml()
        self.assertEqual(caught.exception.status, 200)


class Text(unittest.TestCase):
    def test_bodies_are_decoded_as_in_the_other_languages(self) -> None:
        for body in vectors("text")["bodies"]:
            data, content_type = bytes.fromhex(body["body_hex"]), body.get("content_type")
            with self.subTest(str(body)[:100]):
                if "text" in body:
                    self.assertEqual(text.decode(data, content_type), body["text"])
                else:
                    self.assertRaises(Malformed, text.decode, data, content_type)


class Ids(unittest.TestCase):
    def test_stable_ids_are_the_published_ones(self) -> None:
        known = vectors("ids")
        namespaces = [ids.NAMESPACE_DNS, ids.NAMESPACE_URL, ids.NAMESPACE_OID]
        self.assertEqual(namespaces, [known["namespaces"][name] for name in ("dns", "url", "oid")])
        for namespace, name, uuid in known["uuid_v5"]:
            self.assertEqual(ids.uuid_v5(namespace, name), uuid)
        for namespace in known["not_a_namespace"]:
            self.assertRaises(Other, ids.uuid_v5, namespace, "x")
        for message, digest in known["sha256"]:
            self.assertEqual(ids.sha256_hex(message), digest)
        self.assertEqual(ids.sha256_hex(b"a" * 1_000_000), known["sha256_of_a_million_a"])
