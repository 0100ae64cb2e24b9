// Finds the author's file and line of a place in the bundle. `damper build` puts the bundle's source map (ECMA-426) into it, as
// `damperSourceMap`, with the SDK's own files named "".

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The source's name and line (from 1) of a line and column (both from 1) of the bundle, or undefined. */
export function find(map, line, column) {
  let source = 0;
  let original = 0;
  let found;
  const lines = map.mappings.split(";");
  for (let at = 0; at < Math.min(line, lines.length); at += 1) {
    // The generated column begins anew on each line; the others are relative to the segment before.
    let generated = 0;
    for (const segment of lines[at].split(",")) {
      if (segment === "") continue;
      const fields = numbers(segment);
      generated += fields[0];
      if (fields.length < 4) continue;
      source += fields[1];
      original += fields[2];
      const covers = at === line - 1 && (generated < column || found === undefined);
      if (covers) found = { source: map.sources[source], line: original + 1 };
    }
  }
  return found;
}

/** The numbers of a segment, in Base64 VLQ. */
function numbers(segment) {
  const values = [];
  let value = 0;
  let shift = 0;
  for (const character of segment) {
    const digit = DIGITS.indexOf(character);
    value += (digit & 31) << shift;
    if (digit & 32) {
      shift += 5;
      continue;
    }
    values.push(value & 1 ? -(value >>> 1) : value >>> 1);
    value = 0;
    shift = 0;
  }
  return values;
}
