// Requests that are signed with a key that stays in the host.

import { Record, post, sign } from "damper-sdk";

const PATH = "/v1/lookup";

/**
 * Fetches a person. The API requires the HMAC-SHA-256 of method, path and body in a header; the key is the credential
 * `signing` (kind `hmac`).
 *
 * @type {import("damper-sdk").FetchRecord}
 */
export function fetchRecord(request) {
  // Sign and send the same bytes.
  const body = JSON.stringify({ person: request.id });
  const signature = sign.hmacSha256("signing", `POST\n${PATH}\n${body}`);
  const answer = post("https://api.example.org")
    .join(PATH)
    .header("X-Signature", signature.hex())
    .body("application/json", body)
    .send()
    .ok();
  return Record.json(answer);
}
