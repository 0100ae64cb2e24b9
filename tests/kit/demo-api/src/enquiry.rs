//! The contract enquiry of three vendors: one standard, and each vendor with a credential, a version of SOAP and a
//! version of the standard of its own. For `providers/contract-enquiry`.
//!
//! | path | credential | SOAP | standard |
//! | --- | --- | --- | --- |
//! | `/enquiry/acme-life` | Basic, `damper:acme-secret` | 1.1 | 2.1 |
//! | `/enquiry/northern` | a token of `/enquiry/northern/token`, for the client `damper:northern-secret` | 1.2 | 2.0 |
//! | `/enquiry/caledonia` | `X-Api-Key: caledonia-secret` | 1.1 | 2.1 |
//!
//! A policy whose number begins with `unknown` is not found. The settings and the book of the demo API do not apply.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use crate::chance::{hash, mix};

/// The time that a vendor takes for an answer.
pub(crate) const LATENCY: Duration = Duration::from_millis(25);

const SOAP_11: Soap = Soap { namespace: "http://schemas.xmlsoap.org/soap/envelope/", content_type: "text/xml" };
const SOAP_12: Soap =
    Soap { namespace: "http://www.w3.org/2003/05/soap-envelope", content_type: "application/soap+xml" };

/// `damper:acme-secret` and `damper:northern-secret` in Base64.
const ACME_LOGIN: &str = "Basic ZGFtcGVyOmFjbWUtc2VjcmV0";
const NORTHERN_CLIENT: &str = "Basic ZGFtcGVyOm5vcnRoZXJuLXNlY3JldA==";
const NORTHERN_TOKEN: &str = "northern-token-1";

/// A version of SOAP.
struct Soap {
    namespace: &'static str,
    content_type: &'static str,
}

/// A vendor's service.
struct Vendor {
    path: &'static str,
    /// The header that carries the credential, and its value.
    credential: (&'static str, &'static str),
    soap: &'static Soap,
    /// The namespace of its version of the standard.
    namespace: &'static str,
}

const VENDORS: [Vendor; 3] = [
    Vendor {
        path: "acme-life",
        credential: ("authorization", ACME_LOGIN),
        soap: &SOAP_11,
        namespace: "urn:example:contract-enquiry:2.1",
    },
    Vendor {
        path: "northern",
        credential: ("authorization", "Bearer northern-token-1"),
        soap: &SOAP_12,
        namespace: "urn:example:contract-enquiry:2.0",
    },
    Vendor {
        path: "caledonia",
        credential: ("x-api-key", "caledonia-secret"),
        soap: &SOAP_11,
        namespace: "urn:example:contract-enquiry:2.1",
    },
];

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EnquiryAnswer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

impl EnquiryAnswer {
    fn json(status: StatusCode, body: &serde_json::Value) -> Self {
        Self { status, content_type: "application/json", body: body.to_string() }
    }

    fn error(status: StatusCode, why: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": why }))
    }
}

/// The answer to a POST at `/enquiry/{path}`.
pub(crate) fn answer(path: &str, headers: &HeaderMap, body: &str) -> EnquiryAnswer {
    if path == "northern/token" {
        return token(headers, body);
    }
    let Some(vendor) = VENDORS.iter().find(|vendor| vendor.path == path) else {
        let why = "no such vendor; there are acme-life, northern and caledonia";
        return EnquiryAnswer::error(StatusCode::NOT_FOUND, why);
    };
    let (header, expected) = vendor.credential;
    if !has_header(headers, header, expected) {
        return EnquiryAnswer::error(StatusCode::UNAUTHORIZED, "the credential is missing or wrong");
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with(vendor.soap.content_type) || !body.contains(vendor.soap.namespace) {
        return envelope(vendor, StatusCode::INTERNAL_SERVER_ERROR, &vendor.soap.fault("VersionMismatch"));
    }
    let asked = body.contains(vendor.namespace).then(|| element_text(body, "PolicyNumber")).flatten();
    match asked {
        None => envelope(vendor, StatusCode::INTERNAL_SERVER_ERROR, &vendor.soap.fault(vendor.soap.sender())),
        Some(policy) => envelope(vendor, StatusCode::OK, &response(vendor, policy)),
    }
}

/// The answer of northern's token endpoint (RFC 6749, 4.4).
fn token(headers: &HeaderMap, body: &str) -> EnquiryAnswer {
    if !has_header(headers, AUTHORIZATION.as_str(), NORTHERN_CLIENT) {
        return EnquiryAnswer::json(StatusCode::UNAUTHORIZED, &serde_json::json!({ "error": "invalid_client" }));
    }
    if !body.split('&').any(|pair| pair == "grant_type=client_credentials") {
        let error = serde_json::json!({ "error": "unsupported_grant_type" });
        return EnquiryAnswer::json(StatusCode::BAD_REQUEST, &error);
    }
    let token = serde_json::json!({ "access_token": NORTHERN_TOKEN, "token_type": "Bearer", "expires_in": 3_600 });
    EnquiryAnswer::json(StatusCode::OK, &token)
}

fn has_header(headers: &HeaderMap, name: &str, value: &str) -> bool {
    headers.get(name).is_some_and(|given| given.as_bytes() == value.as_bytes())
}

/// The text of the first element of this name, escaped as it came.
fn element_text<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once('<')?;
    (!text.is_empty()).then_some(text)
}

/// The message about a policy: a contract that is made from the policy's number and nothing else, or an error.
fn response(vendor: &Vendor, policy: &str) -> String {
    let namespace = vendor.namespace;
    if policy.starts_with("unknown") {
        return format!(
            "<ContractEnquiryResponse xmlns=\"{namespace}\"><Outcome status=\"error\">\
             <Error code=\"CE1001\">No policy of this number</Error></Outcome></ContractEnquiryResponse>"
        );
    }
    let bits = mix(hash(policy));
    let (pounds, pence, day) = (1_000 + bits % 250_000, (bits >> 20) % 100, 1 + (bits >> 30) % 28);
    format!(
        "<ContractEnquiryResponse xmlns=\"{namespace}\"><Outcome status=\"ok\"/><Contract>\
         <PolicyNumber>{policy}</PolicyNumber><Product code=\"PPP\">Personal Pension Plan</Product>\
         <Status>in-force</Status><StartDate>2009-04-{day:02}</StartDate><Valuations><Valuation kind=\"fund\">\
         <Date>2026-01-15</Date><Amount currency=\"GBP\">{pounds}.{pence:02}</Amount></Valuation></Valuations>\
         </Contract></ContractEnquiryResponse>"
    )
}

fn envelope(vendor: &Vendor, status: StatusCode, message: &str) -> EnquiryAnswer {
    let Soap { namespace, content_type } = vendor.soap;
    let body = format!("<s:Envelope xmlns:s=\"{namespace}\"><s:Body>{message}</s:Body></s:Envelope>");
    EnquiryAnswer { status, content_type, body }
}

impl Soap {
    /// The code of a fault that the caller caused.
    fn sender(&self) -> &'static str {
        if self.content_type == SOAP_11.content_type { "Client" } else { "Sender" }
    }

    fn fault(&self, code: &str) -> String {
        if self.content_type == SOAP_11.content_type {
            return format!(
                "<s:Fault><faultcode>s:{code}</faultcode><faultstring>see the WSDL</faultstring></s:Fault>"
            );
        }
        format!(
            "<s:Fault><s:Code><s:Value>s:{code}</s:Value></s:Code>\
             <s:Reason><s:Text xml:lang=\"en\">see the WSDL</s:Text></s:Reason></s:Fault>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(vendor: &Vendor) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(vendor.credential.0, vendor.credential.1.parse().unwrap());
        headers.insert(CONTENT_TYPE, vendor.soap.content_type.parse().unwrap());
        headers
    }

    fn request(vendor: &Vendor, policy: &str) -> String {
        let (soap, namespace) = (vendor.soap.namespace, vendor.namespace);
        format!("<E xmlns=\"{soap}\"><R xmlns=\"{namespace}\"><PolicyNumber>{policy}</PolicyNumber></R></E>")
    }

    #[test]
    fn each_vendor_answers_in_its_versions_and_refuses_the_credentials_of_the_others() {
        for vendor in &VENDORS {
            let found = answer(vendor.path, &headers(vendor), &request(vendor, "A&amp;B"));
            assert_eq!((found.status, found.content_type), (StatusCode::OK, vendor.soap.content_type));
            for part in [vendor.soap.namespace, vendor.namespace, "<PolicyNumber>A&amp;B</PolicyNumber>"] {
                assert!(found.body.contains(part), "{}: {part}: {}", vendor.path, found.body);
            }
            let others = VENDORS.iter().filter(|other| other.path != vendor.path).map(headers);
            for wrong in others.chain([HeaderMap::new()]) {
                let refused = answer(vendor.path, &wrong, &request(vendor, "A"));
                assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", vendor.path);
            }
        }
    }

    #[test]
    fn another_version_of_soap_or_of_the_standard_is_a_fault() {
        let [acme, northern, _] = &VENDORS;
        let mismatch = answer(acme.path, &headers(acme), &request(northern, "A"));
        assert_eq!(mismatch.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(mismatch.body.contains("VersionMismatch"), "{}", mismatch.body);
        let other = request(northern, "A").replace(northern.namespace, acme.namespace);
        let refused = answer(northern.path, &headers(northern), &other);
        assert!(refused.body.contains("s:Sender"), "{}", refused.body);
    }

    #[test]
    fn an_unknown_policy_is_an_error_within_a_200() {
        let [_, _, caledonia] = &VENDORS;
        let found = answer(caledonia.path, &headers(caledonia), &request(caledonia, "unknown-1"));
        assert!(found.status == StatusCode::OK && found.body.contains("CE1001"), "{found:?}");
    }

    #[test]
    fn the_token_endpoint_knows_its_client() {
        let mut headers = HeaderMap::new();
        let asked = "grant_type=client_credentials";
        assert_eq!(answer("northern/token", &headers, asked).status, StatusCode::UNAUTHORIZED);
        headers.insert(AUTHORIZATION, NORTHERN_CLIENT.parse().unwrap());
        assert_eq!(answer("northern/token", &headers, "").status, StatusCode::BAD_REQUEST);
        let token = answer("northern/token", &headers, asked);
        assert!(token.status == StatusCode::OK && token.body.contains(NORTHERN_TOKEN), "{token:?}");
    }
}
