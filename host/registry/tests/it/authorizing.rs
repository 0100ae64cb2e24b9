//! Authorization: what a registry demands, which credentials it gets, and who does not get them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use damper_registry::pull::resolve;
use damper_registry::{Access, CredentialOrigin, Registry, RegistryError};

use crate::fake_registry::{FakeRegistry, MAX_BYTES, REPOSITORY, Step, endless, options_with, respond, with_header};

/// A docker configuration with a password (`name:password`) for a registry.
pub(crate) fn docker_config(folder: &Path, address: SocketAddr, login: &str) -> PathBuf {
    write_config(folder, &format!(r#"{{"auths": {{"{address}": {{"auth": "{}"}}}}}}"#, STANDARD.encode(login)))
}

fn write_config(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("config.json");
    fs::write(&file, text).unwrap();
    file
}

pub(crate) fn open(fake: &FakeRegistry, access: Access, config: PathBuf) -> Registry {
    Registry::open(&fake.reference("1.0.0"), access, &options_with(Some(config))).unwrap()
}

/// Demand `challenge` of requests without the authorization.
fn demand(fake: &FakeRegistry, authorization: String, challenge: String) {
    fake.intercept(move |seen| match &seen.authorization {
        Some(shown) if *shown == authorization => Step::Pass,
        _ => Step::Answer(with_header(respond(401, ""), "www-authenticate", &challenge)),
    });
}

fn basic(login: &str) -> String {
    format!("Basic {}", STANDARD.encode(login))
}

async fn look(registry: &Registry, fake: &FakeRegistry) -> Result<(), RegistryError> {
    resolve(registry, &fake.reference("1.0.0"), MAX_BYTES).await.map(|_| ())
}

#[tokio::test]
async fn a_password_is_shown_after_it_was_demanded_and_then_with_each_request() {
    let (fake, folder) = (FakeRegistry::start().await, tempfile::tempdir().unwrap());
    fake.put("1.0.0", b"x");
    let registry = open(&fake, Access::Pull, docker_config(folder.path(), fake.address, "me:hunter2"));
    look(&registry, &fake).await.unwrap();
    assert!(fake.take_seen().iter().all(|seen| seen.authorization.is_none()), "nobody demanded any");
    demand(&fake, basic("me:hunter2"), "Basic realm=\"x\"".to_owned());
    look(&registry, &fake).await.unwrap();
    look(&registry, &fake).await.unwrap();
    let shown: Vec<bool> = fake.take_seen().iter().map(|seen| seen.authorization.is_some()).collect();
    assert_eq!(shown, [false, true, true]);
}

#[tokio::test]
async fn a_refusal_says_where_credentials_were_looked_for() {
    let (fake, folder) = (FakeRegistry::start().await, tempfile::tempdir().unwrap());
    demand(&fake, "none".to_owned(), "Basic realm=\"x\"".to_owned());
    let login = format!("docker login {}", fake.address);
    let config = docker_config(folder.path(), fake.address, "me:hunter2");
    let empty = write_config(
        &{
            let sub = folder.path().join("empty");
            fs::create_dir(&sub).unwrap();
            sub
        },
        "{}",
    );
    for (config, told, origin) in [
        (Some(config.clone()), "were shown", CredentialOrigin::Found(config)),
        (Some(empty.clone()), "has no credentials for it", CredentialOrigin::Missing(empty)),
        (None, "set HOME or DOCKER_CONFIG", CredentialOrigin::Nowhere),
    ] {
        let registry = Registry::open(&fake.reference("1.0.0"), Access::Pull, &options_with(config)).unwrap();
        let error = look(&registry, &fake).await.unwrap_err();
        let hint = error.hint().unwrap();
        assert!(hint.contains(told) && hint.contains(&login), "{hint}");
        assert!(!format!("{error} {error:?} {hint}").contains("hunter2"));
        let RegistryError::Denied { status: 401, credentials, repository, .. } = error else { panic!("{error}") };
        assert_eq!((credentials, &*repository), (origin, REPOSITORY));
    }
    fake.intercept(|_| Step::Answer(respond(403, r#"{"errors":[{"code":"DENIED","message":"read only"}]}"#)));
    let registry = open(&fake, Access::Push, folder.path().join("config.json"));
    let error = look(&registry, &fake).await.unwrap_err().to_string();
    assert!(error.ends_with("(status 403): read only"), "{error}");
}

#[tokio::test]
async fn a_token_is_for_this_repository_alone_and_what_the_command_does() {
    for (access, actions) in [(Access::Pull, "pull"), (Access::Push, "pull%2Cpush")] {
        let (fake, folder) = (FakeRegistry::start().await, tempfile::tempdir().unwrap());
        fake.put("1.0.0", b"x");
        let realm = format!("http://{}/token", fake.address);
        fake.intercept(move |seen| match (&*seen.path, &seen.authorization) {
            ("/token", _) => Step::Answer(respond(200, r#"{"token": "t1"}"#)),
            (_, Some(shown)) if shown == "Bearer t1" => Step::Pass,
            _ => {
                // Another scope than is needed.
                let challenge = format!(r#"Bearer realm="{realm}",service="reg",scope="repository:secret:pull""#);
                Step::Answer(with_header(respond(401, ""), "www-authenticate", &challenge))
            }
        });
        let registry = open(&fake, access, docker_config(folder.path(), fake.address, "me:hunter2"));
        look(&registry, &fake).await.unwrap();
        let seen = fake.take_seen();
        let asked = &seen[1];
        assert_eq!((&*asked.method, &*asked.path), ("GET", "/token"));
        assert_eq!(asked.query, format!("service=reg&scope=repository%3Aproviders%2Fgleif%3A{actions}"));
        assert_eq!(asked.authorization, Some(basic("me:hunter2")));
        assert_eq!(seen[2].authorization.as_deref(), Some("Bearer t1"));
    }
}

#[tokio::test]
async fn an_identity_token_is_changed_into_another_and_nobody_needs_one_for_public_components() {
    let (fake, folder) = (FakeRegistry::start().await, tempfile::tempdir().unwrap());
    fake.put("1.0.0", b"x");
    let realm = format!("http://{}/token", fake.address);
    let answer = move |fake: &FakeRegistry| {
        let realm = realm.clone();
        fake.intercept(move |seen| match (&*seen.path, &seen.authorization) {
            ("/token", _) => Step::Answer(respond(200, r#"{"access_token": "t2"}"#)),
            (_, Some(shown)) if shown == "Bearer t2" => Step::Pass,
            _ => Step::Answer(with_header(respond(401, ""), "www-authenticate", &format!("Bearer realm=\"{realm}\""))),
        });
    };
    answer(&fake);
    let config = format!(r#"{{"auths": {{"{}": {{"identitytoken": "idt"}}}}}}"#, fake.address);
    let config = write_config(folder.path(), &config);
    look(&open(&fake, Access::Pull, config), &fake).await.unwrap();
    let asked = &fake.take_seen()[1];
    assert_eq!((&*asked.method, &asked.authorization), ("POST", &None));
    let form = String::from_utf8(asked.body.to_vec()).unwrap();
    assert!(form.contains("grant_type=refresh_token") && form.contains("refresh_token=idt"), "{form}");
    let anonymous = Registry::open(&fake.reference("1.0.0"), Access::Pull, &options_with(None)).unwrap();
    look(&anonymous, &fake).await.unwrap();
    assert_eq!(fake.take_seen()[1].authorization, None);
}

#[tokio::test]
async fn token_services_that_cannot_be_trusted_get_nothing() {
    let (fake, other, folder) =
        (FakeRegistry::start().await, FakeRegistry::start().await, tempfile::tempdir().unwrap());
    let registry = || open(&fake, Access::Pull, docker_config(folder.path(), fake.address, "me:hunter2"));
    for (realm, problem) in [
        (format!("http://localhost:{}/token", other.address.port()), "has no TLS and is on another host"),
        ("ftp://127.0.0.1/token".to_owned(), "has no TLS"),
        ("http://user@127.0.0.1/token".to_owned(), "has no TLS"),
        ("token".to_owned(), "has no usable address"),
    ] {
        demand(&fake, "none".to_owned(), format!("Bearer realm=\"{realm}\""));
        let error = look(&registry(), &fake).await.unwrap_err().to_string();
        assert!(error.contains(problem), "{realm}: {error}");
    }
    assert!(other.take_seen().is_empty());
    // A token service that redirects, says nonsense, or does not end.
    let realm = format!("http://{}/token", other.address);
    demand(&fake, "none".to_owned(), format!("Bearer realm=\"{realm}\""));
    let elsewhere = format!("http://{}/stolen", other.address);
    other.intercept(move |_| Step::Answer(with_header(respond(307, ""), "location", &elsewhere)));
    assert!(look(&registry(), &fake).await.unwrap_err().to_string().contains("token service has status 307"));
    assert!(other.take_seen().iter().all(|seen| seen.path == "/token"));
    for body in ["", "{}", "[", r#"{"token": ""}"#, r#"{"token": "a\r\nb"}"#] {
        other.intercept(move |_| Step::Answer(respond(200, body)));
        let error = look(&registry(), &fake).await.unwrap_err();
        assert!(matches!(error, RegistryError::Protocol { .. }), "{body}: {error}");
    }
    other.intercept(|_| Step::Answer(endless(200)));
    assert!(look(&registry(), &fake).await.unwrap_err().to_string().contains("more than 65536 bytes"));
    other.intercept(|_| Step::Answer(respond(401, "")));
    assert!(matches!(look(&registry(), &fake).await, Err(RegistryError::Denied { status: 401, .. })));
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_and_do_not_come_back() {
    let (fake, storage, folder) =
        (FakeRegistry::start().await, FakeRegistry::start().await, tempfile::tempdir().unwrap());
    fake.put("1.0.0", b"x");
    let (there, back) = (format!("http://{}/there", storage.address), format!("http://{}/back", fake.address));
    fake.intercept(move |seen| match (&*seen.path, &seen.authorization) {
        ("/back", _) => Step::Answer(respond(200, "stolen")),
        (_, None) => Step::Answer(with_header(respond(401, ""), "www-authenticate", "Basic realm=\"x\"")),
        _ => Step::Answer(with_header(respond(307, ""), "location", &there)),
    });
    // The storage demands credentials of its own, and sends us back.
    storage.intercept(move |_| {
        let response = with_header(respond(307, ""), "location", &back);
        Step::Answer(with_header(response, "www-authenticate", "Basic realm=\"x\""))
    });
    let registry = open(&fake, Access::Pull, docker_config(folder.path(), fake.address, "me:hunter2"));
    assert!(look(&registry, &fake).await.is_err());
    assert!(storage.take_seen().iter().all(|seen| seen.authorization.is_none()));
    assert!(fake.take_seen().iter().filter(|seen| seen.path == "/back").all(|seen| seen.authorization.is_none()));
    storage.intercept(|_| Step::Answer(with_header(respond(401, ""), "www-authenticate", "Basic realm=\"x\"")));
    assert!(matches!(look(&registry, &fake).await, Err(RegistryError::Denied { status: 401, .. })));
    assert!(storage.take_seen().iter().all(|seen| seen.authorization.is_none()));
}
