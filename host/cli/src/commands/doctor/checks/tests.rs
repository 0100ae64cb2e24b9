//! A machine as it should be, and each thing that can be wrong with one.

use std::path::PathBuf;

use damper_toolchain::RustToolchain;

use super::super::for_people;
use super::super::machine::Layers;
use super::*;

const NOW: &str = "2026-05-01T12:00:00Z";

fn good() -> Machine {
    Machine {
        damper: "0.1.0".into(),
        contracts: "0.1.0 to 0.1.0".into(),
        cargo: Some("cargo 1.95.0 (f2d3ce0bd 2026-03-21)".into()),
        rustc: Some("rustc 1.95.0 (59807616e 2026-04-14)".into()),
        node: Some("v22.1.0".into()),
        npm: Some("10.9.0".into()),
        python: Some("Python 3.12.1".into()),
        has_venv: true,
        toolchain: RustToolchain::Ready {
            is_cached: false,
            rustc: "/rust/bin/rustc".into(),
            has_tests: true,
            has_linker: true,
        },
        cache: Some(Cache {
            path: "/home/me/.cache/damper".into(),
            nearest: "/home/me/.cache/damper".into(),
            is_writable: true,
            free_bytes: Some(20 << 30),
            untrusted: None,
        }),
        config: Ok(Some("damper.toml".into())),
        providers: vec![("gleif".into(), Ok("Europe/Berlin".into()))],
        clock: Clock {
            now: NOW.parse().unwrap(),
            program: Some("2026-04-01T00:00:00Z".parse().unwrap()),
            server: None,
        },
        zones: 597,
        system: System {
            kernel: "linux 6.8.0".into(),
            open_files: Some(1_024),
            address_space: None,
            tells_touched_pages: true,
            is_pooled: Ok(true),
            hardening: Ok(Layers {
                holding: ["dumps", "privileges", "files", "system calls"].map(str::to_owned).to_vec(),
                missing: Vec::new(),
                off: Vec::new(),
            }),
        },
    }
}

/// The only check that is not well, of a machine with one thing changed.
fn only(change: impl FnOnce(&mut Machine)) -> Check {
    let mut machine = good();
    change(&mut machine);
    let mut checks: Vec<Check> = all(&machine).into_iter().filter(|check| !check.is_ok()).collect();
    assert_eq!(checks.len(), 1, "{checks:?}");
    checks.remove(0)
}

fn cache_of(machine: &mut Machine) -> &mut Cache {
    machine.cache.as_mut().unwrap()
}

#[test]
fn a_good_machine_needs_nothing() {
    assert!(all(&good()).iter().all(Check::is_ok), "{:?}", all(&good()));
    insta::assert_snapshot!(for_people(&all(&good())));
}

#[test]
fn a_machine_without_anything_is_told_what_to_do() {
    let machine = Machine {
        cargo: None,
        rustc: Some("rustc 1.80.0 (x 2024-07-21)".into()),
        node: None,
        npm: None,
        python: Some("Python 3.9.2".into()),
        has_venv: false,
        toolchain: RustToolchain::Nothing,
        cache: None,
        config: Err(("damper.toml:1:1: unknown field `x`".into(), "correct it".into())),
        providers: vec![("gleif".into(), Err("there is no component".into()))],
        clock: Clock { now: "2020-01-01T00:00:00Z".parse().unwrap(), ..good().clock },
        zones: 0,
        system: System {
            open_files: Some(256),
            address_space: Some(4 << 30),
            tells_touched_pages: false,
            is_pooled: Ok(false),
            hardening: Ok(Layers {
                holding: vec!["privileges".into()],
                missing: vec!["files (the kernel has no Landlock)".into()],
                off: vec!["dumps".into()],
            }),
            ..good().system
        },
        ..good()
    };
    insta::assert_snapshot!(for_people(&all(&machine)));
}

#[test]
fn what_providers_cannot_do_without_is_a_problem() {
    let problems = [
        only(|it| it.cargo = None),
        only(|it| it.rustc = Some("rustc 1.94.1 (x)".into())),
        only(|it| it.toolchain = RustToolchain::Unknown("no sh".into())),
        only(|it| cache_of(it).is_writable = false),
        only(|it| cache_of(it).untrusted = Some("other users can write to /home/me/.cache (mode 0777)".into())),
        only(|it| cache_of(it).free_bytes = Some(1 << 20)),
        only(|it| it.zones = 0),
        only(|it| it.system.is_pooled = Err("components cannot run on this machine".into())),
    ];
    assert!(problems.iter().all(|check| check.state == State::Problem), "{problems:?}");
}

#[test]
fn what_is_needed_by_some_alone_is_a_warning() {
    let warnings = [
        only(|it| it.node = Some("v18.19.1".into())),
        only(|it| it.has_venv = false),
        only(|it| it.toolchain = RustToolchain::Rustup),
        only(|it| it.toolchain = RustToolchain::Debian),
        only(|it| cache_of(it).free_bytes = Some(1 << 30)),
        only(|it| it.config = Ok(None::<PathBuf>)),
        only(|it| it.system.open_files = Some(256)),
        only(|it| it.system.is_pooled = Ok(false)),
        only(|it| it.system.tells_touched_pages = false),
    ];
    assert!(warnings.iter().all(|check| check.state == State::Warning), "{warnings:?}");
}

#[test]
fn a_linker_that_is_missing_is_a_problem_of_its_own() {
    let toolchain = |has_tests, has_linker| RustToolchain::Ready {
        is_cached: true,
        rustc: "/c/rustc".into(),
        has_tests,
        has_linker,
    };
    let linker = only(|it| it.toolchain = toolchain(true, false));
    assert_eq!((linker.name, linker.state), ("linker", State::Problem));
    let tests = only(|it| it.toolchain = toolchain(false, true));
    assert_eq!((tests.name, tests.state), ("wasm32-wasip2", State::Warning));
}

#[test]
fn a_clock_is_wrong_from_a_minute_on_and_before_the_program_was_written() {
    let server = |offset_s: i64| {
        let mut machine = good();
        let now = machine.clock.now;
        machine.clock.server = Some(Ok(now + SignedDuration::from_secs(offset_s)));
        clock(&machine.clock).state
    };
    assert_eq!([-60, 0, 60].map(server), [State::Ok; 3]);
    assert_eq!([-61, 61].map(server), [State::Problem; 2]);
    let early = only(|it| it.clock.now = "2026-03-31T23:59:59Z".parse().unwrap());
    assert!(early.state == State::Problem && early.found.contains("before this program was built"), "{early:?}");
    let silent = only(|it| it.clock.server = Some(Err("refused".into())));
    assert_eq!(silent.state, State::Warning);
}

#[test]
fn what_is_not_well_says_how_to_mend_it() {
    let bad = only(|it| it.providers = vec![("a".into(), Err("gone".into()))]);
    assert!(bad.state == State::Problem && bad.mend.is_some_and(|mend| mend.contains("damper build")));
}
