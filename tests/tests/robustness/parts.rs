//! How much of a part of the proof is done, and what it has shown.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use linstab_tests::root;

/// How much of a part to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort<'a> {
    /// The program: a copy, so that a build meanwhile changes nothing.
    pub(crate) program: &'a Path,
    /// How many times; a part that enumerates ignores it.
    pub(crate) count: u64,
    /// The root of all that is drawn.
    pub(crate) seed: u64,
    /// Only lines whose name holds this.
    pub(crate) line: Option<&'a str>,
    /// When to stop, whatever is left to do. What was done counts.
    pub(crate) until: Option<Instant>,
}

impl Effort<'_> {
    /// Whether there is time for more.
    pub(crate) fn goes_on(self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }

    /// Whether a line of this name was asked for.
    pub(crate) fn wants(self, what: &str) -> bool {
        self.line.is_none_or(|line| what.contains(line))
    }

    /// A command that runs the program at the workspace root.
    pub(crate) fn linstab(self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(arguments).current_dir(root()).env_remove("RUST_LOG").env("RUST_BACKTRACE", "0");
        command
    }
}

/// What a part has shown: a line of the record.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// What was tried.
    pub(crate) what: String,
    /// How many times.
    pub(crate) count: u64,
    /// What went wrong, a line each.
    pub(crate) failures: Vec<String>,
    /// What was measured on the way.
    pub(crate) detail: String,
}
