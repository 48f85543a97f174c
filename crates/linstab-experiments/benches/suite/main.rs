//! The benchmarks of the workspace: `cargo xtask bench [--only NAME]`.
//!
//! Each prints a line and goes into `target/bench/latest.json`, a list of
//! `{"name", "unit", "min", "median", "samples", "threads"}`. Dated records are kept in `data/bench/`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its results")]
#![expect(clippy::disallowed_methods, reason = "a benchmark needs a clock")]

mod analyze;
mod coherence_dynamics;
mod gram;
mod harness;
mod optimizers;
mod peer;
mod scaling;
mod stability_map;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let only = match &arguments[..] {
        [] => None,
        [flag, name] if flag == "--only" => Some(name.as_str()),
        _ => {
            eprintln!("error: unknown argument `{}`, allowed: --only NAME", arguments.join(" "));
            return ExitCode::from(2);
        }
    };
    let mut suite = harness::Suite::new(only);
    stability_map::register(&mut suite);
    analyze::register(&mut suite);
    scaling::register(&mut suite);
    coherence_dynamics::register(&mut suite);
    gram::register(&mut suite);
    optimizers::register(&mut suite);
    suite.finish()
}
