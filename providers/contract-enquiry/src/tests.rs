use super::*;
use crate::soap::Version;
use damper_sdk::testing::{Api, Expectation};
use proptest::prelude::*;

const ENDPOINT: &str = "https://enquiry.provider.example/services/ContractEnquiry";
const NS: &str = "urn:example:contract-enquiry:2.1";
const POLICY: &str = "PP/0012345-A";
const CONTRACT: &str = include_str!("../cases/fixtures/contract.xml");
const RECORD: &str = include_str!("../cases/fixtures/contract.json");
const POLICY_NOT_FOUND: &str = include_str!("../cases/fixtures/policy-not-found.xml");
const OUT_OF_HOURS: &str = include_str!("../cases/fixtures/out-of-hours.xml");
const NOT_AUTHORISED: &str = include_str!("../cases/fixtures/not-authorised.xml");
const OTHER_ADVISER: &str = include_str!("../cases/fixtures/other-adviser.xml");
const FAULT_SERVER: &str = include_str!("../cases/fixtures/fault-server.xml");
const FAULT_SENDER: &str = include_str!("../cases/fixtures/fault-sender-1.2.xml");

fn api(soap: &str) -> Api {
    let mut api = Api::new();
    api.config("endpoint", ENDPOINT).config("soap", soap).config("standard", "2.1").config("access", "certificate");
    api.config("username", "a<b").config("firm", "122702");
    api
}

fn vendor(soap: Version) -> Vendor {
    let text = str::to_owned;
    let (endpoint, username, firm) = (text(ENDPOINT), text("enquiries@example.com"), text("122702"));
    Vendor { endpoint, soap, namespace: NS, credential: "certificate", username, firm }
}

fn fetch_with_answer(id: &str, answer: impl FnOnce(Expectation<'_>)) -> Result<Record, Failure> {
    let mut api = api("1.1");
    answer(api.post(ENDPOINT).credential("certificate").header("Content-Type", "text/xml; charset=utf-8"));
    api.run(|| fetch(&FetchRequest::new(id)))
}

fn fetch_with_body(status: u16, body: &str) -> Result<Record, Failure> {
    fetch_with_answer(POLICY, |it| it.answers(status, body))
}

fn fetch_failure(status: u16, body: &str) -> Failure {
    fetch_with_body(status, body).unwrap_err()
}

fn fetch_without_request(request: &FetchRequest) -> Failure {
    api("1.1").run(|| fetch(request)).unwrap_err()
}

#[test]
fn gives_the_contract_as_json() {
    let record = fetch_with_body(200, CONTRACT).unwrap();
    let given: Value = json::parse(record.body()).unwrap();
    assert_eq!(given, json::parse::<Value>(RECORD.as_bytes()).unwrap());
    assert_eq!(record.content_type(), "application/json");
    assert_eq!(record.attribute("status"), Some("in-force"));
    assert_eq!(record.attribute("warnings"), Some("CE0101: One fund was priced on the previous working day"));
}

#[test]
fn prefixes_are_the_service_s_own_affair() {
    let body = CONTRACT
        .replace("soapenv:", "s:")
        .replace("xmlns:soapenv", "xmlns:s")
        .replace("ce:", "")
        .replace("xmlns:ce", "xmlns");
    let body = body.replace("xmlns:=", "xmlns=");
    assert_eq!(fetch_with_body(200, &body).unwrap().body(), fetch_with_body(200, CONTRACT).unwrap().body());
    let other = CONTRACT.replace("urn:example:contract-enquiry:2.1", "urn:example:contract-enquiry:3.0");
    assert_eq!(fetch_failure(200, &other).kind, FailureKind::Malformed);
}

#[test]
fn what_comes_from_outside_is_escaped_in_the_request() {
    let request = FetchRequest::new("A</PolicyNumber>&\"'").with_param("valuation_date", "2026-01-15");
    for (soap, content_type, action) in [
        ("1.1", "text/xml; charset=utf-8", Some("\"urn:example:contract-enquiry:2.1/ContractEnquiry\"")),
        (
            "1.2",
            "application/soap+xml; charset=utf-8; action=\"urn:example:contract-enquiry:2.1/ContractEnquiry\"",
            None,
        ),
    ] {
        let mut api = api(soap);
        let vendor = api.run(|| Vendor::from_config().unwrap());
        let envelope = vendor.soap.envelope("a<b", &enquiry(&vendor, &request).unwrap()).unwrap();
        let root = xml::parse(envelope.as_bytes()).unwrap();
        let body = root.required(root.namespace(), "Body").unwrap();
        let sent = body.required(NS, "ContractEnquiryRequest").unwrap();
        assert_eq!(sent.required(NS, "PolicyNumber").unwrap().text(), request.id);
        assert_eq!(sent.required(NS, "ValuationDate").unwrap().text(), "2026-01-15");
        assert_eq!(sent.children().count(), 4);
        let mut post = api.post(ENDPOINT).credential("certificate").header("Content-Type", content_type).body(envelope);
        if let Some(action) = action {
            post = post.header("SOAPAction", action);
        }
        post.answers(200, POLICY_NOT_FOUND);
        assert_eq!(api.run(|| fetch(&request)).unwrap_err().kind, FailureKind::NotFound);
    }
}

#[test]
fn the_envelope_is_the_one_of_the_cases() {
    let mut first = FetchRequest::new(POLICY);
    first.day = "2026-01-15".to_owned();
    let mut second = FetchRequest::new("A&B<1>").with_param("valuation_date", "2026-01-31");
    (second.day, second.attempt) = ("2026-01-15".to_owned(), 2);
    let of_2_0 = Vendor { namespace: "urn:example:contract-enquiry:2.0", ..vendor(Version::V1_2) };
    for (vendor, request, envelope) in [
        (vendor(Version::V1_1), &first, include_str!("../cases/found.request.xml")),
        (vendor(Version::V1_2), &second, include_str!("../cases/fault-1.2.request.xml")),
        (of_2_0, &first, include_str!("../cases/found-2.0.request.xml")),
    ] {
        let made = vendor.soap.envelope(&vendor.username, &enquiry(&vendor, request).unwrap()).unwrap();
        assert_eq!(made, envelope);
    }
}

#[test]
fn each_vendor_gets_the_credential_and_the_namespace_of_its_config() {
    let contract = CONTRACT.replace("contract-enquiry:2.1", "contract-enquiry:2.0");
    for credential in ["certificate", "login", "token", "key"] {
        let mut api = api("1.1");
        api.config("access", credential).config("standard", "2.0");
        let action = "\"urn:example:contract-enquiry:2.0/ContractEnquiry\"";
        api.post(ENDPOINT).credential(credential).header("SOAPAction", action).answers(200, contract.as_str());
        let record = api.run(|| fetch(&FetchRequest::new(POLICY))).unwrap();
        assert_eq!(record.body(), fetch_with_body(200, CONTRACT).unwrap().body());
    }
}

#[test]
fn an_error_of_the_business_is_told_by_its_code_and_not_by_the_200_around_it() {
    assert_eq!(fetch_failure(200, POLICY_NOT_FOUND).kind, FailureKind::NotFound);
    assert_eq!(fetch_failure(200, NOT_AUTHORISED).kind, FailureKind::Unauthorized);
    let closed = fetch_failure(200, OUT_OF_HOURS);
    assert_eq!((closed.kind, closed.retry_after), (FailureKind::Unavailable, Some(Duration::from_secs(1800))));
    assert!(closed.message.starts_with("CE4001: The service is open from"), "{}", closed.message);
    for (code, kind) in [
        ("CE1002", FailureKind::NotFound),
        ("CE3001", FailureKind::Rejected),
        ("CE3002", FailureKind::Rejected),
        ("CE4002", FailureKind::Unavailable),
        ("CE4003", FailureKind::Throttled),
        ("CE9999", FailureKind::Malformed),
    ] {
        assert_eq!(fetch_failure(200, &POLICY_NOT_FOUND.replace("CE1001", code)).kind, kind, "{code}");
    }
}

#[test]
fn another_firm_s_client_does_not_stop_the_provider() {
    assert_eq!(fetch_failure(200, OTHER_ADVISER).kind, FailureKind::Rejected);
}

#[test]
fn a_fault_is_told_by_its_code_whatever_its_status() {
    for status in [200, 500] {
        let failure = fetch_failure(status, FAULT_SERVER);
        assert_eq!((failure.kind, failure.status), (FailureKind::Unavailable, Some(status)));
        assert_eq!(failure.message, "SOAP fault Server: The policy administration system did not answer");
    }
    for (code, kind) in [
        ("Client", FailureKind::Rejected),
        ("Client.InvalidMessage", FailureKind::Rejected),
        ("Client.Authentication", FailureKind::Unauthorized),
        ("FailedAuthentication", FailureKind::Unauthorized),
        ("MustUnderstand", FailureKind::Other("soap".to_owned())),
        ("Odd", FailureKind::Malformed),
        ("", FailureKind::Malformed),
    ] {
        assert_eq!(fetch_failure(500, &FAULT_SERVER.replace("soapenv:Server", code)).kind, kind, "{code}");
    }
}

#[test]
fn a_fault_of_soap_1_2_has_subcodes() {
    let failure = fetch_failure(400, FAULT_SENDER);
    assert_eq!(failure.kind, FailureKind::Unauthorized);
    assert_eq!(failure.message, "SOAP fault Sender/FailedAuthentication: The user name is not known");
    let sender = FAULT_SENDER.replace("wsse:FailedAuthentication", "x:Odd");
    assert_eq!(fetch_failure(400, &sender).kind, FailureKind::Rejected);
    assert_eq!(fetch_failure(500, &sender.replace("env:Sender", "env:Receiver")).kind, FailureKind::Unavailable);
}

#[test]
fn a_status_without_a_fault_means_what_it_says() {
    for (status, kind) in [
        (429, FailureKind::Throttled),
        (401, FailureKind::Unauthorized),
        (403, FailureKind::Unauthorized),
        (404, FailureKind::NotFound),
        (400, FailureKind::Rejected),
        (500, FailureKind::Unavailable),
        (503, FailureKind::Unavailable),
    ] {
        for body in ["", "<html><p>sorry</html>", CONTRACT] {
            assert_eq!(fetch_failure(status, body).kind, kind, "{status} {body}");
        }
    }
    let failure =
        fetch_with_answer(POLICY, |it| it.answer_header("Retry-After", "120").answers(500, FAULT_SERVER)).unwrap_err();
    assert_eq!(failure.retry_after, Some(Duration::from_secs(120)));
}

#[test]
fn what_is_no_contract_is_malformed() {
    let other = CONTRACT.replace(POLICY, "PP/0012345-B");
    let bomb = CONTRACT.replace("?>\n", "?>\n<!DOCTYPE x [<!ENTITY a \"b\">]>\n").replace("in-force", "&a;");
    let amount = CONTRACT.replace("48250.42", "4.8e4");
    let date = CONTRACT.replace("2034-09-01", "1 September 2034");
    let outcome = CONTRACT.replace("status=\"ok\"", "status=\"maybe\"");
    for body in [&other, &bomb, &amount, &date, &outcome, "", "{}", "<html></html>", &CONTRACT[..CONTRACT.len() / 2]] {
        assert_eq!(fetch_failure(200, body).kind, FailureKind::Malformed, "{body}");
    }
}

#[test]
fn what_cannot_be_asked_is_rejected_without_a_request() {
    for id in ["", " ", "a\u{0}b"] {
        assert_eq!(fetch_without_request(&FetchRequest::new(id)).kind, FailureKind::Rejected, "{id:?}");
    }
    for date in ["today", "2026-1-15", "2026-01-15</ValuationDate>", "2026/01/15"] {
        let request = FetchRequest::new(POLICY).with_param("valuation_date", date);
        assert_eq!(fetch_without_request(&request).kind, FailureKind::Rejected, "{date}");
    }
}

#[test]
fn what_the_operator_must_set_is_named() {
    for (key, value) in
        [("endpoint", ""), ("username", ""), ("firm", ""), ("soap", "1.3"), ("standard", "2"), ("access", "password")]
    {
        let mut api = api("1.1");
        api.config(key, value);
        let failure = api.run(|| fetch(&FetchRequest::new(POLICY))).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Other("config".to_owned()));
        assert!(failure.message.contains(key), "{failure}");
    }
}

/// An answer to fetch, cut up: what a broken service or a proxy might make of one.
fn mutilated_answers() -> impl Strategy<Value = String> {
    let documents = prop::sample::select(vec![CONTRACT, POLICY_NOT_FOUND, OUT_OF_HOURS, FAULT_SERVER, FAULT_SENDER]);
    let cuts = prop::collection::vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[<>&;/!\"' a-c:\\[\\]]{0,6}"),
        0..4,
    );
    (documents, cuts).prop_map(|(document, cuts)| {
        let mut text: Vec<char> = document.chars().collect();
        for (from, length, put) in cuts {
            let from = from.index(text.len() + 1);
            let to = (from + length.index(40)).min(text.len());
            text.splice(from..to, put.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn nothing_that_a_service_answers_panics_and_no_other_policy_becomes_a_record(
        status in prop::sample::select(vec![200u16, 400, 500]),
        body in prop_oneof![mutilated_answers(), any::<String>()],
    ) {
        if let Ok(record) = fetch_with_body(status, &body) {
            prop_assert_eq!(status, 200);
            let given: Value = json::parse(record.body()).unwrap();
            prop_assert_eq!(given.str_at("/policy_number").unwrap(), POLICY);
        }
    }

    #[test]
    fn no_record_comes_out_of_a_fault(
        status in prop::sample::select(vec![200u16, 202, 400, 500]),
        before in any::<bool>(),
        code in "[A-Za-z:.]{0,12}",
        namespace in prop::sample::select(vec!["http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope"]),
    ) {
        let fault = format!("<f:Fault xmlns:f=\"{namespace}\"><faultcode>{code}</faultcode></f:Fault>");
        let body = if before {
            CONTRACT.replace("<soapenv:Body>", &format!("<soapenv:Body>{fault}"))
        } else {
            CONTRACT.replace("</soapenv:Body>", &format!("{fault}</soapenv:Body>"))
        };
        prop_assert!(body.contains("Fault"));
        prop_assert!(fetch_with_body(status, &body).is_err());
    }

    #[test]
    fn any_policy_number_is_one_element_of_the_request(id in any::<String>()) {
        let request = FetchRequest::new(id.clone());
        match enquiry(&vendor(Version::V1_1), &request) {
            Err(failure) => prop_assert_eq!(failure.kind, FailureKind::Rejected),
            Ok(message) => {
                let root = xml::parse(message.as_bytes()).unwrap();
                prop_assert_eq!(root.children().count(), 4);
                let number = root.required(NS, "PolicyNumber").unwrap();
                prop_assert_eq!(number.text(), id.trim_matches([' ', '\t', '\n', '\r']));
            }
        }
    }
}
