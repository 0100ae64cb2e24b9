"""XML documents (1.0, with namespaces), read safely: for SOAP and other APIs that do not speak JSON.

Harmful XML is refused as `Malformed`: a document type (and with it every entity of one's own), a nesting, a number of elements or
a namespace that no record needs. This is a reader, and `escape` for what is written; it validates against no schema.
"""

import re
from collections.abc import Mapping

from ._encodings import charset_of, decode_as, marked_encoding
from ._text import excerpt
from .failures import Malformed, Rejected

__all__ = ["Element", "escape", "parse"]

# How deep elements may lie in one another.
_MAX_DEPTH = 64
# How many elements and attributes a document may have; each takes some memory beside its text.
_MAX_NODES = 100_000
# The longest name of a namespace, in bytes.
_MAX_NAMESPACE_BYTES = 1024

_START = (
    ":A-Z_a-z\xc0-\xd6\xd8-\xf6\xf8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f\u2c00-\u2fef"
    "\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_NAME = f"[{_START}][{_START}\\-.0-9\xb7\u0300-\u036f\u203f\u2040]*"
_OPEN = re.compile(f"<({_NAME})")
_CLOSE = re.compile(f"</({_NAME})[ \t\n]*>")
_ATTRIBUTE = re.compile(f"[ \t\n]+({_NAME})[ \t\n]*=[ \t\n]*(?:\"([^\"<]*)\"|'([^'<]*)')")
_END = re.compile("[ \t\n]*(/?)>")
_INSTRUCTION = re.compile(f"<\\?({_NAME})(?=[ \t\n?])")
_DECLARATION = re.compile("<\\?xml[ \t\n]+version[ \t\n]*=[ \t\n]*(?:\"1\\.[0-9]+\"|'1\\.[0-9]+')([^?>]*)\\?>")
_ENCODING = re.compile(rb"<\?xml[^>]*?[ \t\r\n]encoding[ \t\r\n]*=[ \t\r\n]*[\"']([A-Za-z][A-Za-z0-9._-]*)[\"']")
# What is not of XML 1.0's production `Char`.
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"&([^;&\s]{0,64})(;?)")
_NUMBER = re.compile("#(?:([0-9]+)|x([0-9a-fA-F]+))")
_PREDEFINED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_ESCAPES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;", "'": "&apos;"}
_XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
_BLANKS = " \t\n\r"


class Element:
    """An element, with everything in it."""

    __slots__ = ("namespace", "name", "children", "_attributes", "_text")

    def __init__(self, namespace: str, name: str, attributes: dict[tuple[str, str], str]) -> None:
        #: The namespace of its name; empty if there is none.
        self.namespace = namespace
        #: Its name, without a prefix.
        self.name = name
        #: All elements directly in this one, in order.
        self.children: list[Element] = []
        self._attributes = attributes
        self._text: list[str] = []

    def matches(self, namespace: str, name: str) -> bool:
        """Whether it has this name of this namespace, whatever prefix the document gives it."""
        return self.namespace == namespace and self.name == name

    def attribute(self, name: str) -> str | None:
        """The value of an attribute without a prefix."""
        return self.attribute_in("", name)

    def attribute_in(self, namespace: str, name: str) -> str | None:
        """The value of an attribute of a namespace."""
        return self._attributes.get((namespace, name))

    def children_named(self, namespace: str, name: str) -> "list[Element]":
        """The elements of a name directly in this one, in order."""
        return [child for child in self.children if child.matches(namespace, name)]

    def child(self, namespace: str, name: str) -> "Element | None":
        """The first element of a name directly in this one."""
        return next((child for child in self.children if child.matches(namespace, name)), None)

    def required(self, namespace: str, name: str) -> "Element":
        """The first element of a name directly in this one; `Malformed` where there is none."""
        found = self.child(namespace, name)
        if found is None:
            raise Malformed(f"`{excerpt(self.name)}` has no `{name}`")
        return found

    @property
    def text(self) -> str:
        """The text directly in this element, without blanks around it."""
        return "".join(self._text).strip(_BLANKS)


def parse(document: str | bytes, content_type: str | None = None) -> Element:
    """Parses a document and gives its outermost element.

    Bytes are decoded by their byte order mark, else by the `charset` of the content type, else by the XML declaration, else as
    UTF-8. `Malformed` for what is not well-formed, or refused.
    """
    text = document.removeprefix("\ufeff") if isinstance(document, str) else _decode(bytes(document), content_type)
    return _Parser(text.replace("\r\n", "\n").replace("\r", "\n")).document()


def escape(value: str) -> str:
    """A text as it may stand between tags or in an attribute of a document; `Rejected` where no document can hold it."""
    if _FORBIDDEN.search(value):
        raise Rejected("a value has a character that no XML document can hold")
    return re.sub("[<>&\"'\t\n\r]", lambda found: _ESCAPES.get(found[0]) or f"&#{ord(found[0])};", value)


def _decode(data: bytes, content_type: str | None) -> str:
    try:
        return decode_as(charset_of(content_type) or _declared_encoding(data) or "utf-8", data)
    except Malformed as error:
        raise _not_xml(error.message) from None


def _declared_encoding(data: bytes) -> str | None:
    """The encoding that a document without a mark declares, or whose first characters are of two bytes."""
    if marked_encoding(data) is not None:
        return None
    if data.startswith(b"<\0"):
        return "utf-16le"
    if data.startswith(b"\0<"):
        return "utf-16be"
    found = _ENCODING.match(data[:256])
    return None if found is None else found[1].decode("ascii")


def _not_xml(reason: str) -> Malformed:
    # The message may quote the document, so it is cut like a body.
    return Malformed(f"not the expected XML: {excerpt(reason)}")


class _Open:
    __slots__ = ("element", "written", "prefixes")

    def __init__(self, element: Element, written: str, prefixes: Mapping[str, str]) -> None:
        self.element, self.written, self.prefixes = element, written, prefixes


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._nodes = 0
        self._root: Element | None = None
        self._open: list[_Open] = []
        if _FORBIDDEN.search(text):
            raise _not_xml("a character that no document can hold")

    def document(self) -> Element:
        declaration = _DECLARATION.match(self._text)
        self._at = 0 if declaration is None else declaration.end()
        while self._at < len(self._text):
            following = self._text.find("<", self._at)
            end = len(self._text) if following < 0 else following
            if end > self._at:
                self._characters(self._text[self._at : end])
            self._at = end
            if following >= 0:
                self._markup()
        if self._open:
            raise _not_xml(f"it ends within `{self._open[-1].element.name}`")
        if self._root is None:
            raise _not_xml("it has no element")
        return self._root

    def _markup(self) -> None:
        begins = self._text.startswith
        if begins("<!--", self._at):
            comment = self._until(self._at + 4, "-->", "a comment")
            if "--" in comment or comment.endswith("-"):
                raise _not_xml("`--` in a comment")
        elif begins("<![CDATA[", self._at):
            if not self._open:
                raise _not_xml("text outside of the outermost element")
            self._append(self._until(self._at + 9, "]]>", "a CDATA section"))
        elif begins("<!DOCTYPE", self._at):
            raise _not_xml("a document type is refused")
        elif begins("<?", self._at):
            self._instruction()
        elif begins("</", self._at):
            self._close()
        else:
            self._element()

    def _characters(self, text: str) -> None:
        if "]]>" in text:
            raise _not_xml("`]]>` in a text")
        self._append(_resolve(text))

    def _append(self, text: str) -> None:
        if self._open:
            self._open[-1].element._text.append(text)
        elif text.strip(_BLANKS):
            raise _not_xml("text outside of the outermost element")

    def _until(self, start: int, end: str, what: str) -> str:
        """The text up to an end, which is passed over."""
        found = self._text.find(end, start)
        if found < 0:
            raise _not_xml(f"{what} without its end")
        self._at = found + len(end)
        return self._text[start:found]

    def _instruction(self) -> None:
        target = self._match(_INSTRUCTION)
        if target is None:
            raise _not_xml("a processing instruction without a name")
        if target[1].lower() == "xml":
            raise _not_xml("an XML declaration that is none, or not at the beginning")
        self._until(self._at, "?>", "a processing instruction")

    def _close(self) -> None:
        found = self._match(_CLOSE)
        if found is None or not self._open or self._open.pop().written != found[1]:
            raise _not_xml("an end tag that does not match")

    def _element(self) -> None:
        found = self._match(_OPEN)
        if found is None:
            raise _not_xml("`<` that begins no tag")
        if not self._open and self._root is not None:
            raise _not_xml("a second element after the outermost")
        if len(self._open) >= _MAX_DEPTH:
            raise _not_xml(f"elements in one another more than {_MAX_DEPTH} deep")
        attributes = self._attributes()
        tail = self._match(_END)
        if tail is None:
            raise _not_xml("a start tag that is not well-formed")
        prefixes = self._prefixes(attributes)
        self._count()
        namespace, name = _qualify(found[1], prefixes, prefixes.get("", ""))
        element = Element(namespace, name, self._qualified(attributes, prefixes))
        if self._open:
            self._open[-1].element.children.append(element)
        else:
            self._root = element
        if not tail[1]:
            self._open.append(_Open(element, found[1], prefixes))

    def _attributes(self) -> dict[str, str]:
        """The attributes of a start tag, by their names as written."""
        attributes: dict[str, str] = {}
        while (found := self._match(_ATTRIBUTE)) is not None:
            if found[1] in attributes:
                raise _not_xml("an attribute that occurs twice")
            value = found[3] if found[2] is None else found[2]
            attributes[found[1]] = _resolve(value.replace("\t", " ").replace("\n", " "))
        return attributes

    def _prefixes(self, attributes: Mapping[str, str]) -> Mapping[str, str]:
        prefixes = self._open[-1].prefixes if self._open else {"xml": _XML_NAMESPACE}
        bound = {written[6:]: value for written, value in attributes.items() if _is_binding(written)}
        for prefix, value in bound.items():
            if len(value.encode("utf-8")) > _MAX_NAMESPACE_BYTES:
                raise _not_xml(f"a namespace of more than {_MAX_NAMESPACE_BYTES} bytes")
            if prefix and not value:
                raise _not_xml(f"the prefix `{prefix}` stands for nothing")
        return {**prefixes, **bound} if bound else prefixes

    def _qualified(self, attributes: Mapping[str, str], prefixes: Mapping[str, str]) -> dict[tuple[str, str], str]:
        qualified: dict[tuple[str, str], str] = {}
        for written, value in attributes.items():
            if not _is_binding(written):
                self._count()
                qualified.setdefault(_qualify(written, prefixes, ""), value)
        return qualified

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise _not_xml(f"more than {_MAX_NODES} elements and attributes")

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found


def _is_binding(written: str) -> bool:
    return written == "xmlns" or written.startswith("xmlns:")


def _qualify(written: str, prefixes: Mapping[str, str], unprefixed: str) -> tuple[str, str]:
    """The namespace and the local part of a name as written."""
    prefix, colon, name = written.partition(":")
    if not colon:
        return unprefixed, written
    if not prefix or prefix not in prefixes:
        raise _not_xml(f"the prefix `{prefix}` stands for nothing")
    if not name or ":" in name:
        raise _not_xml(f"`{written}` is no name")
    return prefixes[prefix], name


def _resolve(text: str) -> str:
    """The text with its references replaced: characters by their numbers, and the five that XML itself names."""
    return _REFERENCE.sub(_referenced, text) if "&" in text else text


def _referenced(found: re.Match[str]) -> str:
    name = found[1]
    if not name or not found[2]:
        raise _not_xml("`&` that begins no reference")
    if name in _PREDEFINED:
        return _PREDEFINED[name]
    number = _NUMBER.fullmatch(name)
    if number is None:
        raise _not_xml(f"the entity `{name}` is not known")
    code = int(number[2], 16) if number[1] is None else int(number[1])
    character = chr(code) if code <= 0x10FFFF else "\0"
    if _FORBIDDEN.search(character):
        raise _not_xml("a reference to a character that no document can hold")
    return character
