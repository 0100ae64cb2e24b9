use super::*;

fn entry(number: u64, payload: &str) -> Entry {
    Entry {
        sequence: SequenceNumber::from(number),
        arrived: Timestamp::UNIX_EPOCH,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
    }
}

fn batch(payloads: &[&str]) -> Batch {
    let entries = (0..).zip(payloads).map(|(number, payload)| entry(number, payload)).collect();
    Batch::parse(Vec::new(), entries, "demo", &[], Timestamp::UNIX_EPOCH)
}

fn ends(batch: Batch) -> Vec<(String, End)> {
    batch
        .into_report(None, Aside::default())
        .ended
        .into_iter()
        .map(|(sequence, end)| (sequence.to_string(), end))
        .collect()
}

/// A call died after it had parked the entry once more, and before it could forget the earlier time.
#[test]
fn an_entry_that_was_parked_twice_ends_once_and_is_forgotten_twice() {
    let entry = entry(7, r#"{"id":"a"}"#);
    let parked = |seconds| Parked { entry: entry.clone(), due: Timestamp::from_second(seconds).unwrap() };
    let mut batch =
        Batch::parse(vec![parked(1), parked(2)], Vec::new(), "demo", &[], Timestamp::from_second(3).unwrap());
    let index = batch.take_due(Instant::now()).unwrap();
    assert_eq!(batch.settle(index, &Settled::Fetched), [End::Fetched]);
    let gone: Vec<_> = batch.taken_up().map(|(parked, has_ended)| (parked.due.as_second(), has_ended)).collect();
    assert_eq!(gone, [(1, true), (2, true)]);
    assert_eq!(batch.into_report(None, Aside::default()).taken_up, [(entry.sequence.clone(), End::Fetched)]);
}

#[test]
fn entries_of_one_identity_are_one_work_and_one_line() {
    let mut batch = batch(&[r#"{"id":"a"}"#, r#"{"id":"b"}"#, r#"{"id":"a","params":{"hint":"x"}}"#]);
    assert_eq!(batch.works.len(), 2);
    assert_eq!(batch.settle(0, &Settled::Fetched), [End::Fetched, End::Skipped]);
    assert_eq!(ends(batch), [("0".into(), End::Fetched), ("2".into(), End::Skipped)]);
}

/// Entry 0 is handed in to a batch of the entries 1 and 2.
fn join_to_batch(payloads: [&str; 2], ended: &[WorkIndex], due: &str) -> Batch {
    let fresh = vec![entry(1, payloads[0]), entry(2, payloads[1])];
    let mut batch = Batch::parse(Vec::new(), fresh, "demo", &[], Timestamp::UNIX_EPOCH);
    let now = Instant::now();
    for index in ended {
        assert_eq!(batch.take_due(now), Some(*index));
        batch.settle(*index, &Settled::Fetched);
    }
    batch.join(vec![entry(0, due), entry(2, payloads[1])], "demo", &[], Timestamp::UNIX_EPOCH);
    batch
}

#[test]
fn an_entry_that_joins_is_started_next() {
    let mut batch = join_to_batch([r#"{"id":"a"}"#, r#"{"id":"b"}"#], &[], r#"{"id":"c"}"#);
    assert_eq!((batch.len(), batch.works.len()), (3, 3), "the entry that it holds is not added again");
    let now = Instant::now();
    let order: Vec<_> = std::iter::from_fn(|| batch.take_due(now)).collect();
    assert_eq!(order, [2, 0, 1]);
    assert_eq!(batch.into_report(None, Aside::default()).first_unfinished, Some(SequenceNumber::from(0)));
}

#[test]
fn an_entry_that_joins_with_a_known_identity_is_no_work_of_its_own() {
    let mut batch = join_to_batch([r#"{"id":"a"}"#, r#"{"id":"b"}"#], &[], r#"{"id":"b"}"#);
    assert_eq!(batch.settle(1, &Settled::Fetched), [End::Fetched, End::Skipped]);
    // That of an identity whose entries have ended is: its claim says how it ends.
    let mut batch = join_to_batch([r#"{"id":"a"}"#, r#"{"id":"b"}"#], &[0], r#"{"id":"a"}"#);
    let by = SequenceNumber::from(1);
    assert_eq!(batch.settle(2, &Settled::Before { by, end: End::Fetched }), [End::Skipped]);
}

#[test]
fn a_batch_whose_own_works_have_started_has_no_fresh_work() {
    let mut batch = join_to_batch([r#"{"id":"a"}"#, r#"{"id":"b"}"#], &[0], r#"{"id":"c"}"#);
    assert!(batch.has_fresh_work());
    let now = Instant::now();
    assert_eq!((batch.take_due(now), batch.take_due(now)), (Some(2), Some(1)));
    assert!(!batch.has_fresh_work());
    batch.put_back(2);
    assert!(!batch.has_fresh_work());
}

#[test]
fn an_entry_that_joins_and_is_no_item_becomes_a_letter() {
    let mut batch = join_to_batch([r#"{"id":"a"}"#, r#"{"id":"b"}"#], &[0, 1], "no item");
    let positions: Vec<_> = batch.take_unreadable().into_iter().map(|(position, _)| position).collect();
    assert_eq!(positions, [2]);
    assert_eq!(batch.on_unreadable_kept(2), End::DeadLetter);
    assert_eq!(batch.into_report(None, Aside::default()).ended.len(), 3);
}

#[test]
fn a_redelivered_entry_counts_as_what_it_was() {
    let mut batch = batch(&[r#"{"id":"a"}"#, r#"{"id":"a"}"#]);
    batch.settle(0, &Settled::Before { by: SequenceNumber::from(1), end: End::Fetched });
    assert_eq!(ends(batch), [("0".into(), End::Skipped), ("1".into(), End::Fetched)]);
}

#[test]
fn the_report_names_the_lowest_entry_that_has_not_ended() {
    let mut batch = batch(&[r#"{"id":"a"}"#, r#"{"id":"b"}"#, r#"{"id":"c"}"#]);
    batch.settle(0, &Settled::Fetched);
    batch.settle(2, &Settled::Fetched);
    assert_eq!(batch.into_report(None, Aside::default()).first_unfinished, Some(SequenceNumber::from(1)));
}

#[test]
fn what_is_no_item_is_kept_with_its_bytes_and_blocks_nothing() {
    let mut batch = batch(&["nonsense", r#"{"id":"a"}"#]);
    let unreadable = batch.take_unreadable();
    assert_eq!(unreadable.len(), 1);
    assert_eq!(unreadable[0].1.payload, "nonsense");
    assert_eq!(batch.take_due(Instant::now()), Some(0));
    assert_eq!(batch.work(0).unwrap().item.id, "a");
}

#[test]
fn works_are_withdrawn_in_one_pass_over_the_queue() {
    let payloads: Vec<String> = (0..10_000).map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
    let mut batch = batch(&payloads.iter().map(String::as_str).collect::<Vec<_>>());
    let mut asked = 0;
    batch.withdraw(|index| {
        asked += 1;
        index % 3 != 0
    });
    assert_eq!(asked, payloads.len());
    let left: Vec<WorkIndex> = std::iter::from_fn(|| batch.take_due(Instant::now())).collect();
    assert_eq!(left, (0..10_000).step_by(3).collect::<Vec<_>>(), "in their order");
}

#[test]
fn a_delayed_work_comes_when_it_is_due() {
    let mut batch = batch(&[r#"{"id":"a"}"#]);
    let now = Instant::now();
    let index = batch.take_due(now).unwrap();
    batch.delay(index, now + std::time::Duration::from_secs(1));
    assert_eq!(batch.take_due(now), None);
    assert!(!batch.is_drained());
    assert_eq!(batch.take_due(now + std::time::Duration::from_secs(1)), Some(index));
}
