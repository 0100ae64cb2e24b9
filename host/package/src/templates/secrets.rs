//! The permissions to read secrets. The shared function assumes a role for each provider, which is in the provider's
//! stack; the function of an isolated provider reads its secrets itself.

use std::collections::BTreeSet;

use super::fill::{dedent, fill};

const SECRETS_ROLE: &str = include_str!("secrets-role.yaml");

/// The longest name of a provider with secrets: the name of its role has the stream's prefix before it and the region
/// behind it, and at most 64 characters.
pub(crate) const MAX_PROVIDER_NAME: usize = 40;

/// The statement of the shared function's role: it may assume each provider's role, if that role's trust policy names
/// it. No secret is listed here, so the policy does not grow.
pub(super) const ASSUME_ROLES: &str = "\
# Each provider's stack has a role that may read the secrets of this provider and no other.
- Sid: SecretsOfProviders
  Effect: Allow
  Action: sts:AssumeRole
  Resource: !Sub arn:${AWS::Partition}:iam::${AWS::AccountId}:role/damper/${StreamPrefix}*-${AWS::Region}
";

/// The variable from which the function knows the roles, each with its provider's name in place of `{provider}`.
pub(super) const ROLES_VARIABLE: &str = "\
DAMPER_SECRETS_ROLE: !Sub \"arn:${AWS::Partition}:iam::${AWS::AccountId}:role/damper/${StreamPrefix}{provider}-\
${AWS::Region}\"
";

/// The names, or ARNs, of a provider's secrets in Secrets Manager.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StackSecrets<'a> {
    pub(crate) read: &'a BTreeSet<String>,
    /// Those of them that the function also writes.
    pub(crate) rotated: &'a BTreeSet<String>,
}

/// The role that may read a provider's secrets, as lines of `Resources`.
pub(super) fn secrets_role(provider: &str, secrets: &StackSecrets<'_>) -> String {
    let key_actions = if secrets.rotated.is_empty() { "kms:Decrypt" } else { "[kms:Decrypt, kms:GenerateDataKey]" };
    let inline = [("PROVIDER", provider.to_owned()), ("KEY_ACTIONS", key_actions.to_owned())];
    dedent(&fill(SECRETS_ROLE, &inline, &[("SECRETS", secrets_statements(secrets))]))
}

/// The right to read these secrets and no other, and to write those that are rotated. Secrets Manager ends each ARN
/// with six characters of its own.
pub(super) fn secrets_statements(secrets: &StackSecrets<'_>) -> String {
    let statement = |id: &str, action: &str, secrets: &BTreeSet<String>| {
        let arn = |name: &String| match name.starts_with("arn:") {
            true => format!("    - {name}\n"),
            false => format!(
                "    - !Sub arn:${{AWS::Partition}}:secretsmanager:${{AWS::Region}}:${{AWS::AccountId}}\
                 :secret:{name}-??????\n"
            ),
        };
        let arns: String = secrets.iter().map(arn).collect();
        match secrets.is_empty() {
            true => String::new(),
            false => {
                format!("- Sid: {id}\n  Effect: Allow\n  Action: secretsmanager:{action}\n  Resource:\n{arns}")
            }
        }
    };
    let read = statement("Secrets", "GetSecretValue", secrets.read);
    read + &statement("RotatedSecrets", "PutSecretValue", secrets.rotated)
}
