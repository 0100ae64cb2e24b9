//! The hostile corpus: every member beside an innocent provider, in one `damper run` with 512 MiB.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use damper_hostile_corpus::two_provider_run::{MEMORY_MIB, Outcome, Programs, TwoProviderRun};
use damper_hostile_corpus::{Ends, Kind, Member, members};

use crate::local_setup::{require_built, target};

/// Items of the innocent provider.
const ITEMS: u32 = 60;
/// Far more than an item's time and a second, on a busy machine; far less than a server goes on for.
const SOON: Duration = Duration::from_secs(15);
/// Houses at a time.
const AT_A_TIME: usize = 3;

fn programs(cache: &std::path::Path) -> Programs {
    let components = target().join("components");
    require_built(&components.join("hostile.wasm"));
    Programs { damper: require_built(&target().join("debug/damper")), components, cache: cache.to_path_buf() }
}

/// Runs all members of these kinds, some at a time, and reports all that break a limit.
fn check(kinds: &[Kind]) {
    let cache = tempfile::tempdir().unwrap();
    let programs = programs(cache.path());
    let members: Vec<Member> = members().into_iter().filter(|member| kinds.contains(&member.kind)).collect();
    assert!(members.len() >= 15);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some(member) = members.get(next.fetch_add(1, Ordering::SeqCst)) {
            let outcome = TwoProviderRun::new(&programs, Some(member), ITEMS).run();
            wrong.extend(problems(member, &outcome).into_iter().map(|problem| format!("{}: {problem}", member.name)));
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "members that break through:\n{}", wrong.join("\n"));
}

/// Checks the limits on a member's effects.
fn problems(member: &Member, outcome: &Outcome) -> Vec<String> {
    let mut problems = Vec::new();
    let Outcome { exit, hostile, innocent, peak_kib, said, .. } = outcome;
    let mut expect = |holds: bool, what: String| {
        if !holds {
            problems.push(what);
        }
    };
    expect(exit.is_some(), format!("the process died, or did not end: {said}"));
    expect(outcome.stopping_took < SOON, format!("a clean stop took {:?}", outcome.stopping_took));
    expect(outcome.connection_lasted < SOON, format!("a connection lasted {:?}", outcome.connection_lasted));
    let has_fetched = !matches!(member.kind, Kind::Structure | Kind::Compile);
    let is_quick = outcome.item_took.map_or(!has_fetched, |took| took < SOON);
    expect(is_quick, format!("its longest fetch took {:?}", outcome.item_took));
    expect(outcome.was_asked, format!("no request came to the server: {said}"));
    let all = u64::from(ITEMS);
    expect(
        innocent.fetched == all,
        format!("the innocent provider fetched {} of {all}: {innocent:?} {said}", innocent.fetched),
    );
    expect(peak_kib >> 10 < MEMORY_MIB, format!("{} MiB were resident", peak_kib >> 10));
    let ends = match (hostile.outcome.as_str(), hostile.fetched) {
        ("failed", _) => Ends::NotLoaded,
        (_, 0) => Ends::Failed,
        _ => Ends::Harmless,
    };
    expect(ends == member.ends, format!("it ends as {ends:?}, not as {:?}: {hostile:?} {said}", member.ends));
    let has_escape = said.contains('\u{1b}');
    expect(!has_escape, format!("an escape reached the terminal: {said:?}"));
    problems
}

#[test]
fn no_component_of_too_much_or_too_much_work_harms_its_neighbour() {
    check(&[Kind::Structure, Kind::Compile]);
}

#[test]
fn a_component_that_takes_long_to_compile_keeps_neither_its_neighbour_nor_a_stop_waiting() {
    let cache = tempfile::tempdir().unwrap();
    let programs = programs(cache.path());
    let member = members().into_iter().find(|member| member.name == "2,000 locals alive in 2,000 blocks").unwrap();
    // Compiled once, the innocent component is ready at once.
    let _ = TwoProviderRun::new(&programs, None, 1).run();
    let outcome = TwoProviderRun::new(&programs, Some(&member), ITEMS).with_immediate_stop().run();
    assert_eq!(outcome.innocent.fetched, u64::from(ITEMS), "{outcome:?}");
    assert_eq!(
        outcome.hostile.outcome, "interrupted",
        "the other provider was done before it was compiled: {outcome:?}"
    );
}

#[test]
fn no_behaviour_of_a_guest_harms_its_neighbour() {
    check(&[Kind::Behaviour]);
}

#[test]
fn no_server_that_speaks_http1_harms_its_neighbour() {
    check(&[Kind::Http1]);
}

#[test]
fn no_server_that_speaks_http2_harms_its_neighbour() {
    check(&[Kind::Http2]);
}
