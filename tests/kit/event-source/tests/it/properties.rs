//! Properties of the state machine that hold for every answer of the function and every pause of the mapping.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use damper_event_source::{Action, Answer, Delivery, Mapping, MappingConfig, Pace, Record, SequenceNumber};
use jiff::Timestamp;
use proptest::prelude::*;

const SHARDS: [&str; 2] = ["shardId-000000000000", "shardId-000000000001"];

/// One step of the simulated world.
#[derive(Debug, Clone)]
enum Move {
    Put {
        shard: usize,
        key: u8,
    },
    Read,
    Advance {
        seconds: u16,
    },
    /// Answers the batch in flight of that number (modulo): success, a failure from a record on, or an error.
    Answer {
        which: usize,
        how: How,
    },
    Pause,
    Resume,
    Reshape {
        factor: u32,
        batch_size: u32,
    },
}

#[derive(Debug, Clone)]
enum How {
    Success,
    From(usize),
    Error,
    NotInvoked,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let how = prop_oneof![
        4 => Just(How::Success),
        3 => (0..12_usize).prop_map(How::From),
        2 => Just(How::Error),
        1 => Just(How::NotInvoked),
    ];
    let one = prop_oneof![
        6 => (0..SHARDS.len(), 0..6_u8).prop_map(|(shard, key)| Move::Put { shard, key }),
        4 => Just(Move::Read),
        3 => (0..90_u16).prop_map(|seconds| Move::Advance { seconds }),
        8 => (any::<usize>(), how).prop_map(|(which, how)| Move::Answer { which, how }),
        1 => Just(Move::Pause),
        2 => Just(Move::Resume),
        1 => (1..4_u32, 1..8_u32).prop_map(|(factor, batch_size)| Move::Reshape { factor, batch_size }),
    ];
    prop::collection::vec(one, 0..160)
}

fn configs() -> impl Strategy<Value = MappingConfig> {
    (1..8_u32, 1..4_u32, prop::option::of(0..3_u32), prop::option::of(60..200_u64), any::<bool>(), 0..3_u64).prop_map(
        |(batch_size, parallelization_factor, maximum_retry_attempts, age, bisect_batch_on_function_error, window)| {
            MappingConfig {
                batch_size,
                parallelization_factor,
                maximum_retry_attempts,
                maximum_record_age: age.map(Duration::from_secs),
                bisect_batch_on_function_error,
                batching_window: Duration::from_secs(window),
                report_batch_item_failures: true,
                ..MappingConfig::default()
            }
        },
    )
}

/// The world around the machine: the stream, the function's answers, and what was promised.
struct World {
    mapping: Mapping,
    now: Timestamp,
    streams: BTreeMap<&'static str, Vec<Record>>,
    flying: Vec<Delivery>,
    finished: BTreeMap<&'static str, BTreeSet<SequenceNumber>>,
    paused: bool,
    config: MappingConfig,
}

impl World {
    fn new(config: MappingConfig) -> Self {
        let mut mapping = Mapping::new(config.clone(), Pace::default());
        SHARDS.iter().for_each(|shard| mapping.add_shard(shard));
        let streams = SHARDS.iter().map(|shard| (*shard, Vec::new())).collect();
        let finished = SHARDS.iter().map(|shard| (*shard, BTreeSet::new())).collect();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        Self { mapping, now, streams, flying: Vec::new(), finished, paused: false, config }
    }

    fn advance(&mut self, by: Duration) {
        self.now = self.now.checked_add(by).unwrap();
    }

    fn put(&mut self, shard: usize, key: u8) {
        let records = self.streams.get_mut(SHARDS[shard]).unwrap();
        records.push(Record {
            sequence: SequenceNumber::new((records.len() + 1).to_string()),
            partition_key: format!("key {key}"),
            data: Bytes::new(),
            arrived: self.now,
        });
    }

    fn read(&mut self) {
        for (shard, after) in self.mapping.shards_to_read() {
            let records = self.streams[shard.as_str()].iter();
            let new = records.filter(|record| after.as_ref().is_none_or(|after| record.sequence > *after)).take(5);
            self.mapping.add_records(&shard, new.cloned().collect(), self.now);
        }
    }

    fn act(&mut self) -> Result<(), TestCaseError> {
        for action in self.mapping.due(self.now) {
            match action {
                Action::Invoke(delivery) => self.launch(delivery)?,
                Action::Discard(discarded) => self.finish(&discarded.shard, &discarded.records),
            }
        }
        self.check_checkpoints()
    }

    /// A launched batch is in order, never empty, none of it finished before, and no key of it is in flight elsewhere.
    fn launch(&mut self, delivery: Delivery) -> Result<(), TestCaseError> {
        prop_assert!(!self.paused, "a paused mapping invoked");
        prop_assert!(!delivery.records.is_empty());
        prop_assert!(delivery.records.is_sorted_by(|one, other| one.sequence < other.sequence));
        let done = &self.finished[delivery.shard.as_str()];
        for record in &*delivery.records {
            prop_assert!(!done.contains(&record.sequence), "{} was finished", record.sequence);
            // In order per key: every earlier record of the key is finished or in this very batch.
            for earlier in self.streams[delivery.shard.as_str()]
                .iter()
                .filter(|earlier| earlier.partition_key == record.partition_key && earlier.sequence < record.sequence)
            {
                let is_along = delivery.records.iter().any(|along| along.sequence == earlier.sequence);
                prop_assert!(is_along || done.contains(&earlier.sequence), "{} overtook", record.sequence);
            }
            let elsewhere = self.flying.iter().filter(|flying| flying.shard == delivery.shard);
            let is_twice = elsewhere.flat_map(|flying| &*flying.records).any(|other| other.sequence == record.sequence);
            prop_assert!(!is_twice, "{} is in flight twice", record.sequence);
        }
        self.flying.push(delivery);
        Ok(())
    }

    fn answer(&mut self, which: usize, how: &How) {
        if self.flying.is_empty() {
            return;
        }
        let delivery = self.flying.remove(which % self.flying.len());
        let from = match how {
            How::Success => delivery.records.len(),
            How::From(index) => index % delivery.records.len(),
            How::Error | How::NotInvoked => 0,
        };
        let request_id = "r".to_owned();
        let answer = match how {
            How::Success => Answer::Replied { request_id, body: Vec::new() },
            How::From(_) => {
                let identifier = &delivery.records[from].sequence;
                let body = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{identifier}"}}]}}"#);
                Answer::Replied { request_id, body: body.into_bytes() }
            }
            How::Error => Answer::Failed { request_id, message: String::new() },
            How::NotInvoked => Answer::NotInvoked,
        };
        self.finish(&delivery.shard, &delivery.records[..from]);
        if let Some(discarded) = self.mapping.on_answer(delivery.batch, &answer, self.now) {
            self.finish(&discarded.shard, &discarded.records);
        }
    }

    fn finish(&mut self, shard: &str, records: &[Record]) {
        let shard = SHARDS.iter().find(|name| **name == shard).unwrap();
        self.finished.get_mut(shard).unwrap().extend(records.iter().map(|record| record.sequence.clone()));
    }

    fn check_checkpoints(&self) -> Result<(), TestCaseError> {
        for shard in SHARDS {
            let Some(checkpoint) = self.mapping.checkpoint(shard) else { continue };
            for record in self.streams[shard].iter().filter(|record| record.sequence <= *checkpoint) {
                prop_assert!(
                    self.finished[shard].contains(&record.sequence),
                    "the checkpoint {checkpoint} passed {}",
                    record.sequence
                );
            }
        }
        Ok(())
    }

    fn make(&mut self, one: &Move) -> Result<(), TestCaseError> {
        match one {
            Move::Put { shard, key } => self.put(*shard, *key),
            Move::Read => self.read(),
            Move::Advance { seconds } => self.advance(Duration::from_secs(u64::from(*seconds))),
            Move::Answer { which, how } => self.answer(*which, how),
            Move::Pause => {
                self.paused = true;
                self.mapping.pause();
            }
            Move::Resume => {
                self.paused = false;
                self.mapping.resume();
            }
            Move::Reshape { factor, batch_size } => {
                self.config.parallelization_factor = *factor;
                self.config.batch_size = *batch_size;
                self.mapping.configure(&self.config);
            }
        }
        self.act()
    }

    fn is_done(&self) -> bool {
        SHARDS.iter().all(|shard| self.finished[shard].len() == self.streams[shard].len())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every record is delivered until it succeeded or was discarded, in order per key; no checkpoint passes one that
    /// was not.
    #[test]
    fn nothing_is_lost_nor_overtaken_and_no_checkpoint_runs_ahead(config in configs(), moves in moves()) {
        let mut world = World::new(config);
        for one in &moves {
            world.make(one)?;
        }
        // From here on all is well: everything has to end.
        world.make(&Move::Resume)?;
        let mut rounds = 0;
        while !world.is_done() {
            rounds += 1;
            prop_assert!(rounds < 2_000, "never done: {:?}", world.mapping);
            world.answer(0, &How::Success);
            world.read();
            world.advance(Duration::from_secs(3));
            world.act()?;
        }
        for shard in SHARDS {
            let last = world.streams[shard].last().map(|record| record.sequence.clone());
            prop_assert_eq!(world.mapping.checkpoint(shard).cloned(), last);
        }
    }

    /// Without a budget and an age nothing is ever discarded.
    #[test]
    fn without_limits_nothing_is_discarded(config in configs(), moves in moves()) {
        let config = MappingConfig { maximum_retry_attempts: None, maximum_record_age: None, ..config };
        let mut world = World::new(config);
        for one in &moves {
            if let Move::Answer { which, how } = one {
                if world.flying.is_empty() {
                    continue;
                }
                let batch = world.flying[which % world.flying.len()].batch;
                let before = world.mapping.clone().on_answer(batch, &Answer::Failed {
                    request_id: String::new(),
                    message: String::new(),
                }, world.now);
                prop_assert_eq!(before, None);
                world.answer(*which, how);
            }
            world.make(one)?;
        }
    }
}
