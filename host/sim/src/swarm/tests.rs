//! The swarm keeps its own promises.

use super::*;

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 1..6 {
        let case = Case::draw(seed);
        assert_eq!(case, Case::draw(seed));
        let (one, other) = (run(&case, true).unwrap(), run(&case, true).unwrap());
        assert_eq!(one.violation, other.violation);
        assert!(!one.trace.is_empty());
        assert_eq!(one.trace, other.trace, "seed {seed}");
    }
}
