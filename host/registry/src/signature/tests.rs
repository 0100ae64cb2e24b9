use super::*;

/// Made by cosign 2.6.5: `generate-key-pair`, `sign --key`, `sign-blob --key`.
const COSIGN_PUB: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEoIIKAEtixQ1gRlyYpm8OpzPN+i0o
CqqdzP3yDBQxTUYIeyI73p2USf0D4SxdInYFno/wPWuOiJL1NF0HGIb3Aw==
-----END PUBLIC KEY-----
";
const PAYLOAD: &str = r#"{"critical":{"identity":{"docker-reference":"127.0.0.1:5055/providers/gleif"},"image":{"docker-manifest-digest":"sha256:4f6a54a05c6ce918c078d22d731579b819beff3143c3913dfad37e19966ca597"},"type":"cosign container image signature"},"optional":null}"#;
const SIGNATURE: &str =
    "MEQCIHkpGFRFStsuR9+gn0At6TBev0ayqnEVU0SKhFLptguBAiAkjW9+UtvrQR37gk6c6cxGOl1CrFfJ2cUkxF/ej5XOtw==";
const ARTIFACT: &str = "sha256:4f6a54a05c6ce918c078d22d731579b819beff3143c3913dfad37e19966ca597";
const FILE_SIGNATURE: &str =
    "MEUCIQDfpb8lE1m4+rGpG+GFj7vTLfV6QskMFTLWEUqRs8tERAIgRROLmLVucTCBldyjRl/sRc0rdv+yQwkkO/qn7iVnobY=";
const FINGERPRINT: &str = "sha256:efb78ddba26c1791c2565f47d105645f00125a29d69f14c9fc57b7e6cab92f2e";
/// Another key.
const OTHER_PUB: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAETiwEBAua9ih7gRyYivke5VxFmBTo
W0C4ibl6kH3H/7eAZeRF7IzPdvxefXeR8P4pgNDFPDevFhTm10s7bN4p5A==
-----END PUBLIC KEY-----
";

fn keys(pems: &[&str]) -> Vec<PublicKey> {
    pems.iter().map(|pem| PublicKey::from_pem(pem).unwrap()).collect()
}

fn signed() -> SignedPayload {
    SignedPayload { payload: PAYLOAD.to_owned(), signature: SIGNATURE.to_owned() }
}

fn problem(result: Result<&PublicKey, SignatureError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_signature_of_cosign_holds_with_any_of_the_keys() {
    let keys = keys(&[OTHER_PUB, COSIGN_PUB]);
    assert_eq!(signed().verify(ARTIFACT.parse().unwrap(), &keys), Ok(&keys[1]));
    assert_eq!(verify_file(b"hi\n", FILE_SIGNATURE, &keys), Ok(&keys[1]));
    assert_eq!(verify_file(b"hi\n", &format!("{FILE_SIGNATURE}\n"), &keys), Ok(&keys[1]));
}

#[test]
fn nothing_else_holds() {
    let (ours, artifact) = (keys(&[COSIGN_PUB]), ARTIFACT.parse().unwrap());
    assert!(problem(signed().verify(artifact, &keys(&[OTHER_PUB]))).contains("not made with the key"));
    assert_eq!(signed().verify(artifact, &[]), Err(SignatureError::NoKey));
    assert!(problem(signed().verify(Digest::of(b""), &ours)).contains("another artifact"));
    let changed = SignedPayload { payload: PAYLOAD.replace("4f6a", "4f6b"), ..signed() };
    assert!(problem(changed.verify(artifact, &ours)).contains("not made with the key"));
    for signature in ["", "!", "AAAA", &SIGNATURE.replace("MEQC", "MEUC"), &"A".repeat(4_000)] {
        assert!(SignedPayload { signature: signature.to_owned(), ..signed() }.verify(artifact, &ours).is_err());
        assert!(verify_file(b"hi\n", signature, &ours).is_err());
    }
    assert!(problem(verify_file(b"ho\n", FILE_SIGNATURE, &ours)).contains("another file"));
    assert_eq!(verify_file(b"hi\n", FILE_SIGNATURE, &[]), Err(SignatureError::NoKey));
}

#[test]
fn keys_of_other_kinds_are_refused_with_the_reason() {
    let body = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
    let ed25519 = format!("{PEM_BEGIN}\n{body}\n{PEM_END}\n");
    let compressed = COSIGN_PUB.replace("QgAEoII", "QgACoII");
    for (pem, problem) in [
        ("", "no PEM file"),
        ("-----BEGIN PUBLIC KEY-----\n", "no PEM file"),
        ("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n", "a private key"),
        (&ed25519, "not an ECDSA key on P-256"),
        (&compressed, "not in the uncompressed form"),
        (&COSIGN_PUB.replace("MFkw", "!!!!"), "Base64 is damaged"),
        (&format!("{COSIGN_PUB}{OTHER_PUB}"), "more than one key"),
        (&" ".repeat(MAX_FILE_BYTES + 1), "too long"),
    ] {
        let error = PublicKey::from_pem(pem).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn a_key_is_shown_by_its_fingerprint() {
    // openssl pkey -pubin -in cosign.pub -outform DER | sha256sum
    assert_eq!(format!("{:?}", keys(&[COSIGN_PUB])[0]), FINGERPRINT);
}
