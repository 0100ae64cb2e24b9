//! Files: Landlock.

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, path_beneath_rules,
};

use crate::policy::Policy;

/// Leaves the files of a policy, and no others.
pub(crate) fn restrict_files(policy: &Policy) -> Result<(), String> {
    let status = apply_ruleset(policy).map_err(|error| error.to_string())?;
    if status == RulesetStatus::NotEnforced { Err("the kernel has no Landlock".to_owned()) } else { Ok(()) }
}

fn apply_ruleset(policy: &Policy) -> Result<RulesetStatus, RulesetError> {
    let abi = ABI::V3;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let ruleset = Ruleset::default()
        // A kernel without it refuses to rename files from one folder to another, which the output needs.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(&policy.readable, read))?
        .add_rules(path_beneath_rules(&policy.executable, read | AccessFs::Execute))?
        .add_rules(path_beneath_rules(&policy.writable, read | AccessFs::from_write(abi)))?;
    Ok(ruleset.restrict_self()?.ruleset)
}
