//! Runs an experiment of the shipped configurations, quick, into a temporary folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use linstab_driver::manifest::Provenance;
use linstab_driver::progress::Silent;
use linstab_driver::{Options, reproduce};
use tempfile::TempDir;

/// A row of a table, by column.
pub(crate) type Row = BTreeMap<String, String>;

/// The results of a run.
pub(crate) struct Run {
    tables: PathBuf,
}

/// The refusal of a shipped configuration in which one text is replaced by another.
pub(crate) fn refusal(experiment: &str, from: &str, to: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("{experiment}.toml");
    let text = std::fs::read_to_string(configs().join(&file)).unwrap();
    assert!(text.contains(from), "the configuration no longer holds `{from}`");
    std::fs::write(folder.path().join(file), text.replacen(from, to, 1)).unwrap();
    let out = folder.path().join("results");
    let options = Options { configs: folder.path().to_owned(), ..options(experiment, 1, out.clone()) };
    let error = reproduce(super::EXPERIMENTS, &options, &Silent).unwrap_err();
    assert!(error.is_usage() && !out.exists(), "{error}");
    error.to_string()
}

/// The shipped configurations.
pub(crate) fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/configs")
}

/// A quick run of one experiment.
pub(crate) fn options(experiment: &str, num_threads: usize, out: PathBuf) -> Options {
    Options {
        only: vec![experiment.to_owned()],
        configs: configs(),
        out,
        quick: true,
        seed: None,
        num_threads,
        restart: false,
        force: false,
        provenance: nowhere(),
    }
}

/// Runs an experiment; the results are in `results` below the folder.
pub(crate) fn run(experiment: &str, num_threads: usize) -> (Run, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("results");
    let report =
        reproduce(super::EXPERIMENTS, &options(experiment, num_threads, out.clone()), &Silent).unwrap();
    assert_eq!(report.failures().next(), None, "the experiment is completed");
    (Run { tables: out.join("tables") }, folder)
}

/// Results of no place and time.
pub(crate) fn nowhere() -> Provenance {
    Provenance {
        git_revision: String::new(),
        program_sha256: "test".to_owned(),
        toolchain: String::new(),
        dependencies: Vec::new(),
        cpu: String::new(),
        platform: String::new(),
    }
}

impl Run {
    /// The rows of a table.
    pub(crate) fn table(&self, name: &str) -> Vec<Row> {
        let path = self.tables.join(format!("{name}.csv"));
        csv::Reader::from_path(path).unwrap().deserialize().map(|row| row.unwrap()).collect()
    }

    /// All tables by name, bit by bit.
    pub(crate) fn tables(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = std::fs::read_dir(&self.tables).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        files.map(|path| (path.file_name().unwrap().into(), std::fs::read(&path).unwrap())).collect()
    }
}

/// The one row with these texts.
pub(crate) fn find<'a>(rows: &'a [Row], wanted: &[(&str, &str)]) -> &'a Row {
    let mut found = rows.iter().filter(|row| wanted.iter().all(|(key, text)| row[*key] == *text));
    let row = found.next().unwrap_or_else(|| panic!("no row with {wanted:?}"));
    assert!(found.next().is_none(), "several rows with {wanted:?}");
    row
}

/// A number of a row.
pub(crate) fn number(row: &Row, key: &str) -> f64 {
    row[key].parse().unwrap()
}
