//! Envelopes of SOAP 1.1 and 1.2: made with a WS-Security user name, opened with their faults told from their bodies.
//! No attachments, no signatures, no addressing.

use damper_sdk::prelude::*;
use damper_sdk::xml::Element;
use damper_sdk::{text, xml};

const SOAP_11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const SOAP_12: &str = "http://www.w3.org/2003/05/soap-envelope";
const WSSE: &str = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";

/// Which SOAP the service speaks. It is asked in this one; its answers are read in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1_1,
    V1_2,
}

impl Version {
    /// The envelope around a message that is XML already.
    pub(crate) fn envelope(self, username: &str, message: &str) -> Result<String, Failure> {
        let soap = match self {
            Version::V1_1 => SOAP_11,
            Version::V1_2 => SOAP_12,
        };
        let username = xml::escape(username)?;
        Ok(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soap:Envelope xmlns:soap=\"{soap}\"><soap:Header>\
             <wsse:Security xmlns:wsse=\"{WSSE}\" soap:mustUnderstand=\"1\"><wsse:UsernameToken>\
             <wsse:Username>{username}</wsse:Username></wsse:UsernameToken></wsse:Security></soap:Header>\
             <soap:Body>{message}</soap:Body></soap:Envelope>"
        ))
    }

    /// The request with an envelope and its action: a header of its own in 1.1, a part of the media type in 1.2.
    pub(crate) fn with_action(self, request: http::Request, action: &str, envelope: String) -> http::Request {
        match self {
            Version::V1_1 => {
                request.header("SOAPAction", format!("\"{action}\"")).body("text/xml; charset=utf-8", envelope)
            }
            Version::V1_2 => {
                request.body(format!("application/soap+xml; charset=utf-8; action=\"{action}\""), envelope)
            }
        }
    }
}

/// The body of the envelope that an answer holds, or its fault as a failure.
///
/// A fault comes with HTTP 500, in 1.2 also with 400, and from some services with 200. An error page with such a status
/// is what the status says.
pub(crate) fn body(answer: http::Response) -> Result<Element, Failure> {
    let opened = match answer.status() {
        200..=299 | 400 | 500 => answer.xml().and_then(open),
        _ => Err(Failure::malformed("no answer of SOAP")),
    };
    match opened {
        Ok(Opened::Body(body)) => answer.ok().map(|_| body),
        Ok(Opened::Fault(mut failure)) => {
            if failure.kind == FailureKind::Unavailable {
                failure.retry_after = answer.retry_after();
            }
            Err(failure.with_status(answer.status()))
        }
        Err(unreadable) => Err(answer.ok().err().unwrap_or(unreadable)),
    }
}

/// The content of an envelope.
enum Opened {
    Body(Element),
    Fault(Failure),
}

fn open(envelope: Element) -> Result<Opened, Failure> {
    let soap = envelope.namespace().to_owned();
    if !is_soap(&envelope, "Envelope") {
        return Err(Failure::malformed("not an envelope of SOAP"));
    }
    let body = envelope.into_children().find(|child| child.is(&soap, "Body"));
    let body = body.ok_or_else(|| Failure::malformed("an envelope of SOAP without a body"))?;
    // Wherever it stands in the body: nothing beside a fault counts.
    let fault = body.children().find(|child| is_soap(child, "Fault")).map(read_fault);
    Ok(fault.map_or(Opened::Body(body), Opened::Fault))
}

/// Whether an element is one of SOAP's, of either version.
fn is_soap(element: &Element, name: &str) -> bool {
    element.is(SOAP_11, name) || element.is(SOAP_12, name)
}

/// The meaning of a fault: its code, in 1.2 also the subcodes, and the reason for a person.
fn read_fault(fault: &Element) -> Failure {
    let mut codes = Vec::new();
    let reason = if fault.namespace() == SOAP_11 {
        codes.extend(fault.child("", "faultcode"));
        fault.child("", "faultstring")
    } else {
        let mut code = fault.child(SOAP_12, "Code");
        while let Some(inner) = code {
            codes.extend(inner.child(SOAP_12, "Value"));
            code = inner.child(SOAP_12, "Subcode");
        }
        fault.child(SOAP_12, "Reason").and_then(|reason| reason.child(SOAP_12, "Text"))
    };
    // The code is a qualified name in a text. Its prefix is the document's own affair, and the local names are clear.
    let codes: Vec<&str> =
        codes.iter().map(|code| code.text()).map(|code| code.rsplit(':').next().unwrap_or(code)).collect();
    let reason = reason.map(Element::text).unwrap_or_default();
    let said = format!("SOAP fault {}: {}", text::short(&codes.join("/")), text::short(reason));
    Failure::new(fault_kind(&codes), said)
}

fn fault_kind(codes: &[&str]) -> FailureKind {
    // WS-Security's own codes (SOAP Message Security 1.1, section 12), as code or as subcode, and 1.1's dotted form.
    const SECURITY: [&str; 7] = [
        "FailedAuthentication",
        "FailedCheck",
        "InvalidSecurity",
        "InvalidSecurityToken",
        "SecurityTokenUnavailable",
        "UnsupportedSecurityToken",
        "Client.Authentication",
    ];
    if codes.iter().any(|code| SECURITY.contains(code)) {
        return FailureKind::Unauthorized;
    }
    match codes.first().map(|code| code.split('.').next().unwrap_or(code)) {
        Some("Client" | "Sender") => FailureKind::Rejected,
        Some("Server" | "Receiver") => FailureKind::Unavailable,
        // The service and this provider do not speak the same SOAP: a mistake of the provider or its config, no item's.
        Some("VersionMismatch" | "MustUnderstand" | "DataEncodingUnknown") => FailureKind::Other("soap".to_owned()),
        _ => FailureKind::Malformed,
    }
}
