from damper_sdk import FetchRequest, Other, Record, config, http

# The credentials of the manifest; each vendor knows its callers by one of them.
CREDENTIALS = ("key", "login", "token")


def fetch_record(request: FetchRequest) -> Record:
    """Fetches a policy from one vendor. Everything in which vendors differ is a setting of the provider."""
    credential = config.required("access")
    if credential not in CREDENTIALS:
        raise Other("config", "`access` is none of key, login and token; correct it in damper.toml")
    version = config.required("standard")
    answer = (
        http.get(config.required("endpoint"))
        .join("policies/{id}")
        .path("id", request.id)
        .header("Accept", f"application/vnd.example.policy+json;version={version}")
        .credential(credential)
        .send()
        .ok()
    )
    return Record.json(answer)
