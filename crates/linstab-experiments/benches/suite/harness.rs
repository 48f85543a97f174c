//! Runs benchmarks and records them.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::peer::Peer;

#[derive(Serialize)]
struct Record {
    name: String,
    unit: &'static str,
    min: f64,
    median: f64,
    samples: usize,
    threads: usize,
}

/// What a record needs to be read next year.
#[derive(Serialize)]
struct RecordFile {
    #[serde(flatten)]
    machine: Machine,
    records: Vec<Record>,
}

/// What was measured, and on what.
#[derive(Serialize)]
struct Machine {
    /// Revision of the source, with `-dirty` if it was changed.
    revision: String,
    toolchain: String,
    processor: String,
    num_cores: usize,
}

impl Machine {
    fn here() -> Self {
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().ok();
            let text = output.filter(|output| output.status.success()).map(|output| output.stdout);
            text.map_or(String::new(), |text| String::from_utf8_lossy(&text).trim().to_owned())
        };
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            revision: said("git", &["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]),
            toolchain: said("rustc", &["--version"]),
            processor: model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned()),
            num_cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        }
    }
}

/// Collects records, limited to the benchmarks that were asked for.
pub(crate) struct Suite {
    only: Option<String>,
    names: Vec<&'static str>,
    records: Vec<Record>,
}

impl Suite {
    pub(crate) fn new(only: Option<&str>) -> Self {
        Self { only: only.map(str::to_owned), names: Vec::new(), records: Vec::new() }
    }

    /// Measures `run` after one unmeasured call, or if there is to be one sample in that call; it returns the measured number. `name` is selected by `--only name`, and
    /// by `--only prefix` if the prefix ends at a slash.
    pub(crate) fn measure(
        &mut self,
        (name, unit): (&'static str, &'static str),
        samples: usize,
        threads: usize,
        mut run: impl FnMut() -> f64,
    ) {
        if self.selects(name) {
            if samples > 1 {
                run();
            }
            let values = (0..samples).map(|_| run()).collect();
            self.record(name.to_owned(), unit, values, threads);
        }
    }

    /// The exponent of a power of the size that fits the medians of measured benchmarks best (least squares of logarithms), if all of them
    /// were measured.
    pub(crate) fn fit(&mut self, name: &'static str, points: &[(usize, &str)]) {
        let median =
            |of: &str| self.records.iter().find(|record| record.name == of).map(|record| record.median);
        let logarithms: Option<Vec<(f64, f64)>> =
            points.iter().map(|&(size, of)| Some(((size as f64).ln(), median(of)?.ln()))).collect();
        let Some(logarithms) = logarithms else { return };
        let count = logarithms.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| logarithms.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let covariance: f64 = logarithms.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
        let variance: f64 = logarithms.iter().map(|point| (point.0 - x).powi(2)).sum();
        self.record(name.to_owned(), "", vec![covariance / variance], 2);
    }

    /// As [`Self::measure`], in turns with a peer that `start` brings up: `name/<peer>` is what it takes of `unit`, and
    /// `name/over-<peer>` our numbers over its, pair by pair, since a machine is rarely the same for long.
    pub(crate) fn compare(
        &mut self,
        (name, unit): (&'static str, &'static str),
        (samples, threads): (usize, usize),
        mut run: impl FnMut() -> f64,
        (peer, start): (&str, impl FnOnce() -> Option<Peer>),
        of_seconds: impl Fn(f64) -> f64,
    ) {
        if !self.selects(name) {
            return;
        }
        let Some(mut process) = start() else {
            eprintln!("{name}: {peer} is not installed, so not measured");
            self.names.pop();
            return self.measure((name, unit), samples, threads, run);
        };
        run();
        let mut pairs = Vec::new();
        for _ in 0..samples {
            let ours = run();
            let theirs = of_seconds(process.seconds().expect("a peer that answered once"));
            // Its threads keep turning for a while.
            std::thread::sleep(Duration::from_millis(200));
            pairs.push((ours, theirs));
        }
        self.record(name.to_owned(), unit, pairs.iter().map(|pair| pair.0).collect(), threads);
        self.record(format!("{name}/{peer}"), unit, pairs.iter().map(|pair| pair.1).collect(), threads);
        let ratios = pairs.iter().map(|(ours, theirs)| ours / theirs).collect();
        self.record(format!("{name}/over-{peer}"), "", ratios, threads);
    }

    fn selects(&mut self, name: &'static str) -> bool {
        self.names.push(name);
        self.only.as_deref().is_none_or(|only| {
            name.strip_prefix(only).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    fn record(&mut self, name: String, unit: &'static str, mut values: Vec<f64>, threads: usize) {
        values.sort_unstable_by(f64::total_cmp);
        let samples = values.len();
        let (min, median) = (values[0], values[samples / 2]);
        println!(
            "{name:<44} min {min:>10.4} {unit}   median {median:>10.4} {unit}   {threads} thread(s), {samples} samples"
        );
        self.records.push(Record { name, unit, min, median, samples, threads });
    }

    pub(crate) fn finish(self) -> ExitCode {
        if self.records.is_empty() {
            eprintln!("error: no such benchmark, known: {}", self.names.join(", "));
            return ExitCode::from(2);
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/bench/latest.json");
        let file = RecordFile { machine: Machine::here(), records: self.records };
        let json = serde_json::to_string_pretty(&file).expect("plain numbers and texts") + "\n";
        let written = std::fs::create_dir_all(path.parent().expect("a folder above the file"))
            .and_then(|()| std::fs::write(&path, json));
        match written {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: cannot write {}: {error}", path.display());
                ExitCode::FAILURE
            }
        }
    }
}

/// Seconds that `run` takes.
pub(crate) fn seconds(run: impl FnOnce()) -> f64 {
    let started = Instant::now();
    run();
    started.elapsed().as_secs_f64()
}
