//! A contract enquiry by SOAP, in the style of the UK life-and-pensions industry: what a policy is worth, what it pays,
//! and to whom.
//!
//! The standard is a synthetic one. The industry's own messages are Origo's standards, which are not reproduced here:
//! names, namespace and error codes are made up. The way such services work is not: an envelope of SOAP 1.1
//! (<https://www.w3.org/TR/2000/NOTE-SOAP-20000508/>) or 1.2 (<https://www.w3.org/TR/soap12-part1/>), the user name of
//! WS-Security (the UsernameToken Profile 1.1 of OASIS, whose password is optional, and left out: a secret never enters
//! a provider), faults with HTTP 500, business errors inside a 200, and hours in which it is closed.
//!
//! Many vendors implement the standard, each with hosts, a credential and quirks of its own. Each is a provider in
//! damper.toml; all use this component. It is meant to be copied: `vendor.rs` knows what differs, `soap.rs` envelopes,
//! `contract.rs` the one message.
//!
//! An id is a policy number as the service writes it. A record is JSON: the contract with its valuations, benefits,
//! contributions and parties. The param `valuation_date` asks for another day than the provider's.

mod contract;
mod soap;
mod vendor;

use std::time::Duration;

use damper_sdk::prelude::*;
use damper_sdk::{text, xml};

use contract::Contract;
use vendor::Vendor;

/// Fetches one contract.
#[damper_sdk::provider]
fn fetch(request: &FetchRequest) -> Result<Record, Failure> {
    let vendor = Vendor::from_config()?;
    let namespace = vendor.namespace;
    let envelope = vendor.soap.envelope(&vendor.username, &enquiry(&vendor, request)?)?;
    let answer = vendor
        .soap
        .with_action(http::post(&vendor.endpoint), &format!("{namespace}/ContractEnquiry"), envelope)
        .credential(vendor.credential)
        .send()?;
    let body = soap::body(answer)?;
    let response = body.required(namespace, "ContractEnquiryResponse")?;
    let warnings = check_outcome(response.required(namespace, "Outcome")?)?;
    let contract = Contract::read(response.required(namespace, "Contract")?)?;
    if contract.policy_number != request.id {
        return Err(Failure::malformed("the service answered with another policy"));
    }
    let mut record = Record::from_value(&contract)?.with_attribute("status", &contract.status);
    if !warnings.is_empty() {
        record = record.with_attribute("warnings", warnings.join("; "));
    }
    Ok(record)
}

/// The message that asks, to stand in an envelope's body. Values from outside are escaped.
fn enquiry(vendor: &Vendor, request: &FetchRequest) -> Result<String, Failure> {
    if request.id.trim().is_empty() {
        return Err(Failure::rejected("an empty policy number"));
    }
    let day = request.param("valuation_date").unwrap_or(&request.day);
    if !contract::is_date(day) {
        return Err(Failure::rejected("valuation_date is no date: write it as 2026-01-15"));
    }
    let policy = xml::escape(&request.id)?;
    Ok(format!(
        "<ContractEnquiryRequest xmlns=\"{namespace}\"><Firm>{firm}</Firm>\
         <MessageId>{asked}/{attempt}/{policy}</MessageId><PolicyNumber>{policy}</PolicyNumber><ValuationDate>{day}</ValuationDate></ContractEnquiryRequest>",
        namespace = vendor.namespace,
        firm = xml::escape(&vendor.firm)?,
        asked = xml::escape(&request.day)?,
        attempt = request.attempt,
    ))
}

/// The service's verdict on the enquiry itself: the warnings that come with a contract, or the failure that there is in
/// place of one.
fn check_outcome(outcome: &xml::Element) -> Result<Vec<String>, Failure> {
    let said = |error: &xml::Element| {
        let code = error.attribute("code").unwrap_or_default();
        format!("{}: {}", text::short(code), text::short(error.text()))
    };
    match outcome.attribute("status") {
        Some("ok") => Ok(outcome.children_named(outcome.namespace(), "Warning").map(said).collect()),
        Some("error") => {
            let error = outcome.required(outcome.namespace(), "Error")?;
            let failure = business_error(error.attribute("code").unwrap_or_default(), said(error));
            Err(match error.attribute("retryAfterSeconds").and_then(|seconds| seconds.parse().ok()) {
                Some(seconds) => failure.with_retry_after(Duration::from_secs(seconds)),
                None => failure,
            })
        }
        _ => Err(Failure::malformed("the outcome is neither ok nor error")),
    }
}

/// The meaning of an error of the business; the service's table, in its groups.
fn business_error(code: &str, said: String) -> Failure {
    match code {
        // The policy: not known, or of a business that was sold on.
        "CE1001" | "CE1002" => Failure::not_found(said),
        // The caller may not use the service at all, which an operator has to see to.
        "CE2001" => Failure::unauthorized(said),
        // The caller may not see this policy: another firm's client. It says nothing of the next one, so the provider
        // goes on.
        "CE2002" => Failure::rejected(said),
        // The enquiry: not valid, or of a product that the service does not value.
        "CE3001" | "CE3002" => Failure::rejected(said),
        // The service: out of hours, or without its back office.
        "CE4001" | "CE4002" => Failure::unavailable(said),
        "CE4003" => Failure::throttled(said),
        _ => Failure::malformed(format!("an error that the service's table does not have: {said}")),
    }
}

#[cfg(test)]
mod tests;
