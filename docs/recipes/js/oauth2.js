// OAuth2 client credentials: the host fetches, keeps and renews the token.

import { Record, get } from "damper-sdk";

/**
 * Fetches a customer with the token of the credential `token` (kind `oauth2-client-credentials`). The provider sees
 * neither the client's secret nor the token.
 *
 * @type {import("damper-sdk").FetchRecord}
 */
export function fetchRecord(request) {
  const answer = get("https://api.example.org/v1/customers/{id}")
    .path("id", request.id)
    .credential("token")
    .send()
    .ok();
  return Record.json(answer);
}
