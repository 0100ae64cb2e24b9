//! The recipes of docs/PROVIDER_GUIDE.md, one provider each, with their tests. The guide shows each file from its first
//! `use` to its tests, word for word; a test in `tests/e2e` checks this.
//!
//! A real crate has one provider. These are in one crate only to be compiled and tested together.

pub mod binary;
pub mod oauth2;
pub mod paged;
pub mod signed;
pub mod soap;
pub mod standard;
pub mod two_step;
