//! The fault model: the faults of each port as data, and wrappers around the ports that inject them.
//!
//! A [`FaultPlan`] is a list of [`Fault`]s. The [`Injector`] holds the plan of one run and counts every call of every
//! port; a [`Port`] is one process' way to it, and knows whether that process is frozen. [`FaultyLedger`],
//! [`FaultySink`] and [`FaultyMapping`] wrap the ports of one process. The runner of the processes (the swarm of
//! `damper-sim`) makes the clocks step, the objects vanish and the processes die; see [`Fault`].
//!
//! # The faults, and Damper's guarantees under each
//!
//! | fault | at | promise that holds |
//! | --- | --- | --- |
//! | the call fails before (nothing is done) | every port | all |
//! | the call is done, its answer is lost | every port | all |
//! | the client repeats a call that was done, and returns the second answer | every port | all |
//! | the call is done later than an error was reported, after other calls | every port | all, where the store refuses a late conditional write as DynamoDB does: see [`FaultyLedger`] |
//! | slow | every port | all, while a call takes less than the lease of a claim |
//! | refused: throttled, a change is pending | every port | all |
//! | a process dies, before or after any call | every process | all; an item that was in flight or not stored yet is fetched again |
//! | a process freezes (SIGSTOP), before or after any call | every process | all |
//! | the wall clock steps, forward or back, for all processes of a machine | clock | all but the calendar's: a quota counts days by the clock that the processes see, and an item is as old as that clock says |
//! | an object vanishes or is moved once its items are finished | sink | all |
//! | an object vanishes before its items are finished, and their owner dies | sink | the record is fetched again: the one that took the object has it twice |
//!
//! A process that freezes between the last check of its clock and the sending of a request sends that request late; no
//! client can prevent that. The model therefore sends a request at once, also while its process is frozen, and holds
//! the answer back.

mod injector;
mod ledger;
mod mapping;
mod plan;
mod sink;

pub use injector::{Injector, Observer, Port, ProcessControl, TraceLine};
pub use ledger::{FaultyLedger, SlotVersions};
pub use mapping::FaultyMapping;
pub use plan::{Fault, FaultPlan, How, Operation};
pub use sink::FaultySink;
