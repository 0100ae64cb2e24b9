//! Isolation in the templates: the assignment of providers to functions, and the denials between them.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

/// The variable that says which of the zip's providers a function works for. A comma alone: for none.
pub(super) fn assignment_variable(providers: &BTreeSet<String>) -> String {
    let names: Vec<&str> = providers.iter().map(String::as_str).collect();
    let names = if names.is_empty() { ",".to_owned() } else { names.join(",") };
    format!("DAMPER_PROVIDERS: \"{names}\"\n")
}

/// Which providers a function works for, in few words that are others for other providers: a version's description, of
/// which no more than 256 characters are taken.
pub(super) fn assigned_text(providers: &BTreeSet<String>) -> String {
    let names: Vec<&str> = providers.iter().map(String::as_str).collect();
    match *names {
        [] => "no provider".to_owned(),
        [one] => one.to_owned(),
        _ => {
            let digest = Sha256::digest(names.join(","));
            let short: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
            format!("{} providers ({short})", names.len())
        }
    }
}

/// Statements that keep the shared function from what belongs to isolated providers.
pub(super) fn denial_of(isolated: &BTreeSet<String>) -> String {
    if isolated.is_empty() {
        return String::new();
    }
    let keys: String = isolated
        .iter()
        .flat_map(|name| [format!("r#{name}#*"), format!("c#{name}"), format!("p#{name}")])
        .map(|key| format!("        - \"{key}\"\n"))
        .collect();
    let objects: String = isolated
        .iter()
        .flat_map(|name| [name.clone(), format!("dead-letters/{name}")])
        .map(|folder| format!("    - !Sub ${{Bucket.Arn}}/{folder}/*\n"))
        .collect();
    format!(
        "# These providers have functions of their own; this function has no access to their data.\n\
         - Sid: NoRowsOfIsolatedProviders\n  Effect: Deny\n  Action: dynamodb:*\n  Resource: !GetAtt Table.Arn\n  \
         Condition:\n    ForAnyValue:StringLike:\n      dynamodb:LeadingKeys:\n{keys}\
         - Sid: NoObjectsOfIsolatedProviders\n  Effect: Deny\n  Action: s3:*\n  Resource:\n{objects}"
    )
}
