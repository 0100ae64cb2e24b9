"""SOAP: errors inside of a 200, and faults with status 500."""

from damper_sdk import (
    Failure,
    FetchRequest,
    Malformed,
    NotFound,
    Record,
    Rejected,
    Response,
    Unavailable,
    http,
    text,
    xml,
)

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
POLICIES = "urn:example:policies"


def fetch_record(request: FetchRequest) -> Record:
    """The value of a policy, and its covers."""
    ask = f'<p:Ask xmlns:p="{POLICIES}"><p:Number>{xml.escape(request.id)}</p:Number></p:Ask>'
    answer = (
        http.post("https://soap.example.org/policies")
        .header("SOAPAction", '"ask"')
        .body("text/xml; charset=utf-8", f'<s:Envelope xmlns:s="{SOAP}"><s:Body>{ask}</s:Body></s:Envelope>')
        .send()
    )
    body = envelope_of(answer).required(SOAP, "Body")
    fault = body.child(SOAP, "Fault")
    if fault is not None:
        raise failure_of(fault)
    policy = body.required(POLICIES, "Policy")
    result = policy.required(POLICIES, "Result").text
    if result == "UNKNOWN":
        raise NotFound("no such policy")
    if result != "OK":
        raise Rejected(f"the service says {text.short(result)}")
    value = policy.required(POLICIES, "Value")
    # A list: the element occurs once for each cover, or not at all.
    covers = [cover.text for cover in policy.children_named(POLICIES, "Cover")]
    return Record.from_value({"covers": covers, "currency": value.attribute("currency"), "value": value.text})


def envelope_of(answer: Response) -> xml.Element:
    """A fault has status 500 but is not an outage: read it before `ok`. An error page with 500 is an outage."""
    if answer.status != 500:
        return answer.ok().xml()
    try:
        return answer.xml()
    except Malformed:
        answer.ok()
        raise


def failure_of(fault: xml.Element) -> Failure:
    """Tells a failure of the service from a request that it will never accept."""

    def said(name: str) -> str:
        element = fault.child("", name)
        return "" if element is None else text.short(element.text)

    message = f"SOAP fault: {said('faultstring')}"
    return Rejected(message) if said("faultcode").endswith("Client") else Unavailable(message)
