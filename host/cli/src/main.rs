//! `damper`: fetch records through WebAssembly providers, once a day. This file only begins and ends the program.

mod args;
mod backend;
mod commands;
mod context;
mod error;
mod harden;
mod lock;
mod logging;
mod screen;
mod settings;
mod signals;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let settings = settings::Settings::from_environment();
    let screen = screen::Screen::new(settings.colour);
    logging::start(&settings, &screen);
    let context = context::Context::new(args.config, settings, screen.clone());
    commands::run(args.command, &context).unwrap_or_else(|error| screen.fail(&error)).into()
}
