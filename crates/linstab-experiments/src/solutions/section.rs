//! What the constructed solutions have to say on the page.

use super::cells::Solution;
use super::config::Config;
use super::summary::{Row, solutions, title};
use crate::minimum::Metric;
use linstab_dynamics::Optimizer;
use linstab_report::conclusion::conclude;
use linstab_report::section::{Figure, Section, Table};
use linstab_report::text::{list, range, significant};

/// The section of the solutions.
pub(super) fn section(config: &Config, independent: &[Row], sweep: &[Row]) -> Section {
    let mut findings = formulas_in_words(config, independent);
    findings.extend(criteria_in_words(config, independent));
    findings.extend(redundancy_in_words(config, sweep));
    Section {
        title: "Constructed solutions: the paper's formulas against exact numbers".to_owned(),
        short_title: "Solutions".to_owned(),
        paper: vec![format!(
            "Theorems 3.4 to 3.6: a solution in which each sample has a unit of its own (it memorises) has a diagonal coherence matrix; a solution that \
             looks at C of {} inputs has λmax(S) of the order n/2^C, so that σ falls with C, and under SAM the more steeply. From that the paper concludes \
             that SGD and SAM prefer simple solutions, and names redundant inputs as the case to which coherence is blind.",
            config.num_inputs
        )],
        findings,
        figures: figures(config),
        tables: vec![formula_table(config, independent), threshold_table(config, independent)],
        ..Section::default()
    }
}

fn of(
    rows: &[Row],
    solution: Solution,
    optimizer: Optimizer,
    metric: Metric,
    batch_size: Option<usize>,
) -> Option<&Row> {
    rows.iter()
        .find(|row| row.is_of(solution) && row.measures(optimizer, metric) && row.batch_size == batch_size)
}

fn quantities(config: &Config) -> [(&'static str, Optimizer, Metric); 5] {
    let sam = config.sam();
    [
        ("λmax(S), SGD", Optimizer::sgd(), Metric::LambdaMaxS),
        ("σ, SGD", Optimizer::sgd(), Metric::Sigma),
        ("λmax(S), SAM", sam, Metric::LambdaMaxS),
        ("largest sample sharpness, SAM", sam, Metric::MaxSampleSharpness),
        ("σ, SAM", sam, Metric::Sigma),
    ]
}

/// How far the formulas are from the numbers.
fn formulas_in_words(config: &Config, rows: &[Row]) -> Vec<String> {
    let ratio = |value: fn(&Row) -> Option<f64>| {
        let ratios = quantities(config).into_iter().flat_map(|(_, optimizer, metric)| {
            solutions(config).filter_map(move |solution| {
                let row = of(rows, solution, optimizer, metric, None)?;
                row.num_features?;
                Some(value(row)? / row.mean)
            })
        });
        ratios.filter(|ratio| ratio.is_finite()).collect::<Vec<f64>>()
    };
    vec![formulas_beside_numbers(&ratio(|row| row.paper), &ratio(|row| row.corrected))]
}

/// A formula gives the numbers if it is within this share of them.
const THE_SAME: f64 = 0.05;

/// The ratios of the printed and of the corrected formulas to the exact values.
fn formulas_beside_numbers(paper: &[f64], corrected: &[f64]) -> String {
    let gives = |ratios: &[f64]| ratios.iter().all(|ratio| (ratio - 1.0).abs() <= THE_SAME);
    let shown = |ratios: &[f64]| range(ratios.iter().copied(), |ratio| format!("{ratio:.2}"));
    let verdict = conclude(
        gives(paper),
        "**The printed formulas give the numbers:**",
        "**The printed formulas do not give the numbers:**",
    );
    let after = conclude(gives(corrected), "which gives the numbers", "which is not exact either");
    format!(
        "{verdict} over C, optimizer and quantity they are {} times the exact values. With the mean inner product of two gradients of a cluster in place of \
         a sample's own, and the largest cluster that was drawn in place of the mean one, they are {} times, {after}.",
        shown(paper),
        shown(corrected)
    )
}

/// The criterion cannot tell the solutions apart; the exact threshold can, and says the opposite.
fn criteria_in_words(config: &Config, rows: &[Row]) -> Option<String> {
    let fewest = *config.num_features.iter().min()?;
    let most = *config.num_features.iter().max()?;
    let of = |c: usize, metric, b| {
        of(rows, Solution::Generalising { num_features: c }, Optimizer::sgd(), metric, Some(b))
            .map(|row| row.mean)
    };
    let mut both_ratios = Vec::new();
    for &b in &config.batch_size {
        let both = |metric| Some(of(most, metric, b)? / of(fewest, metric, b)?);
        if let (Some(criterion), Some(exact)) =
            (both(Metric::CriterionDivergence), both(Metric::MaxLearningRate))
            && criterion.is_finite()
        {
            both_ratios.push((b, criterion, exact));
        }
    }
    (!both_ratios.is_empty()).then(|| criterion_beside_exact((fewest, most), &both_ratios))
}

/// For each batch size the largest learning rate with most features over that with fewest: by the criterion, and exactly.
fn criterion_beside_exact((fewest, most): (usize, usize), ratios: &[(usize, f64, f64)]) -> String {
    let told = ratios
        .iter()
        .map(|(b, criterion, exact)| format!("B = {b}: {criterion:.3} by the criterion, {exact:.3} exactly"));
    let same = ratios.iter().all(|(_, criterion, _)| (criterion - 1.0).abs() <= THE_SAME);
    let verdict = conclude(
        same,
        "**The divergence criterion is the same number for all of them,** as it must be where λmax(S) = n λmax(H).",
        "**The divergence criterion tells them apart.**",
    );
    let simpler = conclude(
        ratios.iter().all(|(_, _, exact)| *exact <= 1.0 - THE_SAME),
        "Simpler solutions are the more stable ones.",
        "Simpler solutions are not the more stable ones.",
    );
    format!(
        "{verdict} Largest learning rate with C = {most} over that with C = {fewest}, SGD: {}. {simpler}",
        told.collect::<Vec<_>>().join("; ")
    )
}

fn redundancy_in_words(config: &Config, rows: &[Row]) -> Option<String> {
    let fewest = *config.num_features.iter().min()?;
    let solution = Solution::Generalising { num_features: fewest };
    let correlated: Vec<&Row> = rows
        .iter()
        .filter(|row| {
            row.redundancy == "correlated"
                && row.is_of(solution)
                && row.measures(Optimizer::sgd(), Metric::Sigma)
        })
        .collect();
    let (first, last) = (correlated.first()?, correlated.last()?);
    Some(format!(
        "**Redundant inputs:** as their correlation goes from {} to {}, σ of the solution with C = {fewest} goes from {} to {}.",
        first.degree?,
        last.degree?,
        significant(first.mean, 3),
        significant(last.mean, 3)
    ))
}

fn figures(config: &Config) -> Vec<Figure> {
    let draws = config.num_draws;
    vec![
        Figure::new(
            "solutions-coherence",
            "Coherence over C: exact, printed, corrected",
            format!("Means over {draws} data sets. Solid: exact; dashed: the paper's formulas; dotted: corrected, for the largest cluster drawn."),
            "Three panels over the number of features: the largest eigenvalue of S and sigma, with dots for exact values, dashed curves for the paper's \
             formulas and dotted ones for the corrected.",
            "solutions",
        ),
        Figure::new(
            "solutions-thresholds",
            "Exact thresholds",
            "Exact mean-square threshold over the batch size, a panel an optimizer.".to_owned(),
            "Exact threshold over the batch size on logarithmic axes, a panel an optimizer, a curve for each solution.",
            "solutions",
        ),
        Figure::new(
            "solutions-criteria",
            "The paper's criteria in units of the exact threshold",
            "Above 1 a criterion allows more than the exact threshold, below 1 less. Infinite values (the full batch) are left out.".to_owned(),
            "Ratios of the divergence criterion and of Theorem 3.3 to the exact threshold over the batch size, for SGD and SAM.",
            "solutions",
        ),
        Figure::new(
            "solutions-redundancy",
            "What redundant inputs change",
            format!("σ, exact threshold and criterion of SGD at B = {}; means over {draws} data sets.", config.redundancy.batch_size),
            "Six panels over the correlation of the inputs and over the number of distinct inputs: sigma, exact threshold and criterion, a curve for each \
             solution.",
            "solutions-redundancy",
        ),
    ]
}

fn formula_table(config: &Config, rows: &[Row]) -> Table {
    let columns = ["solution", "quantity", "exact", "paper", "corrected"];
    let mut table = Table::new("Formulas against exact numbers", &columns, "solutions");
    "A dash where there is no formula.".clone_into(&mut table.note);
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| significant(value, 4));
    for solution in solutions(config) {
        for (name, optimizer, metric) in quantities(config) {
            let Some(row) = of(rows, solution, optimizer, metric, None) else { continue };
            let numbers = [Some(row.mean), row.paper, row.corrected].map(shown);
            table.rows.push([title(solution), name.to_owned()].into_iter().chain(numbers).collect());
        }
    }
    table
}

fn threshold_table(config: &Config, rows: &[Row]) -> Table {
    let names: Vec<String> = solutions(config).map(title).collect();
    let columns: Vec<&str> = ["optimizer", "B"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let mut table = Table::new("Exact thresholds of the learning rate", &columns, "solutions");
    table.note = format!("Means over {} data sets; columns: {}.", config.num_draws, list(&names));
    for optimizer in config.optimizers() {
        for &b in &config.batch_size {
            let cells = solutions(config).map(|solution| {
                of(rows, solution, optimizer, Metric::MaxLearningRate, Some(b))
                    .map_or("-".to_owned(), |row| significant(row.mean, 4))
            });
            let head = [optimizer.name().to_owned(), b.to_string()];
            table.rows.push(head.into_iter().chain(cells).collect());
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_follows_from_the_numbers() {
        let said = formulas_beside_numbers(&[0.5, 2.0], &[1.0, 1.01]);
        assert!(
            said.contains("do not give the numbers") && said.ends_with("which gives the numbers."),
            "{said}"
        );
        let said = formulas_beside_numbers(&[1.0, 1.01], &[0.5]);
        assert!(said.contains("formulas give the numbers") && said.ends_with("not exact either."), "{said}");
        let said = criterion_beside_exact((2, 5), &[(1, 1.0, 1.0), (10, 1.0, 1.6)]);
        assert!(
            said.contains("is the same number") && said.ends_with("are not the more stable ones."),
            "{said}"
        );
        let said = criterion_beside_exact((2, 5), &[(1, 0.5, 0.4)]);
        assert!(said.contains("tells them apart") && said.ends_with("are the more stable ones."), "{said}");
    }
}
