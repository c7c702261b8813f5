//! How one vulnerability is patched in all containers: which remedy, in which waves, when to go on, when to go back.
//!
//! Does no I/O and takes no clock: [`plan`] makes waves from what is exposed, [`step`] moves a campaign on from what was
//! observed. The executor in `konzert-fleet` carries out effects and has no choices left.
//!
//! Invariants: a workload's entry holds both images before its first change; effects may be carried out twice; a
//! final phase never changes again, except by an undo; a failed wave starts no further wave.
#![forbid(unsafe_code)]

mod plan;
mod remedy;
mod step;
mod wave;

pub use plan::{Exposed, Planned, PlannedEntry, plan};
pub use remedy::{BaseCandidate, NoRemedy, choose_base};
pub use step::{Effect, Health, Observed, Rescan, Template, is_final, step, wakes_at};
pub use wave::{WaveError, WaveSize};
