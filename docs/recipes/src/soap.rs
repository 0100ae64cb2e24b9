//! SOAP 1.1, with business errors inside a response with status 200.

use damper_sdk::prelude::*;
use damper_sdk::{text, xml};

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const POLICIES: &str = "urn:example:policies";

/// The value of a policy, and its covers.
#[damper_sdk::provider]
pub fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    let number = xml::escape(&request.id)?;
    let envelope = format!(
        r#"<s:Envelope xmlns:s="{SOAP}"><s:Body><p:Ask xmlns:p="{POLICIES}"><p:Number>{number}</p:Number></p:Ask></s:Body></s:Envelope>"#
    );
    let answer = http::post("https://soap.example.org/policies")
        .header("SOAPAction", "\"ask\"")
        .body("text/xml; charset=utf-8", envelope)
        .send()?;
    // A fault has status 500 but is not an outage: read it before `ok`. An error page with 500 is an outage.
    let root = match answer.xml() {
        Ok(root) if answer.status() == 500 => root,
        _ => answer.ok()?.xml()?,
    };
    let body = root.required(SOAP, "Body")?;
    if let Some(fault) = body.child(SOAP, "Fault") {
        return Err(fault_of(fault));
    }
    let policy = body.required(POLICIES, "Policy")?;
    match policy.required(POLICIES, "Result")?.text() {
        "OK" => {}
        "UNKNOWN" => return Err(Failure::not_found("no such policy")),
        other => return Err(Failure::rejected(format!("the service says {}", text::short(other)))),
    }
    let value = policy.required(POLICIES, "Value")?;
    // A list: the element occurs once for each cover, or not at all.
    let covers: Vec<&str> = policy.children_named(POLICIES, "Cover").map(xml::Element::text).collect();
    let currency = value.attribute("currency");
    Record::from_value(&json::json!({ "covers": covers, "currency": currency, "value": value.text() }))
}

/// Tells a failure of the service from a request that it will never accept.
fn fault_of(fault: &xml::Element) -> Failure {
    let said = |name| fault.child("", name).map(|element| text::short(element.text())).unwrap_or_default();
    let (code, message) = (said("faultcode"), format!("SOAP fault: {}", said("faultstring")));
    if code.ends_with("Client") { Failure::rejected(message) } else { Failure::unavailable(message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use damper_sdk::testing::Api;

    fn outcome(status: u16, body: &str) -> Result<Record, Failure> {
        answered(status, &format!(r#"<s:Envelope xmlns:s="{SOAP}"><s:Body>{body}</s:Body></s:Envelope>"#))
    }

    fn answered(status: u16, answer: &str) -> Result<Record, Failure> {
        let mut api = Api::new();
        let asked = format!(
            r#"<s:Envelope xmlns:s="{SOAP}"><s:Body><p:Ask xmlns:p="{POLICIES}"><p:Number>A&amp;B</p:Number></p:Ask></s:Body></s:Envelope>"#
        );
        api.post("https://soap.example.org/policies")
            .header("SOAPAction", "\"ask\"")
            .body(asked)
            .answers(status, answer);
        api.run(|| fetch(&FetchRequest::new("A&B")))
    }

    fn policy(inside: &str) -> String {
        format!(r#"<Policy xmlns="{POLICIES}">{inside}</Policy>"#)
    }

    fn kind(status: u16, body: &str) -> FailureKind {
        outcome(status, body).unwrap_err().kind
    }

    #[test]
    fn a_policy_is_a_record() {
        let value = r#"<Result>OK</Result><Value currency="GBP">12.50</Value>"#;
        let record = outcome(200, &policy(value)).unwrap();
        assert_eq!(record.body(), br#"{"covers":[],"currency":"GBP","value":"12.50"}"#);
    }

    #[test]
    fn covers_are_a_list() {
        let covers = r#"<Cover>Fire</Cover><Value>1</Value><Cover xmlns="urn:x">No</Cover><Cover>Theft</Cover>"#;
        let record = outcome(200, &policy(&format!("<Result>OK</Result>{covers}"))).unwrap();
        assert_eq!(record.body(), br#"{"covers":["Fire","Theft"],"currency":null,"value":"1"}"#);
    }

    #[test]
    fn errors_inside_of_a_200_are_what_they_mean() {
        assert_eq!(kind(200, &policy("<Result>UNKNOWN</Result>")), FailureKind::NotFound);
        assert_eq!(kind(200, &policy("<Result>CLOSED</Result>")), FailureKind::Rejected);
        assert_eq!(kind(200, &policy("")), FailureKind::Malformed);
    }

    #[test]
    fn a_fault_is_told_from_an_outage() {
        let fault =
            |code: &str| format!("<s:Fault><faultcode>s:{code}</faultcode><faultstring>no</faultstring></s:Fault>");
        assert_eq!(kind(500, &fault("Client")), FailureKind::Rejected);
        assert_eq!(kind(500, &fault("Server")), FailureKind::Unavailable);
        assert_eq!(kind(503, ""), FailureKind::Unavailable);
        assert_eq!(answered(500, "<html>sorry<br>").unwrap_err().kind, FailureKind::Unavailable);
    }
}
