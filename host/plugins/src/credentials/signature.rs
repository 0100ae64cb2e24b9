//! AWS Signature Version 4: the form of its secret, and signed requests.
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>)

use std::fmt;

use serde::Deserialize;

use super::secret_spellings::secret_spellings;
use crate::grants::Secret;
#[cfg(feature = "aws-sigv4")]
use crate::grants::SigningScope;

/// An access key of AWS.
pub(crate) struct AwsKey {
    id: String,
    secret: Secret,
    session_token: Option<Secret>,
}

/// The secret's text, if it is a JSON object: with the names that AWS's own tools write (`aws sts assume-role`), or
/// ours.
#[derive(Deserialize)]
struct AwsKeyText {
    #[serde(alias = "AccessKeyId")]
    access_key_id: String,
    #[serde(alias = "SecretAccessKey")]
    secret_access_key: String,
    #[serde(alias = "SessionToken")]
    session_token: Option<String>,
}

impl AwsKey {
    /// `ID:SECRET`, `ID:SECRET:SESSION_TOKEN`, or a JSON object with these three; else says what is wrong with it, as
    /// the end of a sentence.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        if cfg!(not(feature = "aws-sigv4")) {
            return Err("is of kind aws-sigv4, which this program cannot sign: build it with its Cargo feature `aws`");
        }
        let read = match serde_json::from_str(text) {
            Ok(read) => Some(read),
            Err(_) if text.trim_start().starts_with('{') => None,
            Err(_) => Self::split(text),
        };
        let read = read.filter(|read: &AwsKeyText| {
            let token = read.session_token.as_deref().unwrap_or("token");
            [&*read.access_key_id, &*read.secret_access_key, token]
                .iter()
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic()))
        });
        let AwsKeyText { access_key_id, secret_access_key, session_token } = read.ok_or(
            "is neither \"access_key_id:secret_access_key\", with \":session_token\" if there is one, nor a JSON \
                 object with these keys",
        )?;
        let session_token = session_token.map(Secret::new);
        Ok(Self { id: access_key_id, secret: Secret::new(secret_access_key), session_token })
    }

    fn split(text: &str) -> Option<AwsKeyText> {
        let mut parts = text.splitn(3, ':').map(str::to_owned);
        Some(AwsKeyText { access_key_id: parts.next()?, secret_access_key: parts.next()?, session_token: parts.next() })
    }

    /// Every text of it that must not be written. The key's id is no secret.
    pub(crate) fn spellings(&self) -> Vec<String> {
        let secrets = [Some(&self.secret), self.session_token.as_ref()].into_iter().flatten();
        secrets.flat_map(|secret| secret_spellings(secret.expose())).collect()
    }

    /// Signs a request that is otherwise complete: its method, path, query, body, host and all headers that it has.
    /// Adds headers. None if it cannot be signed.
    #[cfg(feature = "aws-sigv4")]
    pub(crate) fn sign(
        &self,
        scope: &SigningScope,
        request: &mut reqwest::Request,
        now: std::time::SystemTime,
    ) -> Option<()> {
        use aws_sigv4::http_request::{
            PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
            UriPathNormalizationMode, sign,
        };
        use aws_sigv4::sign::v4::SigningParams;

        let token = self.session_token.as_ref().map(|token| token.expose().to_owned());
        let key = aws_credential_types::Credentials::new(&*self.id, self.secret.expose(), token, None, "damper");
        let identity = key.into();
        let mut settings = SigningSettings::default();
        // S3 signs paths as they are sent, and requires the digest of the body as a header.
        if scope.service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let params = SigningParams::builder().identity(&identity).region(&scope.region).name(&scope.service);
        let params = params.time(now).settings(settings).build().ok()?.into();
        let url = request.url()[..url::Position::AfterQuery].to_owned();
        let headers = request.headers().iter();
        let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let signable = SignableRequest::new(request.method().as_str(), url, headers, SignableBody::Bytes(body)).ok()?;
        let (added, _) = sign(signable, &params).ok()?.into_parts().0.into_parts();
        for header in added {
            let value = super::header_value::header_value(header.value())?;
            request.headers_mut().insert(header.name(), value);
        }
        Some(())
    }
}

impl fmt::Debug for AwsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(feature = "aws-sigv4")]
#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::Method;
    use jiff::Timestamp;

    use super::*;

    /// The key and the time of AWS's own test suite (aws-sig-v4-test-suite).
    const KEY: &str = "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn sign(request: &mut reqwest::Request, key: &str, service: &str) -> String {
        let scope = SigningScope { region: "us-east-1".to_owned(), service: service.to_owned() };
        let now: Timestamp = "2015-08-30T12:36:00Z".parse().unwrap();
        AwsKey::read(key).unwrap().sign(&scope, request, SystemTime::from(now)).unwrap();
        request.headers()["authorization"].to_str().unwrap().to_owned()
    }

    fn request(method: Method, url: &str) -> reqwest::Request {
        reqwest::Request::new(method, url.parse().unwrap())
    }

    fn signature(authorization: &str) -> &str {
        authorization.rsplit_once("Signature=").unwrap().1
    }

    #[test]
    fn signatures_are_those_of_the_published_test_suite() {
        for (method, path, expected) in [
            // get-vanilla
            (Method::GET, "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            // get-vanilla-query-order-key-case
            (
                Method::GET,
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            // post-vanilla
            (Method::POST, "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ] {
            let mut request = request(method, &format!("https://example.amazonaws.com{path}"));
            let authorization = sign(&mut request, KEY, "service");
            assert_eq!(signature(&authorization), expected, "{path}");
            assert!(authorization.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, "
            ));
            assert_eq!(request.headers()["x-amz-date"], "20150830T123600Z");
        }
        // post-x-www-form-urlencoded
        let mut request = request(Method::POST, "https://example.amazonaws.com/");
        request.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        *request.body_mut() = Some("Param1=value1".into());
        let authorization = sign(&mut request, KEY, "service");
        assert_eq!(signature(&authorization), "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
    }

    #[test]
    fn the_signature_covers_the_query_and_the_body() {
        let signed = |url: &str, body: &'static str| {
            let mut request = request(Method::POST, url);
            *request.body_mut() = Some(body.into());
            signature(&sign(&mut request, KEY, "service")).to_owned()
        };
        let url = "https://example.amazonaws.com/";
        let all =
            [signed(url, "a"), signed(url, "b"), signed(&format!("{url}?x=1"), "a"), signed(&format!("{url}y"), "a")];
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(all[0], signed(url, "a"));
    }

    #[test]
    fn a_session_token_and_the_digest_for_s3_are_sent() {
        let mut request = request(Method::GET, "https://bucket.s3.amazonaws.com/a%20b");
        sign(&mut request, &format!("{KEY}:session/token=="), "s3");
        assert_eq!(request.headers()["x-amz-security-token"], "session/token==");
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(request.headers()["x-amz-content-sha256"], empty);
        assert!(!format!("{request:?}").contains("session/token"), "it is hidden in debug output");
    }

    #[test]
    fn a_key_is_read_from_either_form_and_prints_without_its_secret() {
        let of_sts = r#"{"AccessKeyId": "AKID", "SecretAccessKey": "hunter2", "SessionToken": "swordfish"}"#;
        for text in ["AKID:hunter2", "AKID:hunter2:swordfish", of_sts] {
            let key = AwsKey::read(text).unwrap();
            assert!(!format!("{key:?}").contains("hunter2") && key.spellings().contains(&"hunter2".to_owned()));
            assert_eq!(key.spellings().contains(&"swordfish".to_owned()), text.contains("swordfish"));
        }
        for text in ["AKID", ":hunter2", "AKID:", "AKID:a:", "AKID:a b", "{}", "AKID:a\nb"] {
            assert!(AwsKey::read(text).is_err(), "{text}");
        }
    }
}
