//! The record: one table, a line for each thing that was tried.

use std::path::PathBuf;
use std::process::Command;

use linstab_tests::week;

use crate::parts::Line;
use linstab_tests::root;

const COLUMNS: [&str; 9] =
    ["line", "command", "count", "seed", "failures", "detail", "date", "processor", "revision"];

/// Where the record is kept.
pub(crate) fn path() -> PathBuf {
    root().join("data/robustness/record.csv")
}

/// Puts lines into the record, each in the place of an earlier one of its name.
///
/// # Errors
/// What the file system or the reader of tables says.
pub(crate) fn keep(
    command: &str,
    seed: u64,
    revision: &str,
    lines: &[Line],
) -> Result<(), Box<dyn std::error::Error>> {
    let path = path();
    let mut rows: Vec<Vec<String>> = Vec::new();
    if path.exists() {
        for row in csv::Reader::from_path(&path)?.records() {
            rows.push(row?.iter().map(str::to_owned).collect());
        }
    }
    for line in lines {
        let row = vec![
            line.what.clone(),
            command.to_owned(),
            line.count.to_string(),
            seed.to_string(),
            line.failures.len().to_string(),
            line.detail.clone(),
            date(),
            processor(),
            revision.to_owned(),
        ];
        match rows.iter_mut().find(|earlier| earlier[0] == line.what) {
            Some(earlier) => *earlier = row,
            None => rows.push(row),
        }
    }
    std::fs::create_dir_all(path.parent().ok_or("no folder")?)?;
    let mut table = csv::Writer::from_path(&path)?;
    table.write_record(COLUMNS)?;
    rows.iter().try_for_each(|row| table.write_record(row))?;
    Ok(table.flush()?)
}

fn date() -> String {
    let (year, month, day) = week::date(week::today());
    format!("{year}-{month:02}-{day:02}")
}

fn processor() -> String {
    let known = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = known.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// The revision of the source, as of now.
pub(crate) fn revision() -> String {
    let described = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"])
        .current_dir(root())
        .output();
    described.map_or_else(|_| String::new(), |found| String::from_utf8_lossy(&found.stdout).trim().to_owned())
}
