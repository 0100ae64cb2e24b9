//! The outcome of each layer.

use std::fmt;

/// One layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Other processes cannot read the memory, and no core file is written.
    Dumps,
    /// No program that is started has more rights than this one.
    Privileges,
    /// Only some files are seen, and fewer written to.
    Files,
    /// Some system calls are refused.
    SystemCalls,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dumps => "dumps",
            Self::Privileges => "privileges",
            Self::Files => "files",
            Self::SystemCalls => "system calls",
        })
    }
}

/// The outcome of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in force.
    Holds,
    /// The system does not support it, with the reason.
    Missing(String),
    /// It was turned off.
    Off,
}

/// The outcomes of all layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    layers: Vec<(Layer, Outcome)>,
}

impl Report {
    pub(crate) fn add(&mut self, layer: Layer, is_wanted: bool, apply: impl FnOnce() -> Result<(), String>) {
        let outcome = match is_wanted.then(apply) {
            Some(Ok(())) => Outcome::Holds,
            Some(Err(why)) => Outcome::Missing(why),
            None => Outcome::Off,
        };
        self.layers.push((layer, outcome));
    }

    /// The outcome of a layer.
    #[must_use]
    pub fn outcome(&self, layer: Layer) -> Outcome {
        let found = self.layers.iter().find(|(known, _)| *known == layer);
        found.map_or(Outcome::Off, |(_, outcome)| outcome.clone())
    }

    /// The layers that the system does not support, with the reasons.
    pub fn missing(&self) -> impl Iterator<Item = (Layer, &str)> {
        self.layers.iter().filter_map(|(layer, outcome)| match outcome {
            Outcome::Missing(why) => Some((*layer, why.as_str())),
            Outcome::Holds | Outcome::Off => None,
        })
    }

    /// The layers in force.
    pub fn holding(&self) -> impl Iterator<Item = Layer> {
        self.layers.iter().filter(|(_, outcome)| *outcome == Outcome::Holds).map(|(layer, _)| *layer)
    }
}
