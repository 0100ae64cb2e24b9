//! The items that a client of a simulation has to fetch.

/// The items to fetch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// Items at first; `None`: more than can ever be fetched.
    pub backlog: Option<u64>,
    /// Items that come in every second, evenly spaced; 0: none.
    pub per_second: f64,
}

impl Work {
    /// More than can ever be fetched.
    pub const ENDLESS: Self = Self { backlog: None, per_second: 0.0 };
}
