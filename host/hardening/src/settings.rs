//! The settings: which layers are requested.

use std::str::FromStr;

/// The requested layers; by default all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardening {
    /// Whether other processes are kept from reading the process's memory.
    pub dumps: bool,
    /// Whether the process can access only some files.
    pub files: bool,
    /// Whether the process can make only some system calls.
    pub system_calls: bool,
}

/// A text that names no layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a hardening setting: write on, off, no-dumps, no-files or no-system-calls")]
pub struct SettingsError(String);

impl Hardening {
    /// No layer at all.
    pub const OFF: Self = Self { dumps: false, files: false, system_calls: false };
}

impl Default for Hardening {
    fn default() -> Self {
        Self { dumps: true, files: true, system_calls: true }
    }
}

impl FromStr for Hardening {
    type Err = SettingsError;

    /// `on`, `off`, or the layers to leave out, with commas between them: `no-files,no-dumps`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hardening = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "on" => {}
                "off" => hardening = Self::OFF,
                "no-dumps" => hardening.dumps = false,
                "no-files" => hardening.files = false,
                "no-system-calls" => hardening.system_calls = false,
                other => return Err(SettingsError(other.to_owned())),
            }
        }
        Ok(hardening)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_can_be_left_out() {
        assert_eq!("".parse(), Ok(Hardening::default()));
        assert_eq!("on".parse(), Ok(Hardening::default()));
        assert_eq!("off".parse(), Ok(Hardening::OFF));
        assert_eq!("no-files".parse(), Ok(Hardening { files: false, ..Hardening::default() }));
        assert_eq!(" no-dumps, no-system-calls,no-files".parse(), Ok(Hardening::OFF));
        let error = "no-filse".parse::<Hardening>().unwrap_err().to_string();
        assert!(error.contains("no-filse") && error.contains("no-files"), "{error}");
    }
}
