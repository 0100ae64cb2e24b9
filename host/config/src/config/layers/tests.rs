//! Tests of the layers: which value holds, where it came from, and what a layer cannot have.

use super::*;
use crate::config::{ComponentLocation, Config};

const WHOLE: &str = r#"
[defaults]
proxy = "http://proxy:3128"
limits.max_concurrency = 3
limits.daily_quota = 1000

[components.enquiry]
file = "enquiry.wasm"
config.standard = "4.1"
limits.max_concurrency = 2
credentials.key.file = "keys/shared"

[providers.acme]
component = "enquiry"
hosts = ["api.acme.example"]
config.branch = "north"

[providers.beta]
component = "enquiry"
hosts = ["api.beta.example"]
limits.max_concurrency = 8
credentials.key.env = "BETA_KEY"

[providers.gleif]
hosts = "manifest"
"#;

fn layers(provider: &str) -> LayeredSettings {
    Config::parse(WHOLE).unwrap().layers(provider).unwrap().clone()
}

/// The error's text and its line and column.
fn error(text: &str) -> (String, Option<(usize, usize)>) {
    let SettingsError { problem, position } = Config::parse(text).unwrap_err();
    (problem, position.map(|position| (position.line, position.column)))
}

#[test]
fn a_nearer_layer_takes_the_place_of_a_farther_one_key_by_key() {
    let config = Config::parse(WHOLE).unwrap();
    let [acme, beta, gleif] = ["acme", "beta", "gleif"].map(|name| config.provider(name).unwrap().clone());
    let concurrency = [&acme, &beta, &gleif].map(|settings| settings.tightening().limits.max_concurrency);
    assert_eq!(concurrency, [Some(2), Some(8), Some(3)]);
    for settings in [&acme, &beta, &gleif] {
        assert_eq!(settings.tightening().limits.daily_quota, Some(1000));
        assert_eq!(settings.proxy.as_deref(), Some("http://proxy:3128"));
    }
    assert_eq!((&*acme.config["standard"].0, &*acme.config["branch"].0), ("4.1", "north"));
    assert!(gleif.config.is_empty() && gleif.credentials.is_empty());
}

#[test]
fn a_place_of_a_secret_replaces_the_place_of_a_farther_layer() {
    let config = Config::parse(WHOLE).unwrap();
    let key = &config.provider("beta").unwrap().credentials["key"];
    assert_eq!((key.env.as_deref(), &key.file), (Some("BETA_KEY"), &None));
    assert!(config.provider("acme").unwrap().credentials["key"].file.is_some());
}

#[test]
fn each_value_has_its_table_and_line() {
    let origin = |provider: &str, key: &str| {
        let SettingOrigin { table, position } = layers(provider).origin(key).unwrap().clone();
        (table, position.line)
    };
    assert_eq!(origin("acme", "limits.max_concurrency"), ("components.enquiry".to_owned(), 10));
    assert_eq!(origin("beta", "limits.max_concurrency"), ("providers.beta".to_owned(), 21));
    assert_eq!(origin("beta", "limits.daily_quota"), ("defaults".to_owned(), 5));
    assert_eq!(origin("gleif", "hosts").0, "providers.gleif");
    assert_eq!(origin("beta", "credentials.key").0, "providers.beta");
    assert!(layers("gleif").origin("limit").is_none(), "a whole key");
}

#[test]
fn a_component_is_a_table_or_a_file_or_has_the_provider_s_name() {
    let text = "[components.enquiry]\nfile = \"wasm/enquiry.wasm\"\n[components.quote]\n\
        [providers.acme]\ncomponent = \"enquiry\"\n[providers.beta]\ncomponent = \"quote\"\n\
        [providers.gamma]\ncomponent = \"other/gamma.wasm\"\n[providers.enquiry]\n[providers.delta]\n";
    let config = Config::parse(text).unwrap();
    let named = |path: &str| ComponentLocation::Named(path.into());
    let searched = |name: &str| ComponentLocation::Searched(name.to_owned());
    assert_eq!(config.component("acme"), named("wasm/enquiry.wasm"));
    assert_eq!(config.component("beta"), searched("quote"));
    assert_eq!(config.component("gamma"), named("other/gamma.wasm"));
    assert_eq!(config.component("enquiry"), named("wasm/enquiry.wasm"), "a table of its own name");
    assert_eq!(config.component("delta"), searched("delta"));
    assert_eq!(config.component("not-listed"), searched("not-listed"));
}

#[test]
fn the_folder_of_components_can_still_be_named_as_text() {
    let config = Config::parse("components = \"wasm\"\n[providers.gleif]\n").unwrap();
    assert_eq!(config.component_folder, std::path::Path::new("wasm"));
}

#[test]
fn keys_that_a_layer_does_not_have_are_refused_with_their_line() {
    let (problem, at) = error("[defaults]\ncomponent = \"a.wasm\"\n");
    assert!(problem.starts_with("defaults.component: ") && at == Some((2, 13)), "{problem} {at:?}");
    let (problem, at) = error("[components.a]\ncomponent = \"a.wasm\"\n");
    assert!(problem.ends_with("write it as `file = \"...\"`") && at == Some((2, 13)), "{problem} {at:?}");
    let (problem, at) = error("[providers.a]\nfile = \"a.wasm\"\n");
    assert!(problem.ends_with("write it as `component = \"...\"`") && at == Some((2, 8)), "{problem} {at:?}");
    let (problem, at) = error("[components.A]\n");
    assert!(problem.contains("a component's name must be") && at.is_some(), "{problem} {at:?}");
    let (problem, at) = error("[defaults.limits]\nmax_konkurrenz = 3\n");
    assert!(problem.contains("unknown field `max_konkurrenz`") && at == Some((2, 1)), "{problem} {at:?}");
    let (problem, at) = error("components = 3\n");
    assert!(problem.contains("the folder of components as text, or tables") && at == Some((1, 14)), "{problem} {at:?}");
    let (problem, at) = error("[providers.a]\n[providers.a]\n");
    assert!(problem.contains("duplicate key") && at.is_some_and(|(line, _)| line == 2), "{problem} {at:?}");
}

#[test]
fn a_table_replaces_a_value_of_the_same_key_and_the_reverse() {
    let text = "[defaults]\nhosts = [\"a.test\"]\n[providers.a]\nhosts = \"manifest\"\n";
    let config = Config::parse(text).unwrap();
    assert_eq!(config.layers("a").unwrap().values().count(), 1);
    assert_eq!(config.layers("a").unwrap().table().to_string(), "hosts = \"manifest\"\n");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn layer() -> impl Strategy<Value = BTreeMap<String, i64>> {
        proptest::collection::btree_map("[a-c]{1,2}", 0..9_i64, 0..4)
    }

    fn write(table: &str, layer: &BTreeMap<String, i64>) -> String {
        let lines: Vec<String> = layer.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        format!("[{table}.config]\n{}", lines.concat())
    }

    proptest! {
        #[test]
        fn the_nearest_layer_that_has_a_key_holds(defaults in layer(), component in layer(), own in layer()) {
            let text = [
                write("defaults", &defaults),
                write("components.c", &component),
                "[providers.p]\ncomponent = \"c\"\n".to_owned(),
                write("providers.p", &own),
            ].concat();
            let config = Config::parse(&text).unwrap();
            let mut expected = defaults;
            expected.extend(component);
            expected.extend(own);
            let found = &config.provider("p").unwrap().config;
            let found: BTreeMap<String, i64> =
                found.iter().map(|(key, value)| (key.clone(), value.0.parse().unwrap())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
