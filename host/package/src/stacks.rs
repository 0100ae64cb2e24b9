//! The stacks of several providers: which of them have a function of their own, and all templates with their names.

use std::collections::{BTreeMap, BTreeSet};

use crate::dist::PROVIDERS;
use crate::error::PackagingError;
use crate::prepared_provider::PreparedProvider;
use crate::templates::{self, Codes, MAX_PROVIDER_NAME, SharedStack, Stack, StackSecrets};
use crate::terraform;
use crate::timeout::LeastTimeout;

/// The shared stack's template.
pub const SHARED: &str = "damper.yaml";
/// Folders of the bucket that are no provider's: dead letters, those that were redriven, and what Lambda itself writes.
const FOLDERS: [&str; 3] = ["dead-letters", "dead-letters-redriven", "aws"];

/// The most providers of a shared stack: it has an output for each and ten others, and CloudFormation takes 200.
const MAX_PROVIDERS: usize = 190;

/// The providers that get a function of their own, of those that are named.
///
/// # Errors
/// If one is not packaged, or cannot be isolated by its name.
pub fn select_isolated(named: &[String], providers: &[PreparedProvider]) -> Result<BTreeSet<String>, PackagingError> {
    let unknown = named.iter().find(|name| !providers.iter().any(|provider| provider.name() == *name));
    // Objects of others lie below these.
    let taken = named.iter().find(|name| FOLDERS.contains(&name.as_str()));
    if let Some(name) = taken {
        let what = format!("--isolated {name}: the bucket has a folder of that name for all providers");
        return Err(PackagingError::input(what, "give the provider another name"));
    }
    match unknown {
        Some(name) => {
            let known: Vec<&str> = providers.iter().map(PreparedProvider::name).collect();
            let hint = format!("the providers are: {}", known.join(", "));
            Err(PackagingError::input(format!("--isolated {name}: this provider is not packaged"), hint))
        }
        None => Ok(named.iter().cloned().collect()),
    }
}

/// Checks that AWS takes the stacks of these providers.
///
/// # Errors
/// If there are too many for one shared stack, or the role of one would have too long a name.
pub(crate) fn check_limits(providers: &[PreparedProvider], isolated: &BTreeSet<String>) -> Result<(), PackagingError> {
    if providers.len() > MAX_PROVIDERS {
        let what =
            format!("{} providers are more than a shared stack takes, which is {MAX_PROVIDERS}", providers.len());
        let hint = "package some of them into another shared stack, with an --output of its own";
        return Err(PackagingError::input(what, hint));
    }
    let has_long_name = |provider: &&PreparedProvider| {
        let has_role = !provider.secrets.is_empty() && !isolated.contains(provider.name());
        has_role && provider.name().len() > MAX_PROVIDER_NAME
    };
    match providers.iter().find(has_long_name) {
        Some(provider) => {
            let name = provider.name();
            let what = format!(
                "{name} has secrets and a name of more than {MAX_PROVIDER_NAME} characters, too many for the name of \
                 the role that reads them"
            );
            Err(PackagingError::input(
                what,
                format!("shorten the name, or give it a function of its own: --isolated {name}"),
            ))
        }
        None => Ok(()),
    }
}

/// All templates, and the inputs of Terraform, by their names.
pub(crate) fn render_templates(
    providers: &[PreparedProvider],
    isolated: &BTreeSet<String>,
    codes: &Codes,
) -> BTreeMap<String, String> {
    let with_others = providers.iter().filter(|provider| !isolated.contains(provider.name()));
    let timeout = LeastTimeout::of(with_others.clone().map(|provider| &provider.manifest));
    let stack = SharedStack {
        first: providers.first().map(PreparedProvider::name).unwrap_or_default(),
        providers: &with_others.map(|provider| provider.name().to_owned()).collect(),
        isolated,
        timeout,
    };
    let mut texts = BTreeMap::from([
        (SHARED.to_owned(), templates::shared_template(&stack, codes)),
        (terraform::VARIABLES.to_owned(), terraform::variables(providers, isolated, codes)),
    ]);
    for provider in providers {
        let stack = Stack {
            provider: provider.name(),
            start_batch: provider.manifest.pace.start_batch,
            retention: &provider.retention,
            isolated: isolated.contains(provider.name()),
            secrets: StackSecrets { read: &provider.secrets, rotated: &provider.rotated_secrets },
            timeout: LeastTimeout::of(std::iter::once(&provider.manifest)),
        };
        texts.insert(format!("{PROVIDERS}/{}.yaml", provider.name()), templates::provider_template(&stack, codes));
    }
    texts
}
