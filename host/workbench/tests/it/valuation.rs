//! A provider with OAuth2, an order that is polled, and XML together: what authors of real APIs write. It conforms, and
//! its component is small.

use damper_workbench::conformance::{Rules, Status};

use crate::common::{case_runner, cases, component};

/// The bound of the provider guide. A component of more has a note in its conformance report.
const MAX_BYTES: usize = 250_000;

#[test]
fn a_component_with_oauth2_polling_and_xml_has_at_most_250_000_bytes() {
    for name in ["valuation", "contract-enquiry"] {
        let bytes = component(name).bytes.len();
        assert!(bytes <= MAX_BYTES, "{name} has {bytes} bytes: look at what the SDK brings into it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_may_be_placed_once_more_with_its_credential() {
    let case_runner = case_runner("valuation");
    let cases = cases("tests/fixtures/providers/valuation/cases");
    let report = case_runner.conform(&cases, &Rules::default()).await.unwrap();
    let failed: Vec<_> = report.checks.iter().filter(|check| check.status == Status::Failed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let forgotten = report.checks.iter().filter(|check| check.name.ends_with("404")).count();
    assert!(forgotten >= 2, "the API forgets the order in each call that polls");
}
