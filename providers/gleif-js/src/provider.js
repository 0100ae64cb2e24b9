// GLEIF's LEI records: `GET https://api.gleif.org/api/v1/lei-records/{lei}`, a JSON:API document. The same provider as
// providers/gleif and providers/gleif-python, in JavaScript; a test holds the three together.
//
// The API is free and takes no key; its documentation stands at <https://www.gleif.org/en/lei-data/gleif-api>. An id is an LEI
// (ISO 17442): 18 letters and digits, and two check digits (ISO 7064, MOD 97-10). One that cannot be an LEI is rejected without
// a request.

import { Malformed, Record, Rejected, config, get, json } from "damper-sdk";

const MEDIA_TYPE = "application/vnd.api+json";
const ATTRIBUTES = {
  registration_status: "/data/attributes/registration/status",
  last_update: "/data/attributes/registration/lastUpdateDate",
  golden_copy: "/meta/goldenCopy/publishDate",
};

/**
 * Fetches the record of one LEI, as the API gives it, with its registration's state and dates as attributes.
 *
 * @type {import("damper-sdk").FetchRecord}
 */
export function fetchRecord(request) {
  checkLei(request.id);
  const answer = get(config.required("base_url"))
    .join("lei-records/{lei}")
    .path("lei", request.id)
    .header("Accept", MEDIA_TYPE)
    .send()
    .ok();
  const document = answer.json();
  if (json.textAt(document, "/data/id") !== request.id) {
    throw new Malformed("the API answered with another LEI's record");
  }
  let record = Record.json(answer);
  for (const [name, pointer] of Object.entries(ATTRIBUTES)) {
    const value = json.lookup(document, pointer);
    // Not every record has each of them; the record is whole without.
    if (typeof value === "string") record = record.withAttribute(name, value);
  }
  return record;
}

/**
 * ISO 17442: 20 characters, of which the last two are check digits.
 *
 * @param {string} id
 */
function checkLei(id) {
  if (!/^[0-9A-Z]{18}[0-9]{2}$/.test(id)) {
    throw new Rejected("not an LEI: it has 18 digits and capital letters and two check digits");
  }
  if (mod97(id) !== 1) throw new Rejected("not an LEI: its check digits are wrong");
}

/**
 * ISO 7064 MOD 97-10: the number that results when A to Z are read as 10 to 35, modulo 97.
 *
 * @param {string} characters
 */
function mod97(characters) {
  let sum = 0;
  for (const character of characters) {
    const value = parseInt(character, 36);
    sum = (sum * (value < 10 ? 10 : 100) + value) % 97;
  }
  return sum;
}
