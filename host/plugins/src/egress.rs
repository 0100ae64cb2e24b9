//! The egress policy: which requests a provider may send. Decisions only, no I/O: `http_client` asks here before each
//! request and each hop of a redirect, and `resolver` before each connection.

pub(crate) mod address;
pub(crate) mod headers;
pub(crate) mod redirect;

use url::{Host, Url};

use crate::grants::Origin;

/// The longest URL, in bytes.
const MAX_URL_BYTES: usize = 16 * 1024;

/// The origins to which a provider may send requests.
#[derive(Debug)]
pub(crate) struct EgressPolicy {
    /// The manifest's hosts, as origins.
    asked: Vec<Origin>,
    /// The origins that the operator granted.
    granted: Vec<Origin>,
    /// The origins that the operator granted by name although they are not https or not at public addresses.
    private: Vec<Origin>,
}

/// How an allowed request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To public addresses only.
    Public,
    /// To any address: the operator granted this origin by name.
    Private,
}

impl EgressPolicy {
    pub(crate) fn new(asked: Vec<Origin>, granted: Vec<Origin>, private: Vec<Origin>) -> Self {
        Self { asked, granted, private }
    }

    /// Whether a request to this URL is allowed, and how it is sent; else why not.
    pub(crate) fn check(&self, url: &Url) -> Result<Route, String> {
        let origin = Origin::of(url).ok_or_else(|| "only https is allowed".to_owned())?;
        if self.private.contains(&origin) {
            return Ok(Route::Private);
        }
        let refusal = self.refusal(&origin, url.host());
        refusal.map_or(Ok(Route::Public), |why| Err(format!("{origin} is refused: {why}")))
    }

    /// Whether the operator granted this origin by name.
    pub(crate) fn is_private(&self, origin: &Origin) -> bool {
        self.private.contains(origin)
    }

    /// The same for a URL that the operator named, which need not be among the manifest's hosts, nor at port 443.
    pub(crate) fn check_named(&self, url: &Url) -> Result<Route, String> {
        let origin = Origin::of(url).ok_or_else(|| "only https is allowed".to_owned())?;
        if self.private.contains(&origin) {
            return Ok(Route::Private);
        }
        private_refusal(&origin, url.host()).map_or(Ok(Route::Public), |why| Err(format!("{origin} is refused: {why}")))
    }

    fn refusal(&self, origin: &Origin, host: Option<Host<&str>>) -> Option<String> {
        if let Some(why) = private_refusal(origin, host) {
            return Some(why);
        }
        if origin.port() != 443 {
            return Some("only port 443 is allowed".to_owned());
        }
        if !self.asked.contains(origin) {
            return Some("the manifest's egress.hosts does not list it".to_owned());
        }
        let granted = self.granted.contains(origin);
        (!granted).then(|| "the operator has not granted this host".to_owned())
    }
}

/// The reason for which an origin that is not private is refused: an address that is not public, or no TLS.
fn private_refusal(origin: &Origin, host: Option<Host<&str>>) -> Option<String> {
    let address = match host {
        Some(Host::Ipv4(address)) => address::refusal(address.into()),
        Some(Host::Ipv6(address)) => address::refusal(address.into()),
        _ => None,
    };
    if let Some(class) = address {
        return Some(format!("it is a {class} address, and the operator has not granted it as a private origin"));
    }
    (!origin.is_https()).then(|| "only https is allowed".to_owned())
}

/// Reads a guest's URL: absolute, without user, password and fragment.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    if text.len() > MAX_URL_BYTES {
        return Err(format!("the URL has {} bytes, more than {MAX_URL_BYTES}", text.len()));
    }
    let url = Url::parse(text).map_err(|error| format!("the URL cannot be read: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("the URL is neither http nor https".to_owned());
    }
    if has_user(&url) {
        return Err("the URL holds a user name or a password: use a credential".to_owned());
    }
    if url.fragment().is_some() {
        return Err("the URL holds a fragment".to_owned());
    }
    Ok(url)
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origins(hosts: &[&str]) -> Vec<Origin> {
        hosts.iter().map(|host| Origin::https(host).unwrap()).collect()
    }

    fn policy() -> EgressPolicy {
        let private = vec!["http://127.0.0.1:8085".parse().unwrap(), "https://inside.test:8443".parse().unwrap()];
        EgressPolicy::new(
            origins(&["api.example.com", "asked.example.com"]),
            origins(&["api.example.com", "granted.example.com"]),
            private,
        )
    }

    fn check(url: &str) -> Result<Route, String> {
        parse_url(url).and_then(|url| policy().check(&url))
    }

    #[test]
    fn only_what_is_asked_and_granted_passes() {
        let cases = [
            ("https://api.example.com/a?b", Ok(Route::Public)),
            ("https://API.example.com:443/", Ok(Route::Public)),
            ("http://127.0.0.1:8085/x", Ok(Route::Private)),
            ("http://2130706433:8085/x", Ok(Route::Private)),
            ("https://inside.test:8443/", Ok(Route::Private)),
            ("https://inside.test/", Err("does not list it")),
            ("http://inside.test:8443/", Err("only https")),
            ("https://asked.example.com/", Err("not granted")),
            ("https://granted.example.com/", Err("does not list it")),
            ("https://api.example.com.evil.test/", Err("does not list it")),
            ("https://api.example.com./", Err("does not list it")),
            ("https://evil-api.example.com/", Err("does not list it")),
            ("http://api.example.com/", Err("only https")),
            ("https://api.example.com:8443/", Err("only port 443")),
            ("http://127.0.0.1:8086/", Err("loopback")),
            ("https://127.0.0.1:8085/", Err("loopback")),
            ("https://[::1]/", Err("loopback")),
            ("https://0177.0.0.1/", Err("loopback")),
            ("https://169.254.169.254/latest/meta-data", Err("link-local")),
            ("https://[::ffff:169.254.169.254]/", Err("link-local")),
            ("https://[fd00:ec2::254]/", Err("unique-local")),
            ("https://8.8.8.8/", Err("does not list it")),
            ("https://user@api.example.com/", Err("user name")),
            ("https://:pw@api.example.com/", Err("user name")),
            ("https://api.example.com/#part", Err("fragment")),
            ("ftp://api.example.com/", Err("neither http nor https")),
            ("file:///etc/passwd", Err("neither http nor https")),
            ("//api.example.com/", Err("cannot be read")),
            ("https://api.example.com\\@evil.test/", Ok(Route::Public)),
        ];
        for (url, expected) in cases {
            match (check(url), expected) {
                (Ok(route), Ok(wanted)) => assert_eq!(route, wanted, "{url}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{url}: {why}"),
                (got, wanted) => panic!("{url}: {got:?} instead of {wanted:?}"),
            }
        }
    }

    #[test]
    fn what_an_operator_named_has_any_port_but_no_inner_address() {
        let named = |text: &str| policy().check_named(&Url::parse(text).unwrap());
        assert_eq!(named("https://auth.example.com:8443/token"), Ok(Route::Public));
        assert_eq!(named("http://127.0.0.1:8085/token"), Ok(Route::Private));
        for (url, part) in [
            ("http://auth.example.com/", "only https"),
            ("https://127.0.0.1/", "loopback"),
            ("https://[::ffff:169.254.169.254]/", "link-local"),
        ] {
            let why = named(url).unwrap_err();
            assert!(why.contains(part), "{url}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_text_passes_that_does_not_go_to_a_granted_origin(text in "\\PC{0,60}") {
            prop_assert!(check(&text).is_err());
        }

        #[test]
        fn whatever_stands_around_a_host_it_must_be_the_granted_one(
            scheme in "https?", before in "[a-z@.:/\\\\#?%]{0,6}", after in "[a-z@.:/\\\\#?%0-9]{0,6}"
        ) {
            let text = format!("{scheme}://{before}api.example.com{after}");
            if check(&text).is_ok() {
                let url = Url::parse(&text).unwrap();
                prop_assert_eq!(url.host_str(), Some("api.example.com"));
                prop_assert_eq!(url.scheme(), "https");
                prop_assert_eq!(url.port(), None);
                prop_assert!(!has_user(&url));
            }
        }

        #[test]
        fn no_address_passes_unless_granted(bits in any::<u128>()) {
            let (four, six) = (std::net::Ipv4Addr::from(bits as u32), std::net::Ipv6Addr::from(bits));
            let four = check(&format!("https://{four}/"));
            let six = check(&format!("https://[{six}]/"));
            prop_assert!(four.is_err() && six.is_err());
        }
    }
}
