//! Proof of robustness, by numbers: each part tries something many times from a seed and says what failed.
//!
//! A test without the usual harness, beside the other whole-program tests, because it knows everything: the readers, the analyses with
//! their slow twins, the driver and the program. Without arguments it does a small share, with a seed that changes every week, which is
//! what `cargo xtask test` runs; `cargo xtask robustness` runs it at length and keeps the record in `data/robustness`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "it says what it has tried")]
#![expect(clippy::disallowed_methods, reason = "a test owns clocks and files")]
#![expect(clippy::neg_cmp_op_on_partial_ord, reason = "a number that is none is a failure, too")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "tables of cases, and small numbers"
)]

mod ensembles;
mod experiment;
mod faults;
mod kills;
mod memory;
mod mutations;
mod panics;
mod parts;
mod random;
mod record;
mod seeds;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use linstab_tests::week;

use crate::parts::{Effort, Line};

/// A part of the proof.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Its name on the command line.
    name: &'static str,
    /// How many times in full, and in the tests of every change.
    counts: (u64, u64),
    /// Whether it runs the program.
    runs_program: bool,
    /// Does it.
    run: fn(Effort<'_>) -> Vec<Line>,
}

/// All parts.
const PARTS: &[Part] = &[
    Part { name: "ensembles", counts: (50_000, 300), runs_program: false, run: ensembles::run },
    Part { name: "kills", runs_program: true, counts: (200, 4), run: kills::run },
    Part { name: "faults", runs_program: false, counts: (0, 0), run: faults::run },
    Part { name: "mutations", counts: (5_000_000, 100_000), runs_program: false, run: mutations::run },
    Part { name: "memory", runs_program: true, counts: (100, 4), run: memory::run },
    Part { name: "seeds", runs_program: true, counts: (100, 1), run: seeds::run },
];

const NAME: &str = "robustness";

const HELP: &str = "\
cargo xtask robustness [--only PART]... [--line TEXT] [--count N] [--seed S] [--minutes M] [--record] [--program FILE]

Tries again and again from a seed, and says what failed.

  --only PART  kills, faults, mutations, memory, seeds or ensembles; all if none is named
  --line TEXT  of these, only lines of the record whose name holds this; they share the number
  --count N    how many times, instead of the usual number; parts that enumerate ignore it
  --seed S     of all that is drawn, instead of 1
  --minutes M  begin nothing more after so many; what was done is what counts
  --record     put the lines into data/robustness/record.csv
  --program F  run this linstab, instead of building it

Without --full, which `cargo xtask robustness` gives: a small share, from the seed of this week.
";

struct Request {
    only: Vec<String>,
    line: Option<String>,
    count: Option<u64>,
    seed: u64,
    minutes: Option<u64>,
    record: bool,
    program: Option<String>,
    weekly: bool,
}

fn request(arguments: &[String]) -> Result<Request, String> {
    let mut request = Request {
        only: Vec::new(),
        line: None,
        count: None,
        seed: 1,
        minutes: None,
        record: false,
        program: None,
        weekly: true,
    };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{flag} needs a value"));
        let number = |text: &String| text.parse().map_err(|_| format!("{flag} is {text}, allowed: a number"));
        match flag.as_str() {
            "--only" => request.only.push(value()?.clone()),
            "--line" => request.line = Some(value()?.clone()),
            "--count" => request.count = Some(number(value()?)?),
            "--seed" => request.seed = number(value()?)?,
            "--minutes" => request.minutes = Some(number(value()?)?),
            "--record" => request.record = true,
            "--program" => request.program = Some(value()?.clone()),
            "--full" => request.weekly = false,
            // cargo hands on its own.
            "--quiet" => {}
            _ => return Err(format!("unknown argument {flag}\n\n{HELP}")),
        }
    }
    if request.weekly {
        request.seed = week::seed(week::today());
    }
    match request.only.iter().find(|name| PARTS.iter().all(|part| part.name != **name)) {
        Some(unknown) => Err(format!(
            "no part {unknown}, allowed: {}",
            PARTS.iter().map(|part| part.name).collect::<Vec<_>>().join(", ")
        )),
        None => Ok(request),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let full = arguments.iter().any(|argument| argument == "--full");
    if full && arguments.iter().any(|argument| argument == "--help") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    // As one test of the usual harness: with a filter that is not its name it does nothing.
    let mut filters = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    if !full && filters.peek().is_some() && !filters.any(|filter| NAME.contains(filter.as_str())) {
        return ExitCode::SUCCESS;
    }
    let arguments = if full { arguments } else { Vec::new() };
    let request = match request(&arguments) {
        Ok(request) => request,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    if request.weekly {
        let (year, number) = week::iso_week(week::today());
        println!("seed of week {year}-W{number:02}: {}", request.seed);
    }
    let selected =
        |part: &&Part| request.only.is_empty() || request.only.iter().any(|name| name == part.name);
    let parts: Vec<&Part> = PARTS.iter().filter(selected).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("linstab");
    if parts.iter().any(|part| part.runs_program) {
        // A copy: a build meanwhile must not change what is tried.
        let built = || linstab_tests::linstab(&[]).get_program().to_owned();
        let from = request.program.as_ref().map_or_else(built, Into::into);
        std::fs::copy(from, &program).expect("a program, and room for it");
    }
    let revision = record::revision();
    let controls =
        [ensembles::controls(), faults::controls(), mutations::controls(), seeds::controls()].concat();
    println!("controls");
    controls.iter().for_each(say);
    let mut failed = controls.iter().any(|line| !line.failures.is_empty());
    for part in parts {
        let count = request.count.unwrap_or(if request.weekly { part.counts.1 } else { part.counts.0 });
        let until = request.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
        let begun = Instant::now();
        let line = request.line.as_deref();
        let lines = (part.run)(Effort { program: &program, count, seed: request.seed, line, until });
        println!("{} ({:.0} s)", part.name, begun.elapsed().as_secs_f64());
        lines.iter().for_each(say);
        failed |= lines.iter().any(|line| !line.failures.is_empty());
        if request.record
            && let Err(problem) = record::keep(&command(part, &request), request.seed, &revision, &lines)
        {
            eprintln!("error: cannot keep the record: {problem}");
            return ExitCode::FAILURE;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// How to do a part again.
fn command(part: &Part, request: &Request) -> String {
    let line = request.line.as_ref().map_or(String::new(), |line| format!(" --line '{line}'"));
    let count = request.count.map_or(String::new(), |count| format!(" --count {count}"));
    format!("cargo xtask robustness --only {}{line} --seed {}{count}", part.name, request.seed)
}

fn say(line: &Line) {
    const MOST: usize = 20;
    let Line { what, count, failures, detail } = line;
    let detail = if detail.is_empty() { String::new() } else { format!("; {detail}") };
    println!("  {what}: {count}, failures: {}{detail}", failures.len());
    failures.iter().take(MOST).for_each(|failure| println!("    {failure}"));
}
