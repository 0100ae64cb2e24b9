// The credentials of the provider.toml that a test is of, read natively. It is not a reader of TOML: it finds the tables and keys of
// `credentials` as people write them, and knows nothing where it is not sure.

/** The names of the credentials that a request may carry, or undefined if that is not known. */
export function credentialNames(manifest) {
  if (manifest === undefined || /"""|'''/.test(manifest)) return undefined;
  const kinds = new Map();
  let table = "";
  for (const line of manifest.split(/\r?\n/)) {
    const header = /^\s*\[\s*([^[\]]+?)\s*\]\s*(#.*)?$/.exec(line);
    if (header !== null) table = header[1];
    const [name, rest] = credentialOf(table, header === null ? line : "");
    if (name === undefined) {
      if (/^\s*credentials\s*=/.test(line) && table === "") return undefined;
      continue;
    }
    const kind = /\bkind\s*=\s*["']([\w-]+)["']/.exec(rest)?.[1];
    kinds.set(name, kind ?? kinds.get(name));
  }
  // A signature's credential is not one of a request.
  return [...kinds].filter(([, kind]) => kind !== "hmac").map(([name]) => name).sort();
}

/** The credential that a line belongs to, and the line without its name. */
function credentialOf(table, line) {
  const path = [table, line.replace(/\s*=.*$/, "")].filter((part) => part !== "" && !part.trim().startsWith("#")).join(".");
  const [first, name] = path.split(".").map((part) => part.trim().replace(/^["']|["']$/g, ""));
  return first === "credentials" && name ? [name, line] : [undefined, line];
}

/** As the host says it, or undefined if the name is known. */
export function unknownCredential(names, known) {
  if (known === undefined) return undefined;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined) return undefined;
  const hint = known.length === 0
    ? "it has none that can: add [credentials.NAME] to provider.toml"
    : `those that can are ${known.join(", ")}`;
  return `the manifest has no credential ${JSON.stringify(unknown)} that can be sent; ${hint}`;
}
