//! The hostile corpus: components and servers that do harm, and a run of `damper` beside an innocent provider for each
//! of them.
//!
//! - [`components`]: structure and compile bombs, made by a generator around `tests/fixtures/providers/hostile`
//! - [`behaviours`]: what a guest does while it runs
//! - [`http1`], [`http2`]: servers, each with one misbehaviour
//! - [`two_provider_run`]: two providers, the hostile and the innocent one, in one `damper run` with little memory
//!
//! `tests/e2e` runs all members and asserts counts; `make bench-hostile` prints a table with times.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "for tests: they fail by panicking")]

pub mod behaviours;
pub mod components;
pub mod http1;
pub mod http2;
pub mod server;
pub mod two_provider_run;

/// The kind of harm that a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A component that consists of too much.
    Structure,
    /// A component that is too much work for a compiler.
    Compile,
    /// A guest that misbehaves while it runs.
    Behaviour,
    /// A server that speaks HTTP/1.
    Http1,
    /// A server that speaks HTTP/2.
    Http2,
}

/// How the item of a member ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// As a failure of its own.
    Failed,
    /// The provider cannot be loaded.
    NotLoaded,
    /// As a record: what it tries to do is without effect, or is cut.
    Harmless,
}

/// A function that makes a hostile component of the plain one.
pub type Bomb = fn(&[u8]) -> Vec<u8>;

/// The parameters of an item.
pub type Params = &'static [(&'static str, &'static str)];

/// One member.
pub struct Member {
    /// Its name, unlike every other's.
    pub name: &'static str,
    /// The kind of harm.
    pub kind: Kind,
    /// How its item ends.
    pub ends: Ends,
    /// The component, where it is not the plain one.
    pub component: Option<Bomb>,
    /// The server, where there is one.
    pub server: Option<server::Script>,
    /// The item's id, which names the behaviour.
    pub id: &'static str,
    /// The item's parameters. The server's address is in `url`.
    pub params: Params,
}

/// All members, in the order of their kinds.
#[must_use]
pub fn members() -> Vec<Member> {
    let mut members = components::members();
    members.extend(behaviours::members());
    members.extend(http1::members());
    members.extend(http2::members());
    members
}
