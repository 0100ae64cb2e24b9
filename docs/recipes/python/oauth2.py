"""OAuth2 client credentials: the host fetches, keeps and renews the token."""

from damper_sdk import FetchRequest, Record, http


def fetch_record(request: FetchRequest) -> Record:
    """Fetches a customer with the token of the credential `token` (kind `oauth2-client-credentials`).

    The provider sees neither the client's secret nor the token.
    """
    answer = (
        http.get("https://api.example.org/v1/customers/{id}")
        .path("id", request.id)
        .credential("token")
        .send()
        .ok()
    )
    return Record.json(answer)
