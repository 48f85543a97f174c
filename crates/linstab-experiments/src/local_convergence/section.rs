//! What the local convergence has to say on the page.

use super::cells::Method;
use super::config::Config;
use super::summary::{LossRow, SolutionRow, across_solutions, last_ordered_epoch, title};
use crate::minimum::Metric;
use linstab_report::conclusion::conclude;
use linstab_report::section::{Figure, Section, Table};
use linstab_report::text::{list, range, significant};

/// The section of Figure 1 (d).
pub(super) fn section(config: &Config, losses: &[LossRow], solutions: &[SolutionRow]) -> Section {
    Section {
        title: "Local convergence: next to a solution that looks at C inputs".to_owned(),
        short_title: "Local convergence".to_owned(),
        paper: paper(config),
        findings: findings(config, losses, solutions),
        figures: figures(config),
        tables: vec![loss_table(config, losses), solution_table(config, solutions)],
        ..Section::default()
    }
}

fn paper(config: &Config) -> Vec<String> {
    vec![format!(
        "Figure 1 (d) starts training next to solutions of a two-layer ReLU network that look at C of {} inputs and are equally flat, and \
         shows the loss over the epochs: it falls faster for smaller C, and faster still with SAM. The paper reads this as a preference for \
         simple solutions, which have the larger coherence σ.",
        config.num_inputs
    )]
}

fn mean_of(rows: &[SolutionRow], num_features: usize, metric: Metric, batch_size: Option<usize>) -> f64 {
    let wanted = |row: &&SolutionRow| {
        (row.num_features, row.metric, row.batch_size) == (num_features, metric, batch_size)
    };
    rows.iter().find(wanted).map_or(f64::NAN, |row| row.mean)
}

fn findings(config: &Config, losses: &[LossRow], solutions: &[SolutionRow]) -> Vec<String> {
    let last = config.num_epochs;
    let epochs = |method: Method, relative: bool| {
        let epoch = last_ordered_epoch(config, losses, method, relative);
        format!("{epoch} ({})", title(method))
    };
    let methods = Method::all(config);
    let through =
        |relative: bool| list(&methods.iter().map(|&one| epochs(one, relative)).collect::<Vec<_>>());
    let faster = methods.iter().filter(|&&one| last_ordered_epoch(config, losses, one, false) > 0).count();
    let mut findings = vec![format!(
        "{} Of {last} epochs, the mean loss rises with C through epoch {}, and the loss relative to its start through epoch {}.",
        fitted_faster(faster, methods.len()),
        through(false),
        through(true)
    )];
    for &rho in &config.sam_rho {
        let of = |method| across_solutions(config, losses, method, 1);
        let (sgd, sam) = (of(Method::Sgd), of(Method::Sam { rho }));
        let ratios: Vec<f64> = sam.iter().zip(&sgd).map(|(sam, sgd)| sam / sgd).collect();
        findings.push(sam_beside_sgd(rho, &ratios));
    }
    findings.extend(thresholds(config, solutions));
    findings
}

/// What the exact thresholds say of the same solutions.
fn thresholds(config: &Config, rows: &[SolutionRow]) -> Option<String> {
    let (fewest, most) = (*config.num_features.iter().min()?, *config.num_features.iter().max()?);
    let of = |num_features: usize, metric, batch_size| mean_of(rows, num_features, metric, batch_size);
    let of_all = |metric, batch_size| config.num_features.iter().map(move |&c| of(c, metric, batch_size));
    let threshold = |c, b| of(c, Metric::MaxLearningRate, Some(b));
    let ratios: Vec<(usize, f64)> =
        config.threshold_batch_size.iter().map(|&b| (b, threshold(fewest, b) / threshold(most, b))).collect();
    let spread = |b: usize| {
        let values: Vec<f64> =
            of_all(Metric::CriterionDivergence, Some(b)).filter(|x| x.is_finite()).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        (!values.is_empty()).then(|| values.iter().copied().fold(0.0, f64::max) / low)
    };
    let spreads: Vec<f64> = config.threshold_batch_size.iter().filter_map(|&b| spread(b)).collect();
    let trace = range(of_all(Metric::Trace, None), |x| significant(x, 4));
    Some(stability_in_words((fewest, most), &trace, &ratios, &spreads))
}

fn fitted_faster(num_ordered: usize, num_methods: usize) -> String {
    conclude(
        num_ordered == num_methods,
        "**Fewer features are fitted faster at first.**",
        format!(
            "**Fewer features are fitted faster at first with {num_ordered} of {num_methods} optimizers.**"
        ),
    )
}

/// SAM's loss in units of that of SGD after the first epoch, over C.
fn sam_beside_sgd(rho: f64, ratios: &[f64]) -> String {
    let verdict = conclude(
        ratios.iter().all(|&ratio| ratio < 1.0),
        "is ahead of SGD",
        "is not ahead of SGD for every C",
    );
    let ratios = range(ratios.iter().copied(), |ratio| format!("{ratio:.3}"));
    format!("**SAM with ρ = {rho}** {verdict}: it has {ratios} times its loss after the first epoch, over C.")
}

/// The criterion does not tell solutions apart if its numbers for them differ by less than this share.
const THE_SAME: f64 = 0.05;

/// What the ratios of the exact threshold with fewest features to that with most say, by batch size; `spreads` are those of the criterion.
fn stability_in_words(
    (fewest, most): (usize, usize),
    trace: &str,
    ratios: &[(usize, f64)],
    spreads: &[f64],
) -> String {
    let told = list(&ratios.iter().map(|(b, ratio)| format!("{ratio:.2} (B = {b})")).collect::<Vec<_>>());
    let smaller = ratios.iter().filter(|(_, ratio)| *ratio < 1.0 - THE_SAME).count();
    let larger = ratios.iter().filter(|(_, ratio)| *ratio > 1.0 + THE_SAME).count();
    let (verdict, which) = match (smaller, larger) {
        (1.., 0) => (
            "**Stability says the opposite.**",
            "the simpler solution bears the smaller learning rate, or the same",
        ),
        (0, 1..) => (
            "**Stability says so, too.**",
            "the simpler solution bears the larger learning rate, or the same",
        ),
        (0, 0) => ("**Stability does not tell them apart.**", "both bear the same learning rate"),
        _ => (
            "**Stability says either, by batch size.**",
            "which solution bears the larger learning rate depends on the batch size",
        ),
    };
    let criterion = conclude(
        spreads.iter().all(|&spread| spread <= 1.0 + THE_SAME),
        "does not tell them apart",
        "tells them apart",
    );
    let spread = range(spreads.iter().copied(), |x| format!("{x:.3}"));
    format!(
        "{verdict} At equal trace ({trace}) the exact threshold of the solution with C = {fewest} is {told} times that of C = {most}: {which}. The \
         paper's divergence criterion {criterion} (largest over smallest: {spread})."
    )
}

fn figures(config: &Config) -> Vec<Figure> {
    vec![
        Figure::new(
            "figure-1d",
            "Loss next to solutions of C features",
            format!(
                "Every parameter of a solution is perturbed with standard deviation {}, then trained at learning rate {}, B = {}. Lines are \
                 means over {} runs, bands one standard deviation.",
                config.perturbation_standard_deviation,
                config.learning_rate,
                config.batch_size,
                config.num_runs
            ),
                "Mean loss over the epochs on a logarithmic axis, a panel an optimizer, a curve for each number of features.",
                "local-convergence",
        ).of_the_paper("Figure 1 (d)"),
        Figure::new(
            "local-convergence-thresholds",
            "Exact thresholds of these solutions",
            "Largest stable learning rate of SGD in the mean square, over the batch size.",
                "Exact threshold over the batch size on logarithmic axes, a curve for each number of features.",
                "local-convergence-solutions",
        ),
    ]
}

fn loss_table(config: &Config, rows: &[LossRow]) -> Table {
    let last = config.num_epochs;
    let mut epochs = vec![0, 1, 2, config.num_first_epochs, last / 2, last];
    epochs.retain(|&epoch| epoch <= last);
    epochs.sort_unstable();
    epochs.dedup();
    let heads: Vec<String> = epochs.iter().map(|epoch| format!("epoch {epoch}")).collect();
    let columns: Vec<&str> = ["method", "C"].into_iter().chain(heads.iter().map(String::as_str)).collect();
    let mut table = Table::new("Mean loss", &columns, "local-convergence");
    for method in Method::all(config) {
        for (place, c) in config.num_features.iter().enumerate() {
            let mut row = vec![title(method), c.to_string()];
            row.extend(
                epochs
                    .iter()
                    .map(|&epoch| significant(across_solutions(config, rows, method, epoch)[place], 3)),
            );
            table.rows.push(row);
        }
    }
    table
}

fn solution_table(config: &Config, rows: &[SolutionRow]) -> Table {
    let heads: Vec<String> = config.threshold_batch_size.iter().map(|b| format!("η*, B = {b}")).collect();
    let columns = ["C", "σ", "λmax(S)", "sharpness λmax(H)", "trace of H"]
        .into_iter()
        .chain(heads.iter().map(String::as_str));
    let mut table =
        Table::new("The unperturbed solutions", &columns.collect::<Vec<_>>(), "local-convergence-solutions");
    table.note =
        format!("Means over {} data sets; η* is the exact mean-square threshold of SGD.", config.num_runs);
    for &c in &config.num_features {
        let plain = [Metric::Sigma, Metric::LambdaMaxS, Metric::Sharpness, Metric::Trace];
        let mut row = vec![c.to_string()];
        row.extend(plain.map(|metric| significant(mean_of(rows, c, metric, None), 4)));
        let of = |&b: &usize| significant(mean_of(rows, c, Metric::MaxLearningRate, Some(b)), 4);
        row.extend(config.threshold_batch_size.iter().map(of));
        table.rows.push(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_follows_from_the_numbers() {
        assert!(fitted_faster(3, 3).starts_with("**Fewer features are fitted faster at first.**"));
        assert!(fitted_faster(0, 3).contains("with 0 of 3 optimizers"));
        assert!(sam_beside_sgd(0.1, &[0.5, 0.9]).contains("is ahead of SGD:"));
        assert!(sam_beside_sgd(0.1, &[0.5, 1.1]).contains("is not ahead of SGD for every C:"));
        let said = |ratios: &[(usize, f64)], spread| stability_in_words((2, 5), "1", ratios, &[spread]);
        let opposite = said(&[(1, 1.0), (10, 0.6)], 1.001);
        assert!(
            opposite.starts_with("**Stability says the opposite")
                && opposite.contains("does not tell them apart (")
        );
        let agreeing = said(&[(1, 1.0), (10, 1.6)], 1.5);
        assert!(
            agreeing.starts_with("**Stability says so, too")
                && agreeing.contains("criterion tells them apart")
        );
        assert!(said(&[(1, 1.0)], 1.0).starts_with("**Stability does not tell"));
        assert!(said(&[(1, 2.0), (2, 0.5)], 1.0).starts_with("**Stability says either"));
    }
}
