// Retry-After (RFC 9110, section 10.2.3): seconds, or a date. And the reset of rate headers: seconds, or a Unix time.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/** IMF-fixdate, the one form that is to be sent. */
const DATE = /^[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/;

/**
 * Milliseconds to wait, or undefined. A date is measured from the answer's own Date where it has one, so that neither side's
 * clock needs to be right; `now` is asked only where it has none. A date that is past means no wait.
 */
export function parse(value, date, now) {
  const text = value.trim();
  const wait = parseSeconds(text);
  if (wait !== undefined) return wait;
  const until = parseDate(text);
  return until === undefined ? undefined : Math.max(0, until - start(date, now));
}

/** From here on a reset is no number of seconds from now, which would be thirty years of them, but a Unix time. */
const UNIX_TIMES_MS = 1e12;

/** Milliseconds until a rate header's reset, measured as above where it is a time, or undefined. */
export function reset(value, date, now) {
  const wait = parseSeconds(value.trim());
  if (wait === undefined || wait < UNIX_TIMES_MS) return wait;
  return wait >= Number.MAX_SAFE_INTEGER ? undefined : Math.max(0, wait - start(date, now));
}

/** With a fraction it is against the RFC, but seen in the field. More digits than fit are a very long wait, not none. */
function parseSeconds(text) {
  if (!/^\d+(\.\d+)?$/.test(text)) return undefined;
  return Math.min(Math.floor(Number(text) * 1000), Number.MAX_SAFE_INTEGER);
}

function start(date, now) {
  return (date === undefined ? undefined : parseDate(date.trim())) ?? now();
}

/** Milliseconds since 1970, or undefined. Engines differ in what their Date.parse takes. */
function parseDate(text) {
  const parts = DATE.exec(text);
  if (parts === null) return undefined;
  const [, day, month, year, hour, minute, second] = parts;
  const index = MONTHS.indexOf(month);
  const date = new Date(Date.UTC(+year, index, +day, +hour, +minute, +second));
  const exists = index >= 0 && date.getUTCDate() === +day && +hour < 24 && +minute < 60 && +second < 61;
  return exists ? date.getTime() : undefined;
}
