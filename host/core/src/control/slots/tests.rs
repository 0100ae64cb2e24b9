use proptest::prelude::*;

use super::*;

const LEASE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

fn wish(owner: &str, wants: u32, cap: u32, now: u64) -> Wish<'_> {
    Wish { owner, wants, in_use: 0, cap, now: at(now), until: at(now) + LEASE }
}

fn share(has: u32, wants: u32) -> Share {
    Share { has, wants, since: at(0) }
}

/// The slots of an owner that comes at 100 s, beside others that have been there since 0 s.
fn comes(others: &[Share], wants: u32, cap: u32) -> u32 {
    grant(&wish("us", wants, cap, 100), None, &with_names(others)).granted.slots
}

/// The slots, at 100 s, of an owner that has had `has` since `since`.
fn renews(others: &[Share], has: u32, since: u64, wants: u32, cap: u32) -> u32 {
    let before = Share { has, wants, since: at(since) };
    grant(&wish("us", wants, cap, 100), Some(before), &with_names(others)).granted.slots
}

fn with_names(others: &[Share]) -> Vec<(String, Share)> {
    others.iter().enumerate().map(|(number, share)| (format!("other-{number}"), *share)).collect()
}

#[test]
fn while_nobody_waits_it_is_what_is_free() {
    assert_eq!(comes(&[], 9, 10), 9);
    assert_eq!(comes(&[], 90, 10), 10);
    assert_eq!(comes(&[share(3, 3)], 9, 10), 7);
    assert_eq!(comes(&[share(10, 10)], 9, 10), 0);
    assert_eq!(renews(&[share(3, 3)], 1, 0, 1, 4), 1, "for as long as it likes");
}

#[test]
fn whoever_renews_makes_room_for_whoever_waits() {
    assert_eq!(renews(&[share(0, 9)], 9, 99, 9, 10), 4, "half of nine");
    assert_eq!(renews(&[share(4, 9)], 4, 99, 9, 10), 4, "the tenth is left alone");
    assert_eq!(renews(&[share(0, 1)], 9, 99, 9, 10), 8, "who wants one gets one");
    assert_eq!(comes(&[share(0, 9), share(0, 2)], 9, 10), 3);
}

#[test]
fn with_enough_slots_for_all_nobody_is_left_without_one() {
    assert_eq!(renews(&[share(2, 9), share(0, 9)], 1, 0, 9, 3), 1, "the other one makes room");
    assert_eq!(renews(&[share(1, 9), share(0, 9)], 2, 0, 9, 3), 1);
}

#[test]
fn with_too_few_slots_each_has_its_turn() {
    assert_eq!(renews(&[share(0, 1)], 1, 71, 1, 1), 1, "the turn is not over");
    assert_eq!(renews(&[share(0, 1)], 1, 70, 1, 1), 0);
    assert_eq!(renews(&[share(0, 1)], 1, 200, 1, 1), 0, "the clock was set back");
    assert_eq!(renews(&[share(0, 1), share(0, 1)], 5, 99, 5, 2), 1, "one each");
    let spare = [share(0, 1), share(1, 1)];
    assert_eq!(renews(&spare, 1, 0, 1, 3), 1, "who waits finds a free one");
}

#[test]
fn who_waits_first_is_served_first() {
    let waits = |since| Share { has: 0, wants: 1, since: at(since) };
    assert_eq!(comes(&[waits(50)], 1, 1), 0, "the free one is for whoever was here before");
    assert_eq!(comes(&[waits(50)], 1, 2), 1);
    assert_eq!(renews(&[waits(50)], 0, 49, 1, 1), 1);
    assert_eq!(renews(&[waits(50)], 0, 51, 1, 1), 0);
    // Of two who came at once the one whose name is lower: "other-0" before "us".
    assert_eq!(renews(&[waits(50)], 0, 50, 1, 1), 0);
}

#[test]
fn what_is_in_use_is_not_another_ones_yet() {
    let before = share(3, 4);
    let asks = Wish { in_use: 3, ..wish("us", 4, 4, 100) };
    let decided = grant(&asks, Some(before), &with_names(&[share(0, 4)]));
    assert_eq!(decided.granted, Granted { slots: 2, others_wait: true });
    assert_eq!(decided.kept.unwrap().0.has, 3, "one of them has a request that runs on");
    assert_eq!(
        grant(&asks, None, &with_names(&[share(4, 4)])).kept.unwrap().0.has,
        0,
        "what had run out is not its any more"
    );
    let leaves = Wish { wants: 0, in_use: 1, ..asks };
    assert_eq!(
        grant(&leaves, Some(before), &with_names(&[])).kept.unwrap().0,
        Share { has: 1, wants: 0, since: at(0) }
    );
    assert_eq!(grant(&Wish { in_use: 0, ..leaves }, Some(before), &with_names(&[])).kept, None);
}

#[test]
fn since_when_it_has_or_waits_is_kept() {
    let others = with_names(&[share(1, 1)]);
    let since = |before, others: &[(String, Share)]| grant(&wish("us", 1, 1, 100), before, others).kept.unwrap();
    assert_eq!(since(None, &others), (Share { has: 0, wants: 1, since: at(100) }, at(100) + WAITING_COUNTS_FOR));
    assert_eq!(since(Some(Share { since: at(90), ..share(0, 1) }), &others).0.since, at(90));
    assert_eq!(since(Some(Share { since: at(90), ..share(0, 1) }), &[]).0.since, at(100), "its turn begins");
    assert_eq!(
        since(Some(Share { since: at(90), ..share(1, 1) }), &[]),
        (Share { since: at(90), ..share(1, 1) }, at(160))
    );
    let old: Share = serde_json::from_str(r#"{"has":1,"wants":1}"#).unwrap();
    assert_eq!(old.since, Timestamp::UNIX_EPOCH, "an earlier release did not keep it");
}

proptest! {
    #[test]
    fn never_above_the_cap_and_in_the_end_everybody_has_some(
        wants in prop::collection::vec(1_u32..40, 1..8),
        cap in 1_u32..60,
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let mut shares: Vec<Share> = wants.iter().map(|wants| share(0, *wants)).collect();
        let mut now = 0;
        let mut renew = |index: usize| {
            now += 1;
            let names = with_names(&shares);
            let others = names.iter().enumerate().filter(|(other, _)| *other != index);
            let others: Vec<_> = others.map(|(_, other)| other.clone()).collect();
            let decided = grant(&wish(&names[index].0, shares[index].wants, cap, now), Some(shares[index]), &others);
            shares[index] = decided.kept.unwrap().0;
            let sum: u32 = shares.iter().map(|share| share.has).sum();
            assert!(sum <= cap, "{shares:?}");
            shares.clone()
        };
        for index in order {
            renew(index.index(wants.len()));
        }
        // Two rounds: the first makes room, the second uses it.
        let last = (0..2 * wants.len()).map(|index| renew(index % wants.len())).last().unwrap();
        if usize::try_from(cap).unwrap() >= wants.len() {
            prop_assert!(last.iter().all(|share| share.has >= 1), "{last:?}");
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_turns_each_has_its_share_and_nobody_waits_for_long(
        takes in prop::collection::vec(1_u64..=15, 2..7),
        cap in 1_u32..4,
        seed in any::<u64>(),
    ) {
        prop_assume!(usize::try_from(cap).unwrap() < takes.len());
        let longest = *takes.iter().max().unwrap();
        let (used, waited) = Shop::open(cap, takes.clone(), seed).run(Shop::OPEN);
        let (fair, least) = (used.iter().sum::<u64>() / used.len() as u64, *used.iter().min().unwrap());
        prop_assert!(least * 2 >= fair && used.iter().all(|mine| *mine <= fair * 2), "{used:?}");
        // Little of the time is lost to changing turns.
        prop_assert!(used.iter().sum::<u64>() * 10 >= u64::from(cap) * Shop::OPEN * 8, "{used:?}");
        let turns = (takes.len() as u64).div_ceil(u64::from(cap)) - 1;
        // Each of those who were here before may take a second more to see that a slot is free.
        let before = takes.len() as u64 - u64::from(cap);
        let bound = turns * (TURN.as_secs() + Shop::RENEWAL + longest + 2) + before;
        prop_assert!(waited <= bound, "{waited} s of {bound} s");
    }
}

/// Owners that always have something to send, second by second, as `pipeline/capacity/slots.rs` asks: each second while
/// they have no slot or owe one, else every five seconds.
struct Shop {
    cap: u32,
    /// How long the requests of each owner take at the most.
    takes: Vec<u64>,
    owners: Vec<Owner>,
    random: u64,
}

#[derive(Default)]
struct Owner {
    kept: Option<(Share, Timestamp)>,
    granted: u32,
    /// When each request ends.
    in_flight: Vec<u64>,
    next_ask: u64,
    used: u64,
    waits_since: u64,
}

impl Shop {
    const RENEWAL: u64 = 5;
    /// Two hours.
    const OPEN: u64 = 7_200;

    fn open(cap: u32, takes: Vec<u64>, random: u64) -> Self {
        let owners = takes.iter().map(|_| Owner::default()).collect();
        Self { cap, takes, owners, random }
    }

    fn draw(&mut self, most: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % most + 1
    }

    /// The slot-seconds that each has used, and the longest wait, in seconds.
    fn run(mut self, seconds: u64) -> (Vec<u64>, u64) {
        let mut longest = 0;
        for now in 0..seconds {
            for index in 0..self.owners.len() {
                self.owners[index].in_flight.retain(|end| *end > now);
                if self.owners[index].next_ask <= now {
                    self.ask(index, now);
                }
                while self.owners[index].in_flight.len() < self.owners[index].granted as usize {
                    let takes = self.draw(self.takes[index]);
                    self.owners[index].in_flight.push(now + takes);
                }
                let owner = &mut self.owners[index];
                owner.used += owner.in_flight.len() as u64;
                if !owner.in_flight.is_empty() {
                    owner.waits_since = now;
                }
                longest = longest.max(now - owner.waits_since);
            }
            let in_flight: usize = self.owners.iter().map(|owner| owner.in_flight.len()).sum();
            assert!(in_flight <= self.cap as usize, "{in_flight} at {now} s");
        }
        (self.owners.iter().map(|owner| owner.used).collect(), longest)
    }

    fn ask(&mut self, index: usize, now: u64) {
        let names: Vec<String> = (0..self.owners.len()).map(|number| number.to_string()).collect();
        let there = |owner: &Owner| owner.kept.filter(|(_, until)| *until > at(now)).map(|(share, _)| share);
        let others: Vec<_> = (0..self.owners.len())
            .filter(|other| *other != index)
            .filter_map(|other| Some((names[other].clone(), there(&self.owners[other])?)))
            .collect();
        let owner = &self.owners[index];
        let in_use = owner.in_flight.len() as u32;
        let decided = grant(&Wish { in_use, ..wish(&names[index], 3, self.cap, now) }, there(owner), &others);
        let owner = &mut self.owners[index];
        (owner.kept, owner.granted) = (decided.kept, decided.granted.slots);
        let pause = if owner.granted == 0 || owner.granted < in_use { 1 } else { Self::RENEWAL };
        owner.next_ask = now + pause;
    }
}
