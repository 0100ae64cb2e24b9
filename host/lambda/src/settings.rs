//! Settings from the function's environment. No other module reads it, except AWS's SDK.
#![allow(clippy::disallowed_methods, reason = "the one module that reads the environment")]

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;

use damper_core::sink::{Compression, CompressionError};
use damper_hardening::Hardening;

/// The default prefix of stream names.
const STREAM_PREFIX: &str = "damper-";

/// The place of a provider's name in `DAMPER_SECRETS_ROLE`.
pub(crate) const PROVIDER: &str = "{provider}";

/// The function's environment, read once at its start. The template that `damper package` writes sets it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// `DAMPER_TABLE`: the ledger's table.
    pub(crate) table: String,
    /// `DAMPER_BUCKET`: where records and dead letters go.
    pub(crate) bucket: String,
    /// `DAMPER_SINK_COMPRESSION`: how records are compressed there, `none` or `zstd`; none else.
    pub(crate) compression: Compression,
    /// `DAMPER_STREAM_PREFIX`: a stream's name is this and the provider's.
    pub(crate) stream_prefix: String,
    /// `DAMPER_PROVIDERS`: the providers of the package that this function works for, separated by commas; none: all of
    /// them. The others have functions of their own.
    pub(crate) providers: Option<BTreeSet<String>>,
    /// `DAMPER_LOG`: what is logged, in the syntax of `RUST_LOG`; none: `info`.
    pub(crate) log: Option<String>,
    /// `DAMPER_CLOCK_OFFSET`: how far the wall clock is put forward, in seconds. For rehearsals of a night; 0 else.
    pub(crate) clock_offset_seconds: i64,
    /// `LAMBDA_TASK_ROOT`: where the package was unpacked.
    pub(crate) package: PathBuf,
    /// `AWS_LAMBDA_FUNCTION_NAME`, with `DAMPER_ALIAS` where that is set: whose mappings are governed. Those of an
    /// alias are listed under its name alone.
    pub(crate) function: String,
    /// `DAMPER_SECRETS_ROLE`: the ARN of the role that may read a provider's secrets, with `{provider}` in place of the
    /// provider's name. None: the function's own role may.
    pub(crate) secrets_role: Option<String>,
    /// `DAMPER_HARDENING`: which layers of hardening are wanted; all, where it says nothing.
    pub(crate) hardening: Hardening,
    /// `SSL_CERT_FILE`, `SSL_CERT_DIR` and `AWS_CA_BUNDLE`: certificates of authorities that are read.
    pub(crate) certificates: Vec<PathBuf>,
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`, in bytes: what the function may use. None: where Lambda does not say, the
    /// machine does.
    pub(crate) memory_bytes: Option<u64>,
}

/// A variable that the function needs and has not, or whose value cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("the environment variable {0} is not set: deploy with the template that `damper package` writes")]
    Missing(&'static str),
    #[error("the environment variable DAMPER_CLOCK_OFFSET is {0:?}, which is not a whole number of seconds")]
    ClockOffset(String),
    #[error("the environment variable DAMPER_SINK_COMPRESSION cannot be used: {0}")]
    Compression(CompressionError),
    #[error("the environment variable DAMPER_SECRETS_ROLE is {0:?}, which has no {{provider}} in it")]
    SecretsRole(String),
    #[error("the environment variable DAMPER_HARDENING cannot be used: {0}")]
    Hardening(damper_hardening::SettingsError),
}

impl Settings {
    /// Reads the environment.
    pub(crate) fn from_environment() -> Result<Self, SettingsError> {
        Self::of(|name| env::var(name).ok())
    }

    fn of(read: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let optional = |name: &str| read(name).filter(|text| !text.trim().is_empty());
        let needed = |name: &'static str| optional(name).ok_or(SettingsError::Missing(name));
        let offset = optional("DAMPER_CLOCK_OFFSET").map_or(Ok(0), |text| match text.trim().parse() {
            Ok(seconds) => Ok(seconds),
            Err(_) => Err(SettingsError::ClockOffset(text)),
        })?;
        Ok(Self {
            table: needed("DAMPER_TABLE")?,
            bucket: needed("DAMPER_BUCKET")?,
            compression: optional("DAMPER_SINK_COMPRESSION")
                .map_or(Ok(Compression::None), |text| text.trim().parse())
                .map_err(SettingsError::Compression)?,
            stream_prefix: optional("DAMPER_STREAM_PREFIX").unwrap_or_else(|| STREAM_PREFIX.to_owned()),
            providers: optional("DAMPER_PROVIDERS").map(|names| {
                let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
                names.map(str::to_owned).collect()
            }),
            log: optional("DAMPER_LOG"),
            clock_offset_seconds: offset,
            package: optional("LAMBDA_TASK_ROOT").unwrap_or_else(|| "/var/task".to_owned()).into(),
            function: match optional("DAMPER_ALIAS") {
                Some(alias) => format!("{}:{alias}", needed("AWS_LAMBDA_FUNCTION_NAME")?),
                None => needed("AWS_LAMBDA_FUNCTION_NAME")?,
            },
            secrets_role: optional("DAMPER_SECRETS_ROLE").map_or(Ok(None), |role| match role.contains(PROVIDER) {
                true => Ok(Some(role)),
                false => Err(SettingsError::SecretsRole(role)),
            })?,
            hardening: optional("DAMPER_HARDENING").unwrap_or_default().parse().map_err(SettingsError::Hardening)?,
            certificates: ["SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_CA_BUNDLE"]
                .into_iter()
                .filter_map(optional)
                .map(PathBuf::from)
                .collect(),
            memory_bytes: optional("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
                .and_then(|mebibytes| mebibytes.parse::<u64>().ok())
                .and_then(|mebibytes| mebibytes.checked_mul(1 << 20)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Settings::of(value)
    }

    const LEAST: [(&str, &str); 3] =
        [("DAMPER_TABLE", "t"), ("DAMPER_BUCKET", "b"), ("AWS_LAMBDA_FUNCTION_NAME", "damper")];

    #[test]
    fn what_is_needed_is_named() {
        let settings = read(&LEAST).unwrap();
        assert_eq!((settings.stream_prefix.as_str(), settings.clock_offset_seconds), ("damper-", 0));
        let live = read(&[LEAST[0], LEAST[1], LEAST[2], ("DAMPER_ALIAS", "live")]).unwrap();
        assert_eq!((settings.function.as_str(), live.function.as_str()), ("damper", "damper:live"));
        let sized = read(&[LEAST[0], LEAST[1], LEAST[2], ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")]).unwrap();
        assert_eq!((settings.memory_bytes, sized.memory_bytes), (None, Some(256 << 20)));
        let soft = read(&[LEAST[0], LEAST[1], LEAST[2], ("DAMPER_HARDENING", "off")]).unwrap();
        assert_eq!((settings.hardening, soft.hardening), (Hardening::default(), Hardening::OFF));
        let odd = read(&[LEAST[0], LEAST[1], LEAST[2], ("DAMPER_HARDENING", "odd")]).unwrap_err();
        assert!(odd.to_string().contains("DAMPER_HARDENING"), "{odd}");
        for (missing, _) in LEAST {
            let others: Vec<_> = LEAST.into_iter().filter(|(name, _)| *name != missing).collect();
            assert!(read(&others).unwrap_err().to_string().contains(missing));
        }
        let empty = [LEAST[0], ("DAMPER_BUCKET", " "), LEAST[2]];
        assert_eq!(read(&empty).unwrap_err(), SettingsError::Missing("DAMPER_BUCKET"));
    }

    #[test]
    fn records_are_compressed_where_the_environment_says_so() {
        let with = |value| read(&[LEAST[0], LEAST[1], LEAST[2], ("DAMPER_SINK_COMPRESSION", value)]);
        assert_eq!(read(&LEAST).unwrap().compression, Compression::None);
        assert_eq!(with("none").unwrap().compression, Compression::None);
        assert_eq!(with("zstd").unwrap().compression, Compression::Zstd);
        let said = with("gzip").unwrap_err().to_string();
        assert!(said.contains("DAMPER_SINK_COMPRESSION") && said.contains("\"gzip\""), "{said}");
        assert!(said.ends_with("write none or zstd"), "{said}");
    }

    #[test]
    fn a_function_may_work_for_some_of_the_providers_alone() {
        assert_eq!(read(&LEAST).unwrap().providers, None);
        let some = read(&[LEAST[0], LEAST[1], LEAST[2], ("DAMPER_PROVIDERS", "gleif, sec-edgar,")]).unwrap();
        assert_eq!(some.providers, Some(BTreeSet::from(["gleif".to_owned(), "sec-edgar".to_owned()])));
    }

    #[test]
    fn the_role_of_secrets_has_a_place_for_the_provider() {
        let with = |role| read(&[LEAST[0], LEAST[1], LEAST[2], ("DAMPER_SECRETS_ROLE", role)]);
        let role = "arn:aws:iam::1:role/damper/damper-{provider}-eu-central-1";
        assert_eq!(with(role).unwrap().secrets_role.as_deref(), Some(role));
        assert_eq!(read(&LEAST).unwrap().secrets_role, None);
        let said = with("arn:aws:iam::1:role/one-for-all").unwrap_err().to_string();
        assert!(said.contains("DAMPER_SECRETS_ROLE") && said.contains("{provider}"), "{said}");
    }

    #[test]
    fn a_clock_offset_is_a_whole_number() {
        let with = |offset| read(&[LEAST[0], LEAST[1], LEAST[2], ("DAMPER_CLOCK_OFFSET", offset)]);
        assert_eq!(with("-3600").unwrap().clock_offset_seconds, -3600);
        assert!(with("1h").unwrap_err().to_string().contains("\"1h\""));
    }
}
