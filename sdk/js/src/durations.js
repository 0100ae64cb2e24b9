// Checks durations where the author writes them: `retryAfterMs: "30s"` is an error on that line, and not a wait that nobody keeps.

/** The value, if it is a number of milliseconds; else a TypeError, with how to write it. */
export function checkMilliseconds(name, value) {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  const given = typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : value === null ? "null" : String(typeof value);
  const what = typeof value === "number" ? String(value) : given;
  throw new TypeError(`${name} is a number of milliseconds, such as 30_000, and not ${what}`);
}
