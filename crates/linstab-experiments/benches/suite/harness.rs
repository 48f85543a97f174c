//! Runs benchmarks and records them.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;

#[derive(Serialize)]
struct Record {
    name: &'static str,
    unit: &'static str,
    min: f64,
    median: f64,
    samples: usize,
    threads: usize,
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

    /// Measures `run` after one unmeasured call; it returns the measured number. `name` is selected by `--only name`, and
    /// by `--only prefix` if the prefix ends at a slash.
    pub(crate) fn measure(
        &mut self,
        (name, unit): (&'static str, &'static str),
        samples: usize,
        threads: usize,
        mut run: impl FnMut() -> f64,
    ) {
        self.names.push(name);
        let selected = self.only.as_deref().is_none_or(|only| {
            name.strip_prefix(only).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if !selected {
            return;
        }
        run();
        let mut values: Vec<f64> = (0..samples).map(|_| run()).collect();
        values.sort_unstable_by(f64::total_cmp);
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
        let json = serde_json::to_string_pretty(&self.records).expect("plain numbers and texts") + "\n";
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
