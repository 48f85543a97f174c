//! Files that are damaged at random, for every reader: each is refused in a line, or taken for what it says and nothing else.
//!
//! An accepted input must give what it holds: numbers are compared with those at their place in the bytes, and records, written again, with
//! what was read. So a reader that skips what it does not understand is found out, as is one that panics, hangs or takes its memory from a
//! header that lies.

mod arrays;
mod evidence;
mod mutate;
mod npy;
mod numbers;
mod records;
mod shards;
mod zipped;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::panics::caught;
use crate::parts::{Effort, Line};
use crate::random::Random;
use mutate::Kind;

/// No input of a few hundred bytes takes longer, on a busy machine either.
const HANGS: Duration = Duration::from_secs(20);
/// Inputs that one thread takes at a time.
const BATCH: u64 = 1000;

/// A damaged input.
pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    /// Which of the reader's originals it was.
    pub(super) original: usize,
    /// Decides what a test has a choice of.
    pub(super) choice: u64,
}

/// Whether an input was accepted, as it should be; or what is wrong.
pub(super) type Verdict = Result<bool, String>;

/// A reader, with files that it accepts and some that it does not.
pub(super) struct Reader {
    pub(super) name: &'static str,
    /// Its share of all inputs.
    pub(super) weight: u64,
    pub(super) kind: Kind,
    pub(super) originals: Vec<Vec<u8>>,
    /// Repairs what surrounds a damage, so that it is looked at: lengths, checksums. Applied to half of the inputs.
    pub(super) repair: fn(Vec<u8>) -> Vec<u8>,
    pub(super) read: Box<dyn Fn(&Input<'_>) -> Verdict + Send + Sync>,
}

/// A refusal is a line.
pub(super) fn refused(error: impl std::fmt::Display) -> Verdict {
    let text = error.to_string();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(format!("refused, but not in a line: {text:?}"));
    }
    Ok(false)
}

pub(crate) fn run(effort: Effort<'_>) -> Vec<Line> {
    let readers =
        [arrays::readers(), numbers::readers(), records::readers(), shards::readers(), evidence::readers()];
    let wanted = |reader: &Reader| effort.wants(&what(reader));
    let readers: Vec<Reader> = readers.into_iter().flatten().filter(wanted).collect();
    let weights: u64 = readers.iter().map(|reader| reader.weight).sum();
    // Rounded up: all together are as many as were asked for.
    readers
        .iter()
        .map(|reader| line(reader, (effort.count * reader.weight).div_ceil(weights), effort))
        .collect()
}

fn what(reader: &Reader) -> String {
    format!("damaged {}", reader.name)
}

/// A negative control: what is read as something else, or in part, is found out.
pub(crate) fn controls() -> Vec<Line> {
    let of = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    let whole = of(r#"{"a": [1, {"b": "sgd:momentum=0.5"}], "c": null}"#);
    let mut failures = Vec::new();
    let mut expect = |what: &str, holds: bool| {
        if !holds {
            failures.push(what.to_owned());
        }
    };
    expect("the same passes", lost(&whole, &of(r#"{"a": [1.0, {"b": "sgd:momentum=0.50"}]}"#), "").is_none());
    for part in
        [r#"{"a": [1, {"b": "sgd"}]}"#, r#"{"a": [1]}"#, r#"{"a": [2, {"b": "sgd:momentum=0.5"}]}"#, "{}"]
    {
        expect(part, lost(&whole, &of(part), "").is_some());
    }
    expect("a refusal in two lines", refused("two\nlines").is_err());
    expect("a panic", caught(|| panic!("on purpose")).is_err());
    expect("another number", arrays::control());
    expect("another loss", numbers::control());
    expect("other records", evidence::control());
    vec![Line { what: "control of damaged inputs".to_owned(), count: 10, failures, detail: String::new() }]
}

/// What a batch of inputs gave.
#[derive(Default)]
struct Tally {
    count: u64,
    accepted: u64,
    slowest: Duration,
    failures: Vec<String>,
}

fn line(reader: &Reader, count: u64, effort: Effort<'_>) -> Line {
    let originals = reader.originals.iter().enumerate().filter_map(|(original, bytes)| {
        let read = caught(|| (reader.read)(&Input { bytes, original, choice: 0 }));
        read.unwrap_or_else(Err).err().map(|problem| format!("original {original}: {problem}"))
    });
    let failures: Vec<String> = originals.collect();
    let total = Mutex::new(Tally { failures, ..Tally::default() });
    (0..count.div_ceil(BATCH)).into_par_iter().for_each(|batch| {
        if effort.goes_on() {
            let tally = tally(reader, batch * BATCH..count.min((batch + 1) * BATCH), effort.seed);
            let mut total = total.lock().expect("nobody panics while holding it");
            total.count += tally.count;
            total.accepted += tally.accepted;
            total.slowest = total.slowest.max(tally.slowest);
            total.failures.extend(tally.failures);
        }
    });
    let Tally { count, accepted, slowest, mut failures } =
        total.into_inner().expect("nobody panics while holding it");
    if accepted == 0 || accepted == count {
        failures.push(format!("{accepted} of {count} accepted: the damage is none, or too much"));
    }
    failures.sort_unstable();
    Line {
        what: what(reader),
        count,
        failures,
        detail: format!(
            "{accepted} accepted, rightly; slowest {:.1} ms; peak memory {}",
            1e3 * slowest.as_secs_f64(),
            peak_memory()
        ),
    }
}

fn tally(reader: &Reader, indices: std::ops::Range<u64>, seed: u64) -> Tally {
    let mut tally = Tally::default();
    for index in indices {
        let mut random = Random::of(seed, index);
        let original = random.below(reader.originals.len());
        let mut bytes = mutate::mutated(&reader.originals, original, reader.kind, &mut random);
        if random.below(2) == 0 {
            bytes = (reader.repair)(bytes);
        }
        let input = Input { bytes: &bytes, original, choice: random.word() };
        let begun = Instant::now();
        let verdict =
            caught(|| (reader.read)(&input)).unwrap_or_else(|panic| Err(format!("panics: {panic}")));
        let took = begun.elapsed();
        tally.count += 1;
        tally.slowest = tally.slowest.max(took);
        match verdict {
            Ok(accepted) => tally.accepted += u64::from(accepted),
            Err(problem) => tally.failures.push(format!("input {index}: {problem}")),
        }
        if took > HANGS {
            tally.failures.push(format!("input {index}: took {:.0} s", took.as_secs_f64()));
        }
    }
    tally
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or_else(|| "unknown".to_owned(), |peak| peak.trim().to_owned())
}

/// Splits text into its leaves: every one of the first must be in the second, with the same value.
///
/// Numbers are the same as texts of them, and what is null may be left out.
pub(super) fn lost(read: &serde_json::Value, written: &serde_json::Value, place: &str) -> Option<String> {
    use serde_json::Value;
    match (read, written) {
        (Value::Object(read), Value::Object(written)) => read.iter().find_map(|(key, value)| {
            lost(value, written.get(key).unwrap_or(&Value::Null), &format!("{place}.{key}"))
        }),
        (Value::Array(read), Value::Array(written)) if read.len() == written.len() => read
            .iter()
            .zip(written)
            .enumerate()
            .find_map(|(at, (read, written))| lost(read, written, &format!("{place}[{at}]"))),
        _ if read == written || same_number(read, written) || same_optimizer(read, written) => None,
        _ => Some(format!("{place} is {read}, written again {written}")),
    }
}

fn same_number(read: &serde_json::Value, written: &serde_json::Value) -> bool {
    let number = |value: &serde_json::Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
    match (number(read), number(written)) {
        (Some(read), Some(written)) => {
            read.to_bits() == written.to_bits()
                || (read - written).abs() <= 0.0
                || (read.is_nan() && written.is_nan())
        }
        _ => false,
    }
}

/// Parameters may stand in any order, and defaults be left out.
fn same_optimizer(read: &serde_json::Value, written: &serde_json::Value) -> bool {
    let optimizer = |value: &serde_json::Value| value.as_str()?.parse::<linstab_analysis::Optimizer>().ok();
    optimizer(read).is_some_and(|read| optimizer(written) == Some(read))
}
