//! The generated texts, from tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use linstab_driver::DriverError;
use linstab_driver::Result;
use linstab_driver::manifest::Manifest;
use linstab_report::text::{range, significant};

/// A row of a table, by column.
type Row = BTreeMap<String, String>;

/// The tables of a results folder.
pub(super) struct Tables {
    results: PathBuf,
    manifest: Manifest,
}

impl Tables {
    /// The tables of a full run.
    pub(super) fn of(results: &Path) -> Result<Self> {
        let problem = |problem: &str| DriverError::DataFile {
            path: results.to_path_buf(),
            problem: problem.to_owned(),
        };
        let manifest = Manifest::read(results).ok_or_else(|| problem("holds no results"))?;
        if manifest.quick {
            return Err(problem("holds results of reduced sizes; a README wants those of a full run"));
        }
        Ok(Self { results: results.to_path_buf(), manifest })
    }

    /// The rows in which each of these columns has this text.
    fn rows(&self, name: &str, wanted: &[(&str, &str)]) -> Result<Vec<Row>> {
        let path = self.results.join(format!("tables/{name}.csv"));
        let bytes = std::fs::read(&path).map_err(DriverError::io("read", &path))?;
        let rows: std::result::Result<Vec<Row>, csv::Error> =
            csv::Reader::from_reader(&bytes[..]).into_deserialize().collect();
        let mut rows =
            rows.map_err(|error| DriverError::DataFile { path: path.clone(), problem: error.to_string() })?;
        rows.retain(|row| wanted.iter().all(|(key, text)| row.get(*key).is_some_and(|found| found == text)));
        if rows.is_empty() {
            let problem = format!("holds no row with {wanted:?}");
            return Err(DriverError::DataFile { path, problem });
        }
        Ok(rows)
    }

    /// An entry of the configuration that was run.
    fn config(&self, experiment: &str, key: &str) -> String {
        self.manifest
            .record(experiment)
            .map_or_else(String::new, |record| record.inputs.config[key].to_string())
    }
}

/// All blocks.
pub(super) fn all(tables: &Tables) -> Result<Vec<(&'static str, String)>> {
    let mut blocks = vec![
        ("map-runs", format!("{} simulated runs", tables.config("stability-map", "num_repetitions"))),
        ("map-table", map_table(tables)?),
        ("claims-counts", claims_counts(tables)?),
        ("table-1", table_1(tables)?),
    ];
    blocks.extend(maps(tables)?);
    blocks.extend(digits(tables)?);
    blocks.extend(edge(tables)?);
    blocks.extend(edge_test(tables)?);
    Ok(blocks)
}

fn number(row: &Row, key: &str) -> f64 {
    row[key].parse().unwrap_or(f64::NAN)
}

/// "a, b and c".
fn enumeration(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

/// The distinct texts of a column, in order.
fn distinct(rows: &[Row], key: &str) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for row in rows {
        if !texts.contains(&row[key]) {
            texts.push(row[key].clone());
        }
    }
    texts
}

/// The maps of the batches that were published.
fn published_maps(tables: &Tables) -> Result<Vec<Row>> {
    tables.rows("stability-map-summary", &[("sampling", "without-replacement")])
}

fn map_table(tables: &Tables) -> Result<String> {
    let mut text = String::from(
        "| map | η | stable | divergence criterion | Theorem 3.3 | exact mean square | Lyapunov exponent |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in &published_maps(tables)? {
        let name = match row["optimizer"].as_str() {
            "sam" => format!("SAM {}", row["rho_over_alpha"]),
            "sgd" => "SGD".to_owned(),
            other => other.replace('-', " "),
        };
        let _ = write!(text, "| {name} | {} | {} |", row["learning_rate"], row["num_stable"]);
        for boundary in ["divergence_criterion", "theorem_3_3", "mean_square", "lyapunov"] {
            let share = number(row, &format!("right_{boundary}")) / number(row, "num_cells");
            let _ = write!(text, " {:.1} % |", 100.0 * share);
        }
        text.push('\n');
    }
    Ok(text)
}

/// How many cells of the maps are stable.
fn maps(tables: &Tables) -> Result<Vec<(&'static str, String)>> {
    let rows = published_maps(tables)?;
    let rates = distinct(&rows, "learning_rate");
    let stable = |optimizer: &str, rate: &str| -> Vec<String> {
        let of = rows.iter().filter(|row| row["optimizer"] == optimizer && row["learning_rate"] == rate);
        of.map(|row| row["num_stable"].clone()).collect()
    };
    let cells = &rows[0]["num_cells"];
    let sgd = format!("{} of {cells} cells stable", stable("sgd", &rates[0]).join(", "));
    // "a and b stable cells at η = 0.5, c and d at η = 0.8".
    let by_rate = |counts: &dyn Fn(&str) -> String| -> Vec<String> {
        let at = |(index, rate): (usize, &String)| {
            let what = if index == 0 { " stable cells" } else { "" };
            format!("{}{what} at η = {rate}", counts(rate))
        };
        rates.iter().enumerate().map(at).collect()
    };
    let beside_sgd =
        |rate: &str| enumeration(&[stable("random-perturbation", rate), stable("sgd", rate)].concat());
    let random = by_rate(&beside_sgd).join(", ");
    let sam = by_rate(&|rate| stable("sam", rate).join(", "));
    let of_sam: Vec<Row> = rows.iter().filter(|row| row["optimizer"] == "sam").cloned().collect();
    let ratios = distinct(&of_sam, "rho_over_alpha").join(", ");
    Ok(vec![
        ("map-cells", cells.clone()),
        ("stable-sgd", sgd),
        ("stable-random", random),
        ("stable-sam", format!("{}, for ρ/α = {ratios}", enumeration(&sam))),
    ])
}

fn claims_counts(tables: &Tables) -> Result<String> {
    let rows = tables.rows("claims", &[])?;
    let count = |verdict: &str| rows.iter().filter(|row| row["verdict"] == verdict).count();
    let [holds, corrected, bound, refuted, supported, unsupported] =
        ["holds", "holds-after-correction", "bound-only", "refuted", "supported", "not-supported"].map(count);
    Ok(format!(
        "{} statements of the paper, or that complete it (of the exact ones {holds} hold, {corrected} do after a correction, {bound} as bounds, \
         {refuted} do not; of the empirical ones {supported} are supported, {unsupported} are not)",
        rows.len()
    ))
}

fn table_1(tables: &Tables) -> Result<String> {
    let rows = tables.rows("table-1", &[("source", "released-code")])?;
    let mut text = String::from("| | optimizer | ours | released code | |\n|---|---|---|---|---|\n");
    for row in &rows {
        let metric = match row["metric"].as_str() {
            "lambda_max_s" => "λmax(S)",
            "max_sample_sharpness" => "max λmax(H_i)",
            "sharpness" => "λmax(H)",
            other => other,
        };
        let rho = number(row, "rho");
        let optimizer = if rho > 0.0 { format!("SAM {rho}") } else { "SGD".to_owned() };
        let of = |key: &str| number(row, key);
        let _ = writeln!(
            text,
            "| {metric} | {optimizer} | {:.1} ± {:.1} | {:.1} ± {:.1} | {:+.1} |",
            of("mean"),
            of("sd"),
            of("reported_mean"),
            of("reported_sd"),
            of("difference_in_standard_errors")
        );
    }
    Ok(text)
}

/// How many runs at a minimum on digits do what the threshold says.
fn digits(tables: &Tables) -> Result<Vec<(&'static str, String)>> {
    let all = tables.rows("digits-summary", &[])?;
    let ratios = distinct(&all, "learning_rate_ratio");
    let obeying = |optimizer: &str| -> Result<String> {
        let rows = tables.rows("digits-summary", &[("optimizer", optimizer)])?;
        let mut total = 0.0;
        let mut counts = Vec::new();
        for ratio in &ratios {
            let of_ratio: Vec<&Row> =
                rows.iter().filter(|row| row["learning_rate_ratio"] == *ratio).collect();
            let sum = |key: &str| of_ratio.iter().map(|row| number(row, key)).sum::<f64>();
            let (runs, grew) = (sum("num_runs"), sum("num_grew"));
            total = runs;
            let above = ratio.parse::<f64>().is_ok_and(|ratio| ratio > 1.0);
            counts.push(if above { grew } else { runs - grew }.to_string());
        }
        Ok(format!("{} of {total} runs", enumeration(&counts)))
    };
    let of_sgd = all.iter().find(|row| row["optimizer"] == "sgd");
    let runs = of_sgd.map_or("", |row| &row["num_runs"]);
    Ok(vec![
        ("digits-samples", format!("{} handwritten digits", tables.config("digits", "num_samples"))),
        ("digits-starts", format!("{} times its exact threshold, {runs} times each", enumeration(&ratios))),
        ("digits-sgd", obeying("sgd")?),
        ("digits-momentum", obeying("momentum")?),
        ("digits-sam", obeying("sam")?),
        ("digits-normalised-sam", obeying("normalised-sam")?),
    ])
}

/// The threshold of SGD at the end of trainings at the largest learning rate.
fn edge(tables: &Tables) -> Result<Vec<(&'static str, String)>> {
    let mut rows = tables.rows(
        "coherence-dynamics-summary",
        &[("metric", "max_learning_rate"), ("contrastive_weight", "0.0")],
    )?;
    let rate = rows.iter().map(|row| number(row, "learning_rate")).fold(0.0, f64::max);
    rows.retain(|row| number(row, "learning_rate") >= rate);
    let (sam, sgd): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| number(row, "rho") > 0.0);
    let value = |row: &Row| format!("{:.3} ± {:.3}", number(row, "mean"), number(row, "sd"));
    let radii: Vec<String> = sam.iter().map(|row| row["rho"].clone()).collect();
    let times: Vec<String> = sam.iter().map(|row| format!("{:.1}", number(row, "mean") / rate)).collect();
    let seeds = sgd.first().map_or("", |row| &row["num_seeds"]);
    Ok(vec![
        ("table-1-seeds", format!("{seeds} seeds")),
        ("edge-rate", format!("η = {rate}")),
        ("edge-sgd", sgd.first().map_or_else(String::new, value)),
        ("edge-sam", format!("{} times the rate (ρ = {})", enumeration(&times), radii.join(", "))),
    ])
}

/// What restarts say of every prediction.
fn edge_test(tables: &Tables) -> Result<Vec<(&'static str, String)>> {
    let settings = tables.rows("edge-test", &[])?;
    let num_runs: f64 = settings.iter().map(|row| number(row, "num_runs")).sum();
    let num = |key: &str| distinct(&settings, key).len();
    let span = |key: &str| range(settings.iter().map(|row| number(row, key)), |value| value.to_string());
    let runs = format!(
        "{num_runs} restarts at {} minima of {} networks ({} parameters) on {} data sets ({} samples)",
        num("minimum"),
        num("network"),
        span("num_parameters"),
        num("data"),
        span("num_samples")
    );
    let findings = tables.rows("edge-test-findings", &[])?;
    let findings: Vec<String> = findings.iter().map(|row| format!("- {}", row["finding"])).collect();
    let (first, others) = findings.split_at(findings.len().min(FIRST_FINDINGS));
    Ok(vec![
        ("edge-test-runs", runs),
        ("edge-test-findings", first.join("\n")),
        ("edge-test-more-findings", others.join("\n")),
        ("edge-test-table", errors_table(tables)?),
    ])
}

/// Findings that everybody reads: does it predict, and what does.
const FIRST_FINDINGS: usize = 3;

/// A predictor is listed if it speaks of so many of all settings.
const LISTED: f64 = 0.5;

/// Median errors at interpolating minima by batch size, the smallest error first.
fn errors_table(tables: &Tables) -> Result<String> {
    let interpolating = tables.rows("edge-test-errors", &[("scope", "interpolating")])?;
    let of_batch = |row: &&Row| row["by"] == "batch-size";
    let mut batches = distinct(&interpolating.iter().filter(of_batch).cloned().collect::<Vec<_>>(), "value");
    batches.sort_by_key(|batch| batch.parse().unwrap_or(usize::MAX));
    let mut rows: Vec<&Row> = interpolating.iter().filter(|row| row["by"] == "all").collect();
    let most = rows.iter().map(|row| number(row, "num_settings")).fold(0.0, f64::max);
    rows.retain(|row| number(row, "num_decided") >= LISTED * most);
    rows.sort_by(|a, b| number(a, "median_error").total_cmp(&number(b, "median_error")));
    let heads: Vec<String> = batches.iter().map(|batch| format!(" B = {batch} |")).collect();
    let mut text = format!(
        "| predictor | settings | median error |{} within 5 % |\n|---|---|---|---|{}\n",
        heads.concat(),
        "---|".repeat(batches.len())
    );
    for row in rows {
        let of = |key: &str| number(row, key);
        let [error, low, high] =
            ["median_error", "median_error_lower", "median_error_upper"].map(|key| percent(of(key)));
        let _ = write!(text, "| {} | {} | {error} ({low} to {high}) |", row["title"], row["num_decided"]);
        for batch in &batches {
            let of_batch = |other: &&Row| {
                of_batch(other) && other["value"] == *batch && other["predictor"] == row["predictor"]
            };
            let error =
                interpolating.iter().find(of_batch).map_or(f64::NAN, |row| number(row, "median_error"));
            let _ = write!(text, " {} |", percent(error));
        }
        let _ = writeln!(text, " {:.0} % |", 100.0 * of("num_tight") / of("num_decided"));
    }
    Ok(text)
}

fn percent(share: f64) -> String {
    if share.is_nan() { "-".to_owned() } else { format!("{} %", significant(100.0 * share, 2)) }
}
