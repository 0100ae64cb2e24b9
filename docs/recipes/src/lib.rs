//! The recipes of docs/PROVIDER_GUIDE.md, a provider each, with their tests. The guide shows a file from its first `use` to its
//! tests, word for word; a test of `tests/e2e` sees to that.
//!
//! A crate has one provider; these are together in one only so that they are compiled and tested together.

pub mod binary;
pub mod oauth2;
pub mod paged;
pub mod signed;
pub mod soap;
pub mod two_step;
