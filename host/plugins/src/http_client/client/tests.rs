use damper_core::fetcher::Permits;
use damper_core::manifest::Manifest;

use super::*;
use crate::call::{Output, Times};
use crate::capture::CaptureLevel;
use crate::credentials::KeyCounting;
use crate::egress::SystemResolver;
use crate::grants::{Grants, SecretBinding};
use crate::memory::{HostMemory, MemoryBudget};

/// The size of a request's future, which every fetch in flight has.
const MAX_BYTES: usize = 3 * 1024;

fn client() -> HttpClient {
    let manifest =
        "name = \"x\"\nversion = \"0.1.0\"\negress.hosts = [\"api.test\"]\n[credentials.key]\nkind = \"bearer\"";
    let manifest = Manifest::parse(manifest).unwrap();
    let mut grants = Grants::default();
    grants.secrets.insert("key".to_owned(), SecretBinding::constant("s3cret", Vec::new()));
    let scrubber = Arc::<Scrubber>::default();
    HttpClient {
        provider: "x".to_owned(),
        user_agent: http::HeaderValue::from_static("damper"),
        policy: EgressPolicy::new(Vec::new(), Vec::new(), Vec::new()),
        credentials: Credentials::new(&manifest, &grants, &scrubber, None, &KeyCounting::in_process()).unwrap(),
        scrubber,
        connections: Connections::new(&manifest.limits, &grants, Arc::new(SystemResolver), None).unwrap(),
        response_bytes: 1,
        echoes: AtomicU64::new(0),
    }
}

#[test]
fn what_a_credential_has_to_wait_for_makes_no_request_larger() {
    let client = client();
    let times = Times { timeout: Duration::from_secs(30), longest_response: Duration::ZERO };
    let memory = HostMemory::new(MemoryBudget::new(1 << 30, 1).share(), 1);
    let call = GuestCall::new(Output::new("x", "id", false), Permits::new(0), times, CaptureLevel::Bundle, memory);
    let request = Request {
        method: "GET".to_owned(),
        url: "https://api.test".to_owned(),
        headers: Vec::new(),
        body: None,
        credentials: vec!["key".to_owned()],
        timeout_ms: None,
        extras: Vec::new(),
    };
    let bytes = size_of_val(&client.send(&call, request));
    assert!(bytes <= MAX_BYTES, "{bytes} bytes");
}
