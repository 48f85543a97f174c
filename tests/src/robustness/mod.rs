//! Proof of robustness, by numbers: each part tries something many times from a seed and says what failed.
//!
//! It lives beside the whole-program tests because it knows everything: the readers, the analyses with their slow twins, the driver and
//! the program. `cargo xtask robustness` runs it at length and keeps the record in `data/robustness`; `cargo xtask test` runs a small share,
//! with seeds that change every week.

mod random;
pub mod record;
mod seeds;
pub mod week;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::root;
pub use random::Random;

/// How much of a part to do.
#[derive(Clone, Copy, Debug)]
pub struct Effort<'a> {
    /// The program: a copy, so that a build meanwhile changes nothing.
    pub program: &'a Path,
    /// How many times; a part that enumerates ignores it.
    pub count: u64,
    /// The root of all that is drawn.
    pub seed: u64,
    /// When to stop, whatever is left to do. What was done counts.
    pub until: Option<Instant>,
}

impl Effort<'_> {
    /// Whether there is time for more.
    fn goes_on(self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }

    /// A command that runs the program at the workspace root.
    fn linstab(self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(arguments).current_dir(root()).env_remove("RUST_LOG").env("RUST_BACKTRACE", "0");
        command
    }
}

/// What a part has shown: a line of the record.
#[derive(Clone, Debug)]
pub struct Line {
    /// What was tried.
    pub what: String,
    /// How many times.
    pub count: u64,
    /// What went wrong, a line each.
    pub failures: Vec<String>,
    /// What was measured on the way.
    pub detail: String,
}

/// A part of the proof.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its name on the command line.
    pub name: &'static str,
    /// How many times in full, and in the tests of every change.
    pub counts: (u64, u64),
    /// Does it.
    pub run: fn(Effort<'_>) -> Vec<Line>,
}

/// All parts.
pub const PARTS: &[Part] = &[Part { name: "seeds", counts: (100, 1), run: seeds::run }];

/// Runs a part and says how long it took.
pub fn run(part: &Part, effort: Effort<'_>) -> (Vec<Line>, Duration) {
    let begun = Instant::now();
    let lines = (part.run)(effort);
    (lines, begun.elapsed())
}
