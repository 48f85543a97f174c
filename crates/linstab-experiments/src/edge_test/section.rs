//! What the edge test has to say on the page.

use super::count::tolerance;
use super::errors::{ALL, ErrorRow};
use super::findings::{Results, findings, interpolating, row, shown, title};
use super::settings::{Scope, runs};
use super::verdicts::SeedRow;
use super::words::{self, ALMOST_SURE, EXACT, GRADIENT_DESCENT};
use linstab_report::section::{Figure, Headline, Number, Picture, Section, Table};
use linstab_report::text::{percent, significant};

/// The section of the edge test.
pub(super) fn section(results: &Results<'_>) -> Section {
    Section {
        title: "Edge test: where does training become unstable, and who predicts it?".to_owned(),
        short_title: "Edge test".to_owned(),
        paper: vec![
            "The paper has no such test. Here networks are trained to a minimum, and training starts again beside it at learning rates around the exact \
             threshold of its optimizer and loader; the learning rate at which half of the runs grow is held against every prediction."
                .to_owned(),
            format!(
                "The runs are recorded in `data/evidence`, with the protocol and what was changed after it: made on {} ({}) in {} hours of one core. `cargo xtask evidence` \
                 makes them anew. All else is computed here.",
                results.provenance.date,
                results.provenance.processor,
                significant(results.provenance.hours_of_one_core, 2)
            ),
        ],
        findings: findings(results),
        headline: headline(results),
        figures: figures(results),
        tables: vec![error_table(results.errors), group_table(results.errors), seed_table(results.seeds)],
        ..Section::default()
    }
}

fn headline(results: &Results<'_>) -> Option<Headline> {
    let verdicts = results.verdicts;
    let almost_sure = row(results.errors, Scope::Interpolating, ALMOST_SURE)?;
    let runs = runs(&interpolating(results));
    let gradient_descent = row(results.errors, Scope::Interpolating, GRADIENT_DESCENT);
    let mut numbers = vec![
        Number::new(
            verdicts.safe.to_string(),
            format!("runs up to {} η* decay", 1.0 - verdicts.judgement.tight),
        ),
        Number::new(
            percent(almost_sure.num_tight, almost_sure.num_decided),
            format!("tip within {} of the almost-sure threshold", tolerance(verdicts.judgement.tight)),
        ),
        Number::new(shown(almost_sure.median_error), "its median error"),
    ];
    numbers.extend(gradient_descent.map(|row| Number::new(shown(row.median_error), "that of 2/λmax")));
    Some(Headline {
        title: title(verdicts).to_owned(),
        numbers,
        sentence: format!(
            "Restarted beside interpolating minima, {runs}: each is asked whether it grows at learning rates around the exact thresholds of its optimizer and loader."
        ),
        picture: Picture::new(
            "edge-test-headline",
            format!(
                "Share of the runs that grew over the learning rate in units of the almost-sure threshold, a line a setting and dots for all together. {runs}."
            ),
            "edge-test-runs",
        ),
    })
}

fn figures(results: &Results<'_>) -> Vec<Figure> {
    let mut figures = vec![
        Figure::new(
            "edge-test",
            "The same runs in units of three predictions",
            format!(
                "Each line is a setting (minimum, optimizer, loader, batch size): the share of its runs that grew, over the learning rate. In units of 2/λmax they begin \
                 to grow at all learning rates; in units of the exact mean-square threshold η* of their optimizer and loader, on the same axis, at one. From nearby: \
                 below η* hardly any run grows, and single runs tip at the almost-sure threshold. {}.",
                runs(&interpolating(results))
            ),
            "Four panels of steps from no to all runs that grew. In the first the steps are spread over decades of the learning rate, in the second they stand \
             on one another; the others show the neighbourhood of two thresholds, with dots for all settings together.",
            "edge-test-runs",
        ),
        Figure::new(
            "edge-test-predictions",
            "Predicted and observed, by predictor",
            "A dot is a setting at an interpolating minimum: the learning rate at which a predictor says unstable, and the one at which half of the runs grow. \
             Right predictions are on the dashed line.",
            "Panels, one a predictor, with the observed learning rate over the predicted one on logarithmic axes; dots on the diagonal are right.",
            "edge-test-predictions",
        ),
        Figure::new(
            "edge-test-errors",
            "Error by predictor",
            "The median over settings of how far the predicted learning rate is from the observed one; 100 % is a factor of two, either way. Bars: 95 %, minima \
             drawn anew. Where no run grew \
             at one learning rate and all did at the next, the transition counts as half way, so errors below half of that step are not told apart.",
            "Rows, one a predictor, each with the median of its errors as a dot and its interval as a bar, on a logarithmic axis, for interpolating minima, live \
             second moments and minima of a finite loss.",
            "edge-test-errors",
        ),
    ];
    if !results.trainings.is_empty() {
        figures.push(Figure::new(
            "edge-test-trainings",
            "Along ordinary trainings",
            "From the start of a training: its learning rate in units of the exact threshold of its optimizer and loader at that step, and of 2/λmax.",
            "Panels, one a training, with the learning rate in units of two thresholds over the steps; a dashed line at one.",
            "edge-test-trainings",
        ));
    }
    figures
}

/// Heads of the tables of errors, which differ in what the second one counts by.
fn columns(second: &'static str) -> [&'static str; 9] {
    [
        "predictor",
        second,
        "n",
        "median error",
        "lower",
        "upper",
        "predicted / observed",
        "within 5 %",
        "within 10 %",
    ]
}

/// All scopes and predictors.
fn error_table(errors: &[ErrorRow]) -> Table {
    let mut table = Table::new("Who predicts", &columns("settings"), "edge-test-errors");
    "Errors are factors less one, either way; n is the number of settings whose runs tell the error. Rows by optimizer, loader, batch size, loss, network, data \
     and seed are in the file."
        .clone_into(&mut table.note);
    for scope in Scope::ALL {
        for row in errors.iter().filter(|row| (row.scope, row.by) == (scope, ALL)) {
            table.rows.push(cells(vec![row.title.clone(), scope.name().replace('-', " ")], row));
        }
    }
    table
}

fn cells(mut cells: Vec<String>, row: &ErrorRow) -> Vec<String> {
    let errors = [row.median_error, row.median_error_lower, row.median_error_upper];
    cells.push(row.num_decided.to_string());
    cells.extend(errors.map(shown));
    cells.push(significant(row.median_ratio, 3));
    cells.extend([row.num_tight, row.num_loose].map(|count| percent(count, row.num_decided)));
    cells
}

/// The exact thresholds by what settings have in common.
fn group_table(errors: &[ErrorRow]) -> Table {
    let mut table = Table::new(
        "The exact thresholds by optimizer, loader, batch size, loss, network and data",
        &columns("settings with"),
        "edge-test-errors",
    );
    "Interpolating minima alone.".clone_into(&mut table.note);
    for predictor in [EXACT, ALMOST_SURE, GRADIENT_DESCENT] {
        let of_predictor =
            errors.iter().filter(|row| row.predictor == predictor && row.scope == Scope::Interpolating);
        for row in of_predictor.filter(|row| ![ALL, "seed"].contains(&row.by)) {
            let group = format!("{} {}", row.by.replace('-', " "), row.value);
            table.rows.push(cells(vec![words::predictor(predictor), group], row));
        }
    }
    table
}

fn seed_table(rows: &[SeedRow]) -> Table {
    let mut seeds: Vec<&str> = rows.iter().map(|row| row.seed.as_str()).collect();
    seeds.dedup();
    let heads: Vec<String> = seeds
        .iter()
        .map(|seed| if *seed == "all" { "all".to_owned() } else { format!("seed {seed}") })
        .collect();
    let columns: Vec<&str> = std::iter::once("statement").chain(heads.iter().map(String::as_str)).collect();
    let mut table = Table::new("The same for each seed", &columns, "edge-test-seeds");
    "Each statement is a test on the numbers, made for all settings and for those of each seed; a dash where a seed has nothing to test it on."
        .clone_into(&mut table.note);
    for first in rows.iter().filter(|row| row.seed == seeds[0]) {
        let verdict = |seed: &&str| {
            let row = rows.iter().find(|row| row.statement == first.statement && row.seed == **seed);
            match row.and_then(|row| row.holds) {
                Some(true) => "yes".to_owned(),
                Some(false) => "no".to_owned(),
                None => "-".to_owned(),
            }
        };
        table.rows.push(std::iter::once(first.statement.clone()).chain(seeds.iter().map(verdict)).collect());
    }
    table
}
