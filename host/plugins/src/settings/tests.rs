use std::path::Path;
use std::sync::Arc;

use crate::grants::{ClientAuth, Secret, SecretError, SecretSource};

use super::*;

const MANIFEST: &str = r#"
    name = "x"
    version = "0.1.0"
    [egress]
    hosts = ["api.test", "more.test"]
    [limits]
    max_concurrency = 8
    [credentials]
    key = { kind = "header", header = "X-Key" }
    client = { kind = "oauth2-client-credentials" }
    signer = { kind = "jwt-bearer", token_url = "https://api.test/token", audience = "urn:author" }
    named = { kind = "oauth2-client-credentials", token_url = "https://auth.test/v2/token", scopes = ["read"] }
    certificate = { kind = "mtls" }
    [config]
    region = ""
    pages = "3"
"#;

/// A source that remembers where it is.
struct Remembered(SecretPlace);

#[async_trait::async_trait]
impl SecretSource for Remembered {
    async fn read(&self) -> Result<Secret, SecretError> {
        Ok(Secret::new(serde_json::json!({ "k": self.0.to_string() }).to_string()))
    }
}

fn find_everywhere(place: &SecretPlace) -> Result<FoundSecret, SecretPlaceError> {
    Ok(FoundSecret { source: Arc::new(Remembered(place.clone())), known: None })
}

const EVERYWHERE: SecretSources<'static> = SecretSources { backends: SecretBackends::Machine, find: &find_everywhere };

fn bind_settings(settings: &str) -> Result<BoundProvider, BindingError> {
    let settings = ProviderSettings::from_toml(settings).unwrap();
    bind(&Manifest::parse(MANIFEST).unwrap(), &settings, Place::File(Path::new("damper.toml")), EVERYWHERE)
}

/// The message and the hint.
fn refusal(credential: &str) -> String {
    let error =
        bind_settings(&format!("hosts = \"manifest\"\nconfig.region = \"eu\"\n[credentials.{credential}")).unwrap_err();
    assert_eq!(error.place().as_deref(), Some("damper.toml"));
    format!("{error}; {}", error.hint())
}

#[test]
fn what_an_operator_says_is_granted_and_tightened() {
    let text = r#"
        component = "x.wasm"
        hosts = ["API.test"]
        private = ["http://127.0.0.1:8085"]
        proxy = "http://proxy:3128"
        config = { region = "eu", pages = 7 }
        limits = { max_concurrency = 2 }
        [credentials.key]
        env = "X_KEY"
        hosts = ["more.test", "http://127.0.0.1:8085"]
        [credentials.client]
        secret = "prod/x"
        token_url = "https://auth.test:8443/token?x=y"
        scopes = ["read", "write:all"]
        client_auth = "body"
    "#;
    let BoundProvider { manifest, grants, warnings } = bind_settings(text).unwrap();
    assert_eq!(manifest.limits.max_concurrency.get(), 2);
    assert_eq!((grants.hosts, grants.private.len()), (vec!["api.test".to_owned()], 1));
    assert_eq!((grants.config["region"].as_str(), grants.config["pages"].as_str()), ("eu", "7"));
    let key = &grants.secrets["key"];
    assert_eq!((key.place.as_str(), key.hosts.len()), ("the environment variable X_KEY", 2));
    let client = &grants.secrets["client"];
    assert_eq!(client.place, "the secret \"prod/x\" of AWS Secrets Manager");
    assert_eq!(client.hosts, ["api.test"], "absent, they are those that are granted");
    let tokens = client.tokens.as_ref().unwrap();
    assert_eq!(tokens.url.as_str(), "https://auth.test:8443/token?x=y");
    assert_eq!((tokens.scopes.len(), tokens.client_auth), (2, ClientAuth::Body));
    assert!(
        warnings.len() == 3 && warnings[0].contains("its credential \"certificate\" has no secret"),
        "{warnings:?}"
    );
}

#[test]
fn a_component_without_hosts_of_its_own_may_have_credentials_that_one_provider_does_not_use() {
    let text = MANIFEST.replace("hosts = [\"api.test\", \"more.test\"]", "hosts = \"operator\"");
    let manifest = Manifest::parse(&text).unwrap();
    let warnings = |credentials: &str| {
        let text = format!("hosts = [\"api.test\"]\nconfig.region = \"eu\"\n{credentials}");
        let settings = ProviderSettings::from_toml(&text).unwrap();
        bind(&manifest, &settings, Place::File(Path::new("damper.toml")), EVERYWHERE).unwrap().warnings
    };
    assert_eq!(warnings("credentials.key.env = \"X_KEY\""), Vec::<String>::new());
    assert_eq!(warnings("").len(), 5, "a provider that has none gets a warning for each");
}

#[test]
fn without_a_damper_toml_the_manifests_hosts_are_granted_and_with_one_nothing_is() {
    let manifest = Manifest::parse(&MANIFEST.replace("region = \"\"", "")).unwrap();
    let nothing = ProviderSettings::default();
    let free = bind(&manifest, &nothing, Place::Nowhere, EVERYWHERE).unwrap();
    assert_eq!((free.grants.hosts.len(), free.grants.secrets.len(), free.warnings.len()), (2, 0, 6));
    let file = Place::File(Path::new("settings.toml"));
    let error = bind(&manifest, &nothing, file, EVERYWHERE).unwrap_err();
    assert!(matches!(error, BindingError::NoHost { .. }), "{error}");
    assert_eq!(error.place().as_deref(), Some("settings.toml"));
}

#[test]
fn a_secret_has_one_home() {
    for (text, expected) in [
        ("key]", "providers.x.credentials.key needs one of `env`, `file` and `secret`"),
        (
            "key]\nenv = \"A\"\nsecret = \"b\"",
            "credentials.key has `env` and `secret`; say where the secret is, in one place",
        ),
        ("key]\nenv = \"A\"\nfile = \"f\"\nsecret = \"b\"", "has `env` and `file` and `secret`"),
        ("key]\nenv = \"A\"\nsecret_key = \"k\"", "has `secret_key` without `secret`"),
        ("nope]\nenv = \"A\"", "credentials.nope is not a credential of its manifest"),
    ] {
        let message = refusal(text);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_key_is_counted_by_its_place_and_not_by_its_number() {
    let bind_text = |credentials: &str| {
        let find = |_: &SecretPlace| {
            Ok(FoundSecret { source: std::sync::Arc::new(crate::grants::Secret::new("hunter2")), known: None })
        };
        let sources = SecretSources { backends: SecretBackends::Machine, find: &find };
        let settings = ProviderSettings::from_toml(&format!("hosts = \"manifest\"\n{credentials}")).unwrap();
        let manifest = "name = \"x\"\nversion = \"0.1.0\"\negress.hosts = [\"api.test\"]\n\
            credentials.key.kind = \"bearer\"\ncredentials.login.kind = \"basic\"";
        let bound = bind(&Manifest::parse(manifest).unwrap(), &settings, Place::Nowhere, sources).unwrap();
        let limits = |name: &str| -> Vec<_> {
            let Some(binding) = bound.grants.secrets.get(name) else { return Vec::new() };
            let further = binding.more_keys.iter().map(|key| key.limit.clone());
            std::iter::once(binding.limit.clone()).chain(further).collect()
        };
        assert!(bound.grants.has_limited_keys());
        (limits("key"), limits("login"))
    };
    let (several, _) = bind_text(
        "[credentials.key]\nsecrets = [{ env = \"A\", daily_quota = 5 }, { env = \"B\" }, { file = \"A\", daily_quota = 7 }]",
    );
    let quotas: Vec<_> = several.iter().map(|limit| limit.as_ref().map(|limit| limit.daily_quota.get())).collect();
    assert_eq!(quotas, [Some(5), None, Some(7)]);
    let (single, login) = bind_text(
        "[credentials.key]\nenv = \"A\"\ndaily_quota = 5\n[credentials.login]\nsecrets = [{ file = \"A\", daily_quota = 7 }, { env = \"A\", daily_quota = 5 }]",
    );
    assert_eq!(single, [several[0].clone()], "the same place in another list");
    assert_eq!(login, [several[2].clone(), several[0].clone()], "and of another credential");
    let names: Vec<_> = several.iter().flatten().map(|limit| &*limit.counted_as).collect();
    assert!(names[0] != names[1] && names.iter().all(|name| name.len() == 32), "{names:?}");
    // It is stored: a new release has to find the counts of the one before.
    assert_eq!(names[0], "6510a2b903ac816fa05310db30158106");
}

#[test]
fn a_quota_of_a_key_is_a_number_of_requests_that_are_known_one_by_one() {
    for (text, expected) in [
        ("key]\nenv = \"A\"\ndaily_quota = 0", "credentials.key has the `daily_quota` 0; it must be at least 1"),
        ("key]\nsecrets = [{ env = \"A\", daily_quota = -1 }, { env = \"B\" }]", "has the `daily_quota` -1"),
        (
            "key]\ndaily_quota = 5\nsecrets = [{ env = \"A\" }, { env = \"B\" }]",
            "has `secrets` and a `daily_quota` of its own; give each key in `secrets` its own",
        ),
        (
            "key]\nsecrets = [{ env = \"A\", daily_quota = 5 }, { env = \"A\" }]",
            "has a key with another `daily_quota` than the same key of credentials.key",
        ),
        (
            "certificate]\nenv = \"A\"\ndaily_quota = 5",
            "has `daily_quota`, which is for kind header or query or basic or bearer, but its kind is mtls",
        ),
        ("client]\nenv = \"A\"\ndaily_quota = 5", "but its kind is oauth2-client-credentials"),
    ] {
        let message = refusal(text);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn several_keys_are_bound_in_their_order() {
    let text = "key]\nsecrets = [{ env = \"A\" }, { file = \"b\" }]";
    let settings = ProviderSettings::from_toml(&format!("hosts = \"manifest\"\n[credentials.{text}")).unwrap();
    let found = std::cell::RefCell::new(Vec::new());
    let find = |place: &SecretPlace| {
        found.borrow_mut().push(place.to_string());
        Ok(FoundSecret { source: std::sync::Arc::new(crate::grants::Secret::new("x")), known: None })
    };
    let sources = SecretSources { backends: SecretBackends::Machine, find: &find };
    let manifest =
        "name = \"x\"\nversion = \"0.1.0\"\negress.hosts = [\"api.test\"]\n[credentials.key]\nkind = \"bearer\"";
    let manifest = Manifest::parse(manifest).unwrap();
    let bound = bind(&manifest, &settings, Place::Nowhere, sources).unwrap();
    assert_eq!(*found.borrow(), ["the environment variable A", "the file b"]);
    assert_eq!(bound.grants.secrets["key"].more_keys[0].place, "the file b");
    for (text, expected) in [
        ("key]\nenv = \"A\"\nsecrets = [{ env = \"A\" }, { env = \"B\" }]", "has `secrets` and a place of its own"),
        ("key]\nsecrets = [{ env = \"A\" }]", "has 1 `secrets`"),
        ("key]\nsecrets = [{ env = \"A\" }, {}]", "needs one of `env`, `file` and `secret`"),
        ("certificate]\nsecrets = [{ env = \"A\" }, { env = \"B\" }]", "but its kind is mtls"),
    ] {
        let message = refusal(text);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn what_is_another_kinds_setting_is_refused() {
    for (text, expected) in [
        (
            "key]\nenv = \"A\"\ntoken_url = \"https://a.test\"",
            "has `token_url`, which is for kind oauth2-client-credentials or oauth2-refresh-token or jwt-bearer, but its kind is header",
        ),
        ("key]\nenv = \"A\"\nca = \"\"", "has `ca`, which is for kind mtls"),
        ("certificate]\nenv = \"A\"\nscopes = []", "has `scopes`, which is for kind oauth2-client-credentials"),
        ("client]\nenv = \"A\"\naudience = \"a\"", "has `audience`, which is for kind jwt-bearer"),
        (
            "signer]\nenv = \"A\"\nclient_auth = \"body\"",
            "has `client_auth`, which is for kind oauth2-client-credentials",
        ),
        ("signer]\nenv = \"A\"\naudience = \"a b\"", "has an `audience` that cannot be used"),
        ("certificate]\nenv = \"A\"\nca = \"no pem\"", "has a `ca` that is not PEM with certificates"),
        ("client]\nenv = \"A\"", "needs `token_url`, because its kind is oauth2-client-credentials"),
        (
            "client]\nenv = \"A\"\ntoken_url = \"https://a.test\"\nscopes = [\"a b\"]",
            "has the scope \"a b\", which is not a scope",
        ),
        (
            "client]\nenv = \"A\"\ntoken_url = \"http://a.test/\"",
            "`token_url` that cannot be used: only https is allowed",
        ),
        ("client]\nenv = \"A\"\ntoken_url = \"/token\"", "the URL cannot be read"),
        ("client]\nenv = \"A\"\ntoken_url = \"https://u:p@a.test\"", "a user name or a password"),
    ] {
        let message = refusal(text);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_manifests_token_endpoint_is_granted_like_a_host() {
    let tokens = |hosts: &str, credential: &str| {
        let text = format!("{hosts}\nconfig.region = \"eu\"\n[credentials.named]\nenv = \"A\"\n{credential}");
        let bound = bind_settings(&text).map_err(|error| format!("{error}; {}", error.hint()))?;
        let tokens = bound.grants.secrets["named"].tokens.clone().unwrap();
        Ok::<_, String>((tokens.url.to_string(), tokens.scopes, bound.grants.hosts))
    };
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let from_manifest = "https://auth.test/v2/token".to_owned();
    let all = tokens("hosts = \"manifest\"", "").unwrap();
    assert_eq!(all, (from_manifest.clone(), owned(&["read"]), owned(&["api.test", "more.test"])));
    let listed = tokens("hosts = [\"api.test\", \"auth.test\"]", "scopes = [\"write\"]").unwrap();
    assert_eq!((listed.0, listed.1), (from_manifest.clone(), owned(&["write"])), "the operator's scopes hold");
    let private = "hosts = [\"api.test\"]\nprivate = [\"https://auth.test\"]";
    assert_eq!(tokens(private, "scopes = []").unwrap(), (from_manifest, Vec::new(), owned(&["api.test"])));
    assert_eq!(
        tokens("hosts = [\"api.test\"]", "").unwrap_err(),
        "providers.x.credentials.named gets its tokens from auth.test, which is not granted to the provider; \
         add \"auth.test\" to `hosts` if you agree, or name an endpoint: token_url = \"...\""
    );
    let own = tokens("hosts = [\"api.test\"]", "token_url = \"https://sandbox.test/token\"").unwrap();
    assert_eq!((&*own.0, own.1), ("https://sandbox.test/token", owned(&["read"])), "to name it is to grant it");
}

#[test]
fn an_operators_audience_takes_the_place_of_the_manifests() {
    let audience = |credential: &str| {
        let text =
            format!("hosts = [\"api.test\"]\nconfig.region = \"eu\"\n[credentials.signer]\nenv = \"A\"\n{credential}");
        bind_settings(&text).unwrap().grants.secrets["signer"].tokens.clone().unwrap().audience
    };
    assert_eq!(audience("").as_deref(), Some("urn:author"));
    assert_eq!(audience("audience = \"urn:tenant\"").as_deref(), Some("urn:tenant"));
}

#[test]
fn a_credential_goes_somewhere_that_is_granted() {
    let message = |hosts: &str, credential: &str| {
        let text = format!("{hosts}\nconfig.region = \"eu\"\n[credentials.key]\nenv = \"A\"\n{credential}");
        bind_settings(&text).map_err(|error| format!("{error}; {}", error.hint()))
    };
    let private = "private = [\"http://127.0.0.1:8085\"]";
    assert_eq!(
        message(private, "").unwrap_err(),
        "providers.x.credentials.key is sent to no host: a private origin receives a credential only if `hosts` names it; \
         list its receivers: hosts = [\"http://127.0.0.1:8085\"]"
    );
    assert_eq!(
        message("hosts = [\"api.test\"]", "hosts = [\"more.test\"]").unwrap_err(),
        "providers.x.credentials.key is sent only to more.test, which is not granted to the provider; \
         list its receivers: hosts = [\"api.test\"]"
    );
    for (hosts, credential) in [
        (private, "hosts = [\"http://127.0.0.1:8085\"]"),
        ("hosts = \"manifest\"", ""),
        ("hosts = [\"api.test\"]", "hosts = [\"more.test\", \"API.test\"]"),
        ("hosts = [\"api.test\"]", "hosts = [\"https://api.test\"]"),
    ] {
        assert!(message(hosts, credential).is_ok(), "{hosts} {credential}");
    }
}

#[test]
fn a_credential_without_a_secret_is_told_where_one_can_be_here() {
    let (manifest, settings) = (Manifest::parse(MANIFEST).unwrap(), "hosts = \"manifest\"\nconfig.region = \"eu\"");
    let warning = |backends| {
        let (settings, file) = (ProviderSettings::from_toml(settings).unwrap(), Place::File(Path::new("d")));
        let bound = bind(&manifest, &settings, file, SecretSources { backends, find: &find_everywhere });
        bound.unwrap().warnings.concat()
    };
    let (here, in_lambda) = (warning(SecretBackends::Machine), warning(SecretBackends::SecretsManager));
    assert!(here.contains("env = ") && !here.contains("secret = "), "{here}");
    assert!(in_lambda.contains("secret = ") && !in_lambda.contains("env = "), "{in_lambda}");
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let error =
        ProviderSettings::from_toml("hosts = \"manifest\"\n[credentials.key]\nenvironment = \"A\"\n").unwrap_err();
    assert!(error.to_string().contains("unknown field `environment`"), "{error}");
    assert!(error.to_string().ends_with("(line 3, column 1)"), "{error}");
    assert!(ProviderSettings::from_toml("[credentials.client]\nclient_auth = \"digest\"").is_err());
}

#[tokio::test]
async fn one_key_of_a_secret_is_selected_whoever_reads_it() {
    let text = "hosts = \"manifest\"\nconfig.region = \"eu\"\ncredentials.key = { secret = \"a\", secret_key = \"k\" }";
    let source = Arc::clone(&bind_settings(text).unwrap().grants.secrets["key"].source);
    assert_eq!(source.read().await, Ok(Secret::new("the secret \"a\" of AWS Secrets Manager")));
}

#[test]
fn a_place_that_cannot_be_used_here_is_told_as_a_setting() {
    let settings = "hosts = \"manifest\"\nconfig.region = \"eu\"\ncredentials.key = { secret = \"a\" }";
    let nowhere =
        |place: &SecretPlace| Err(SecretPlaceError { problem: format!("names {place}"), hint: "do".to_owned() });
    let settings = ProviderSettings::from_toml(settings).unwrap();
    let sources = SecretSources { backends: SecretBackends::Machine, find: &nowhere };
    let bound = bind(&Manifest::parse(MANIFEST).unwrap(), &settings, Place::File(Path::new("d")), sources);
    let message = bound.unwrap_err().to_string();
    assert_eq!(message, "providers.x.credentials.key names the secret \"a\" of AWS Secrets Manager");
}

#[test]
fn a_secret_that_stands_where_its_place_belongs_is_not_shown() {
    for (key, text) in [
        ("secret", "user:hunter2"),
        ("secret", "hunter2 "),
        ("secret", "-----BEGIN hunter2"),
        ("secret", ""),
        ("env", "hunter2-key"),
        ("env", "user:hunter2"),
        ("env", "2hunter2"),
        ("env", ""),
    ] {
        let settings =
            format!("hosts = \"manifest\"\nconfig.region = \"eu\"\ncredentials.key = {{ {key} = {text:?} }}");
        let error = bind_settings(&settings).unwrap_err();
        let message = format!("{error} {}", error.hint());
        assert!(message.contains(&format!("`{key}` that is not")) && !message.contains("hunter2"), "{message}");
    }
    for good in [
        "secret = \"prod/demo_1+=.@-\"",
        "secret = \"arn:aws:secretsmanager:eu-central-1:1:secret:a-b\"",
        "env = \"_A1\"",
    ] {
        let settings = format!("hosts = \"manifest\"\nconfig.region = \"eu\"\ncredentials.key = {{ {good} }}");
        bind_settings(&settings).unwrap();
    }
}
