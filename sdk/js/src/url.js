// URLs from a template and values: whatever a value holds, it stays where the template puts it.

import { Other, Rejected } from "./failure.js";
import { excerpt } from "./text.js";

/** RFC 3986: all but the unreserved characters as %XX; encodeURIComponent leaves five more. */
export function encode(value) {
  return encodeURIComponent(value.toWellFormed()).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** `name=value&name=value`, percent-encoded. */
export function encodePairs(pairs) {
  return pairs.map(([name, value]) => `${encode(String(name))}=${encode(String(value))}`).join("&");
}

/** A path appended to a base URL, with one slash between. */
export function join(base, path) {
  if (/[?#]/.test(base)) throw invalid("a path is joined to a URL that has a query", base);
  return `${base.replace(/\/+$/, "")}/${path.replace(/^\/+/, "")}`;
}

/**
 * The URL, with `{name}` filled from `values` and `query` appended. A value that a path cannot carry (nothing, or dots alone, which a
 * URL parser takes for "here" and "up") is `Rejected`: no retry would help. A slip of the author's is `Other`.
 */
export function build(template, values, query) {
  if (template.includes("#")) throw invalid("a URL cannot have a fragment", template);
  const parts = /^([^/?{}]+:\/\/[^/?]+)([^?]*)(\?.*)?$/s.exec(template);
  if (parts === null) throw invalid("not an absolute URL", template);
  const [, authority, path, ownQuery] = parts;
  if (/[{}]/.test(authority)) throw invalid("a placeholder in the host", template);
  const used = new Set();
  const fill = (text) => substitute(text, values, used, template);
  const segments = path.split("/").map((segment) => {
    const { filled, names } = fill(segment);
    for (const name of names) {
      if (values.get(name) === "") throw badValue(name, "it is empty");
      if (/^\.+$/.test(filled)) throw badValue(name, "it consists of dots");
    }
    return filled;
  });
  let url = authority + segments.join("/") + (ownQuery === undefined ? "" : fill(ownQuery).filled);
  for (const name of values.keys()) {
    if (!used.has(name)) throw invalid(`no placeholder \`{${name}}\` in the URL`, template);
  }
  if (query.length > 0) url += (ownQuery === undefined ? "?" : "&") + encodePairs(query);
  return url;
}

function substitute(text, values, used, template) {
  const names = [];
  const filled = text.replace(/\{([^}]*)(\}?)/g, (_, name, end) => {
    if (end === "") throw invalid("a `{` without its `}`", template);
    const value = values.get(name);
    if (value === undefined) throw invalid(`no value for \`{${name}}\``, template);
    names.push(name);
    used.add(name);
    return encode(value);
  });
  return { filled, names };
}

function badValue(name, reason) {
  return new Rejected(`the value of \`${name}\` cannot be part of a URL: ${reason}`);
}

/** The template is the author's own text and holds no value; a key may stand in its query, which is left out. */
function invalid(reason, template) {
  return new Other("invalid-request", `not a valid request: ${reason}: ${excerpt(template.split("?")[0])}`);
}
