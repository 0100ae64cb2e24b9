//! damper-local from outside: against real files.

mod contract;
mod database;
mod export;
mod folder;
mod stream;
