//! The states, their lag and the refusals, without any I/O.

use std::time::Duration;

use damper_event_source::{Change, Lags, Lifecycle, MappingConfig, Refusal, State};
use jiff::Timestamp;

const LAGS: Lags = Lags {
    create: Duration::from_secs(10),
    enable: Duration::from_secs(20),
    disable: Duration::from_secs(30),
    update: Duration::from_secs(40),
    stray: Duration::from_secs(60),
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn enabled_lifecycle() -> Lifecycle {
    let mut lifecycle = Lifecycle::new(MappingConfig::default(), LAGS, at(0));
    lifecycle.settle(at(10));
    lifecycle
}

fn enable(yes: bool) -> Change {
    Change { enabled: Some(yes), ..Change::default() }
}

fn settled_state(lifecycle: &mut Lifecycle, second: i64) -> (State, bool) {
    lifecycle.settle(at(second));
    (lifecycle.state(), lifecycle.polls())
}

#[test]
fn a_new_mapping_polls_once_it_is_enabled() {
    let mut lifecycle = Lifecycle::new(MappingConfig::default(), LAGS, at(0));
    assert_eq!(settled_state(&mut lifecycle, 9), (State::Creating, false));
    assert_eq!(settled_state(&mut lifecycle, 10), (State::Enabled, true));
}

#[test]
fn it_polls_while_disabling_and_for_a_while_after_it_says_disabled() {
    let mut lifecycle = enabled_lifecycle();
    lifecycle.update(&enable(false), at(100)).unwrap();
    assert_eq!(settled_state(&mut lifecycle, 129), (State::Disabling, true));
    assert_eq!(settled_state(&mut lifecycle, 130), (State::Disabled, true));
    assert_eq!(settled_state(&mut lifecycle, 189), (State::Disabled, true));
    assert_eq!(settled_state(&mut lifecycle, 190), (State::Disabled, false));
    lifecycle.update(&enable(true), at(200)).unwrap();
    assert_eq!(settled_state(&mut lifecycle, 219), (State::Enabling, false));
    assert_eq!(settled_state(&mut lifecycle, 220), (State::Enabled, true));
}

#[test]
fn an_update_takes_effect_after_its_lag_and_polls_meanwhile() {
    let mut lifecycle = enabled_lifecycle();
    lifecycle.update(&Change { batch_size: Some(7), ..Change::default() }, at(100)).unwrap();
    assert_eq!(settled_state(&mut lifecycle, 139), (State::Updating, true));
    assert_eq!((lifecycle.in_force().batch_size, lifecycle.reported_config().batch_size), (100, 7));
    assert_eq!(settled_state(&mut lifecycle, 140), (State::Enabled, true));
    assert_eq!(lifecycle.in_force().batch_size, 7);
}

#[test]
fn a_second_update_is_refused_while_the_first_is_under_way() {
    let mut lifecycle = enabled_lifecycle();
    lifecycle.update(&enable(false), at(100)).unwrap();
    assert_eq!(lifecycle.update(&enable(true), at(129)), Err(Refusal::InUse(State::Disabling)));
    assert_eq!(lifecycle.update(&enable(true), at(130)), Ok(()));
    let mut creating = Lifecycle::new(MappingConfig::default(), LAGS, at(0));
    assert_eq!(creating.update(&enable(false), at(1)), Err(Refusal::InUse(State::Creating)));
}

#[test]
fn a_value_out_of_range_changes_nothing() {
    let mut lifecycle = enabled_lifecycle();
    let refused = lifecycle.update(&Change { batch_size: Some(10_001), ..Change::default() }, at(100));
    assert!(matches!(refused, Err(Refusal::Config(error)) if error.field == "BatchSize"));
    assert_eq!(settled_state(&mut lifecycle, 100), (State::Enabled, true));
}

#[test]
fn an_update_that_changes_nothing_has_no_lag() {
    let mut lifecycle = enabled_lifecycle();
    lifecycle.update(&enable(true), at(100)).unwrap();
    assert_eq!(settled_state(&mut lifecycle, 100), (State::Enabled, true));
}
