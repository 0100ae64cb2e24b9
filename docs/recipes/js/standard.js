import { Other, Record, config, get } from "damper-sdk";

/** The credentials of the manifest; each vendor knows its callers by one of them. */
const CREDENTIALS = ["key", "login", "token"];

/**
 * Fetches a policy from one vendor. Everything in which vendors differ is a setting of the provider.
 *
 * @type {import("damper-sdk").FetchRecord}
 */
export function fetchRecord(request) {
  const credential = config.required("access");
  if (!CREDENTIALS.includes(credential)) {
    throw new Other("config", "`access` is none of key, login and token; correct it in damper.toml");
  }
  const version = config.required("standard");
  const answer = get(config.required("endpoint"))
    .join("policies/{id}")
    .path("id", request.id)
    .header("Accept", `application/vnd.example.policy+json;version=${version}`)
    .credential(credential)
    .send()
    .ok();
  return Record.json(answer);
}
