// XML documents (1.0, with namespaces), read safely: for SOAP and other APIs that do not speak JSON. Harmful XML is refused as
// `Malformed`: a document type (and with it every entity of one's own), a nesting, a number of elements or a namespace that no
// record needs. This is a reader, and `escape` for what is written; it validates against no schema.

import { charsetOf, decodeAs, markedEncoding } from "./encodings.js";
import { Malformed, Rejected } from "./failure.js";
import { excerpt } from "./text.js";
import { encode } from "./utf8.js";

/** How deep elements may lie in one another. */
const MAX_DEPTH = 64;
/** How many elements and attributes a document may have; each takes some memory beside its text. */
const MAX_NODES = 100_000;
/** The longest name of a namespace, in bytes. */
const MAX_NAMESPACE_BYTES = 1024;

const START =
  ":A-Z_a-z\\xC0-\\xD6\\xD8-\\xF6\\xF8-\\u02FF\\u0370-\\u037D\\u037F-\\u1FFF\\u200C\\u200D\\u2070-\\u218F\\u2C00-\\u2FEF" +
  "\\u3001-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFFD\\u{10000}-\\u{EFFFF}";
const NAME = `[${START}][${START}\\-.0-9\\xB7\\u0300-\\u036F\\u203F\\u2040]*`;
const OPEN = new RegExp(`<(${NAME})`, "uy");
const CLOSE = new RegExp(`</(${NAME})[ \\t\\n]*>`, "uy");
const ATTRIBUTE = new RegExp(`[ \\t\\n]+(${NAME})[ \\t\\n]*=[ \\t\\n]*(?:"([^"<]*)"|'([^'<]*)')`, "uy");
const END = /[ \t\n]*(\/?)>/y;
const INSTRUCTION = new RegExp(`<\\?(${NAME})(?=[ \\t\\n?])`, "uy");
const DECLARATION = /^<\?xml[ \t\n]+version[ \t\n]*=[ \t\n]*(?:"1\.[0-9]+"|'1\.[0-9]+')([^?>]*)\?>/;
const ENCODING = /^<\?xml[^>]*?[ \t\r\n]encoding[ \t\r\n]*=[ \t\r\n]*["']([A-Za-z][A-Za-z0-9._-]*)["']/;
/** What is not of XML 1.0's production `Char`. */
const FORBIDDEN = /[^\t\n\r -\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u;
const REFERENCE = /&([^;&\s]{0,64})(;?)/g;
const PREDEFINED = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
const XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace";
const BLANKS = /^[ \t\n\r]+|[ \t\n\r]+$/g;

/** Appends text to an element. Not a method: it is nothing to an author. */
let append;

/** An element, with everything in it. */
export class Element {
  #attributes;
  #text = [];

  constructor(namespace, name, attributes) {
    this.namespace = namespace;
    this.name = name;
    this.children = [];
    this.#attributes = attributes;
  }

  /** Whether it has this name of this namespace, whatever prefix the document gives it. */
  is(namespace, name) {
    return this.namespace === namespace && this.name === name;
  }

  /** The value of an attribute without a prefix, or undefined. */
  attribute(name) {
    return this.attributeIn("", name);
  }

  /** The value of an attribute of a namespace, or undefined. */
  attributeIn(namespace, name) {
    return this.#attributes.find((it) => it.namespace === namespace && it.name === name)?.value;
  }

  /** The elements of a name directly in this one, in order. */
  childrenNamed(namespace, name) {
    return this.children.filter((child) => child.is(namespace, name));
  }

  /** The first element of a name directly in this one, or undefined. */
  child(namespace, name) {
    return this.children.find((child) => child.is(namespace, name));
  }

  /** The first element of a name directly in this one; `Malformed` where there is none. */
  required(namespace, name) {
    const found = this.child(namespace, name);
    if (found === undefined) throw new Malformed(`\`${excerpt(this.name)}\` has no \`${name}\``);
    return found;
  }

  /** The text directly in this element, without blanks around it. */
  get text() {
    return this.#text.join("").replace(BLANKS, "");
  }

  static {
    append = (element, text) => element.#text.push(text);
  }
}

/**
 * Parses a document, text or bytes, and gives its outermost element. Bytes are decoded by their byte order mark, else by the
 * `charset` of the content type, else by the XML declaration, else as UTF-8.
 */
export function parse(document, contentType) {
  const text = typeof document === "string" ? document.replace(/^\ufeff/, "") : decodeDocument(document, contentType);
  return new Parser(text.replace(/\r\n?/g, "\n")).document();
}

/** A text as it may stand between tags or in an attribute of a document that one writes; `Rejected` where none can hold it. */
export function escape(value) {
  const text = String(value);
  if (FORBIDDEN.test(text)) throw new Rejected("a value has a character that no XML document can hold");
  return text.replace(/[<>&"'\t\n\r]/g, (character) => ESCAPES[character] ?? `&#${character.charCodeAt(0)};`);
}

const ESCAPES = { "<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;", "'": "&apos;" };

function decodeDocument(bytes, contentType) {
  try {
    return decodeAs(charsetOf(contentType) ?? declaredEncoding(bytes) ?? "utf-8", bytes);
  } catch (error) {
    throw error instanceof Malformed ? notXml(error.message) : error;
  }
}

/** The encoding that a document without a mark declares, or whose first characters are of two bytes. */
function declaredEncoding(bytes) {
  if (markedEncoding(bytes) !== undefined) return undefined;
  if (bytes[0] === 0x3c && bytes[1] === 0) return "utf-16le";
  if (bytes[0] === 0 && bytes[1] === 0x3c) return "utf-16be";
  return ENCODING.exec(String.fromCharCode(...bytes.subarray(0, 256)))?.[1];
}

/** The message may quote the document, so it is cut like a body. */
function notXml(reason) {
  return new Malformed(`not the expected XML: ${excerpt(reason)}`);
}

class Parser {
  #text;
  #at = 0;
  #nodes = 0;
  #root;
  /** The open elements, each with its name as written and its prefixes. */
  #open = [];

  constructor(text) {
    this.#text = text;
    if (FORBIDDEN.test(text)) throw notXml("a character that no document can hold");
  }

  document() {
    this.#at = DECLARATION.exec(this.#text)?.[0].length ?? 0;
    while (this.#at < this.#text.length) {
      const next = this.#text.indexOf("<", this.#at);
      const end = next < 0 ? this.#text.length : next;
      if (end > this.#at) this.#characters(this.#text.slice(this.#at, end));
      this.#at = end;
      if (next >= 0) this.#markup();
    }
    if (this.#open.length > 0) throw notXml(`it ends within \`${this.#open.at(-1).element.name}\``);
    if (this.#root === undefined) throw notXml("it has no element");
    return this.#root;
  }

  #markup() {
    const text = this.#text;
    if (text.startsWith("<!--", this.#at)) return this.#comment();
    if (text.startsWith("<![CDATA[", this.#at)) return this.#cdata();
    if (text.startsWith("<!DOCTYPE", this.#at)) throw notXml("a document type is refused");
    if (text.startsWith("<?", this.#at)) return this.#instruction();
    if (text.startsWith("</", this.#at)) return this.#close();
    return this.#element();
  }

  #characters(text) {
    if (text.includes("]]>")) throw notXml("`]]>` in a text");
    this.#append(resolve(text));
  }

  #append(text) {
    const open = this.#open.at(-1);
    if (open !== undefined) append(open.element, text);
    else if (text.replace(BLANKS, "") !== "") throw notXml("text outside of the outermost element");
  }

  /** The text up to an end, which is passed over. */
  #until(from, end, what) {
    const found = this.#text.indexOf(end, from);
    if (found < 0) throw notXml(`${what} without its end`);
    this.#at = found + end.length;
    return this.#text.slice(from, found);
  }

  #comment() {
    const comment = this.#until(this.#at + 4, "-->", "a comment");
    if (comment.includes("--") || comment.endsWith("-")) throw notXml("`--` in a comment");
  }

  #cdata() {
    if (this.#open.length === 0) throw notXml("text outside of the outermost element");
    this.#append(this.#until(this.#at + 9, "]]>", "a CDATA section"));
  }

  #instruction() {
    const target = this.#match(INSTRUCTION)?.[1];
    if (target === undefined) throw notXml("a processing instruction without a name");
    if (target.toLowerCase() === "xml") throw notXml("an XML declaration that is none, or not at the beginning");
    this.#until(this.#at, "?>", "a processing instruction");
  }

  #close() {
    const written = this.#match(CLOSE)?.[1];
    const open = this.#open.pop();
    if (open === undefined || written !== open.written) throw notXml("an end tag that does not match");
  }

  #element() {
    const written = this.#match(OPEN)?.[1];
    if (written === undefined) throw notXml("`<` that begins no tag");
    if (this.#open.length === 0 && this.#root !== undefined) throw notXml("a second element after the outermost");
    if (this.#open.length >= MAX_DEPTH) throw notXml(`elements in one another more than ${MAX_DEPTH} deep`);
    const attributes = this.#attributes();
    const tail = this.#match(END);
    if (tail === undefined) throw notXml("a start tag that is not well-formed");
    const prefixes = this.#prefixes(attributes);
    this.#count();
    const { namespace, name } = qualify(written, prefixes, prefixes.get("") ?? "");
    const element = new Element(namespace, name, this.#qualified(attributes, prefixes));
    const parent = this.#open.at(-1);
    if (parent === undefined) this.#root = element;
    else parent.element.children.push(element);
    if (tail[1] === "") this.#open.push({ element, written, prefixes });
  }

  /** The attributes of a start tag, by their names as written. */
  #attributes() {
    const attributes = new Map();
    for (let found = this.#match(ATTRIBUTE); found !== undefined; found = this.#match(ATTRIBUTE)) {
      if (attributes.has(found[1])) throw notXml("an attribute that occurs twice");
      attributes.set(found[1], resolve((found[2] ?? found[3]).replace(/[\t\n]/g, " ")));
    }
    return attributes;
  }

  #prefixes(attributes) {
    const outer = this.#open.at(-1)?.prefixes ?? new Map([["xml", XML_NAMESPACE]]);
    let inner = outer;
    for (const [written, value] of attributes) {
      if (!isBinding(written)) continue;
      if (encode(value).length > MAX_NAMESPACE_BYTES) throw notXml(`a namespace of more than ${MAX_NAMESPACE_BYTES} bytes`);
      const prefix = written.slice("xmlns:".length);
      if (prefix !== "" && value === "") throw notXml(`the prefix \`${prefix}\` stands for nothing`);
      if (inner === outer) inner = new Map(outer);
      inner.set(prefix, value);
    }
    return inner;
  }

  #qualified(attributes, prefixes) {
    const qualified = [];
    for (const [written, value] of attributes) {
      if (isBinding(written)) continue;
      this.#count();
      qualified.push({ ...qualify(written, prefixes, ""), value });
    }
    return qualified;
  }

  #count() {
    this.#nodes += 1;
    if (this.#nodes > MAX_NODES) throw notXml(`more than ${MAX_NODES} elements and attributes`);
  }

  #match(pattern) {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return undefined;
    this.#at = pattern.lastIndex;
    return found;
  }
}

const isBinding = (written) => written === "xmlns" || written.startsWith("xmlns:");

/** The namespace and the local part of a name as written. */
function qualify(written, prefixes, unprefixed) {
  const colon = written.indexOf(":");
  if (colon < 0) return { namespace: unprefixed, name: written };
  const prefix = written.slice(0, colon);
  const namespace = prefixes.get(prefix);
  if (prefix === "" || namespace === undefined) throw notXml(`the prefix \`${prefix}\` stands for nothing`);
  const name = written.slice(colon + 1);
  if (name === "" || name.includes(":")) throw notXml(`\`${written}\` is no name`);
  return { namespace, name };
}

/** The text with its references replaced: characters by their numbers, and the five that XML itself names. */
function resolve(text) {
  return text.replace(REFERENCE, (_, name, end) => {
    if (end === "" || name === "") throw notXml("`&` that begins no reference");
    if (Object.hasOwn(PREDEFINED, name)) return PREDEFINED[name];
    const number = /^#(?:([0-9]+)|x([0-9a-fA-F]+))$/.exec(name);
    if (number === null) throw notXml(`the entity \`${name}\` is not known`);
    const code = number[1] === undefined ? Number.parseInt(number[2], 16) : Number.parseInt(number[1], 10);
    const character = code <= 0x10ffff ? String.fromCodePoint(code) : "\0";
    if (FORBIDDEN.test(character)) throw notXml("a reference to a character that no document can hold");
    return character;
  });
}
