//! What the trainings have to say on the page.

use super::config::Config;
use super::drawing::name;
use super::metric::Metric;
use super::tables::{Comparison, Group, Regression};
use linstab_driver::statistics::{mean, standard_deviation};
use linstab_report::conclusion::{conclude, falls};
use linstab_report::section::{Absent, Figure, Section, Table};
use linstab_report::text::{list, range, significant};

/// The section of Figures 2 to 4 and Table 1.
pub(super) fn section(
    config: &Config,
    groups: &[Group<'_>],
    comparisons: &[Comparison],
    regressions: &[Regression],
) -> Section {
    let mut findings = vec![table_1_in_words(comparisons)];
    findings.extend(against_the_paper(config, comparisons));
    findings.extend(regressions_in_words(regressions));
    findings.extend(config.learning_rate.iter().filter_map(|&rate| edge_in_words(config, groups, rate)));
    Section {
        title: "Coherence dynamics: what training does to coherence and sharpness".to_owned(),
        short_title: "Coherence dynamics".to_owned(),
        paper: paper(config),
        findings,
        figures: figures(config),
        tables: vec![table_1(comparisons), regression_table(regressions)],
        absent: vec![Absent {
            name: "Table 2".to_owned(),
            why: "Feature rank and coherence of ResNet-18 on CIFAR-10 after 200 epochs of SGD and SAM. It needs a convolutional network, that data \
                  set and days of a graphics processor; this program has two-layer networks and runs on any machine in minutes."
                .to_owned(),
        }],
        ..Section::default()
    }
}

fn paper(config: &Config) -> Vec<String> {
    vec![
        format!(
            "Figure 2 follows a two-layer ReLU network ({} inputs, {} units, {} samples) through training with SGD and SAM at several radii. \
             Figure 3 has the coherence: SAM lowers the largest sharpness of a sample, and with it the largest eigenvalue of the coherence matrix. \
             Figure 4 plots these two against one another at the end of each training, for two learning rates and for SGD with a contrastive \
             term: a line, along which the optimizers shift.",
            config.num_inputs, config.width, config.num_samples
        ),
        "Table 1 has the numbers at the end of training, by radius of SAM.".to_owned(),
    ]
}

fn optimizer(rho: f64) -> String {
    if rho > 0.0 { format!("SAM {rho}") } else { "SGD".to_owned() }
}

fn symbol(metric: Metric) -> &'static str {
    match metric {
        Metric::LambdaMaxS => "λmax(S)",
        Metric::MaxSampleSharpness => "max λmax(Hᵢ)",
        Metric::Sigma => "σ",
        Metric::Sharpness => "λmax(H)",
        Metric::Trace => "tr H",
        Metric::FeatureRank => "feature rank",
        Metric::MaxLearningRate => "η* of SGD",
        Metric::TrainLoss => "training loss",
        Metric::TrainAccuracy => "training accuracy",
        Metric::ValidationLoss => "validation loss",
        Metric::ValidationAccuracy => "validation accuracy",
        Metric::GradientCoherence => "gradient coherence",
        Metric::NegativeProducts => "negative products",
        Metric::LambdaMaxSGaussNewton => "λmax(S), Gauss-Newton",
    }
}

/// Numbers of two programs are called the same if none of them is farther apart; of a dozen, the largest is beyond it once in thirty
/// comparisons of equals.
const SAME_WITHIN_STANDARD_ERRORS: f64 = 3.0;

fn table_1_in_words(comparisons: &[Comparison]) -> String {
    let differences: Vec<f64> =
        comparisons.iter().filter_map(|row| row.difference_in_standard_errors).map(f64::abs).collect();
    let largest = differences.iter().copied().fold(0.0, f64::max);
    let agreement = conclude(
        largest <= SAME_WITHIN_STANDARD_ERRORS,
        "**The released code agrees with us.**",
        "**The released code does not agree with us.**",
    );
    format!(
        "{agreement} Its {} numbers for Table 1 are within {largest:.1} standard errors of ours. {}",
        differences.len(),
        radius_in_words(comparisons)
    )
}

/// Whether each of the three metrics falls with SAM's radius.
fn radius_in_words(comparisons: &[Comparison]) -> String {
    let metrics = [
        (Metric::LambdaMaxS, "λmax(S)"),
        (Metric::MaxSampleSharpness, "the largest sharpness of a sample"),
        (Metric::Sharpness, "the sharpness of the mean"),
    ];
    let (lowered, others): (Vec<_>, Vec<_>) =
        metrics.into_iter().partition(|&(metric, _)| falls(&by_radius(comparisons, metric)));
    let names =
        |of: &[(Metric, &str)]| list(&of.iter().map(|(_, name)| (*name).to_owned()).collect::<Vec<_>>());
    let lowers = || format!("SAM lowers {}, the more so the larger its radius.", names(&lowered));
    let does_not = || format!("SAM does not lower {} with every step of its radius.", names(&others));
    match (lowered.is_empty(), others.is_empty()) {
        (_, true) => lowers(),
        (true, false) => does_not(),
        (false, false) => format!("{} {}", lowers(), does_not()),
    }
}

/// Our means of a metric, by the radius of SAM.
fn by_radius(comparisons: &[Comparison], metric: Metric) -> Vec<f64> {
    let mut means: Vec<(f64, f64)> =
        comparisons.iter().filter(|row| row.metric == metric).map(|row| (row.rho, row.mean)).collect();
    means.sort_by(|a, b| a.0.total_cmp(&b.0));
    means.dedup_by(|a, b| a.0.to_bits() == b.0.to_bits());
    means.into_iter().map(|(_, mean)| mean).collect()
}

/// A printed number is another one if it differs by more than this factor: the spread over seeds is a fifth.
const ANOTHER_NUMBER: f64 = 1.5;

/// Where the printed table is another one.
fn against_the_paper(config: &Config, comparisons: &[Comparison]) -> Option<String> {
    let printed: Vec<&Comparison> = comparisons.iter().filter(|row| row.source == "paper").collect();
    let mut metrics: Vec<Metric> = printed.iter().map(|row| row.metric).collect();
    metrics.dedup();
    let ratios = |metric: Metric| -> Vec<f64> {
        let of = printed.iter().filter(|row| row.metric == metric);
        of.map(|row| row.reported_mean / row.mean).collect()
    };
    let is_another = |metric: &Metric| {
        ratios(*metric).iter().any(|ratio| !(1.0 / ANOTHER_NUMBER..=ANOTHER_NUMBER).contains(ratio))
    };
    let others: Vec<Metric> = metrics.iter().copied().filter(is_another).collect();
    let told = |metric: &Metric| {
        let times = range(ratios(*metric), |ratio| significant(ratio, 2));
        format!("{} is {times} times what it gives", symbol(*metric))
    };
    let sigmas = printed.iter().filter(|row| row.metric == Metric::Sigma).map(|row| row.reported_mean);
    let largest = sigmas.fold(0.0, f64::max);
    let impossible = if largest > config.num_samples as f64 {
        format!(
            " A σ of {largest} cannot be at an interpolating minimum with {} samples, where σ is at most their number.",
            config.num_samples
        )
    } else {
        String::new()
    };
    (!metrics.is_empty()).then(|| {
        conclude(
            others.is_empty(),
            "**The printed Table 1 comes out of that code**, to its spread over seeds.",
            format!(
                "**{} of {} columns of the printed Table 1 do not come out of that code:** {}.{impossible}",
                others.len(),
                metrics.len(),
                list(&others.iter().map(told).collect::<Vec<_>>())
            ),
        )
    })
}

/// A panel is called a line if the line explains so much of the variance.
const A_LINE: f64 = 0.9;

fn regressions_in_words(regressions: &[Regression]) -> Option<String> {
    let parts: Vec<String> = regressions
        .iter()
        .map(|row| format!("{:.2} ({}, R² {:.2})", row.slope, row.panel, row.r_squared))
        .collect();
    let num_lines = regressions.iter().filter(|row| row.r_squared >= A_LINE).count();
    let line = conclude(
        num_lines == regressions.len(),
        "**Figure 4 is a line.**",
        format!("**Figure 4 is a line in {num_lines} of {} panels.**", regressions.len()),
    );
    (!parts.is_empty()).then(|| {
        format!(
            "{line} The slope of log λmax(S) over the log of the largest sample sharpness is {}.",
            list(&parts)
        )
    })
}

/// The learning rate is at the edge if the threshold is within so much of it.
const AT_THE_EDGE: f64 = 0.15;

/// The exact threshold at the end of the trainings with one learning rate.
fn edge_in_words(config: &Config, groups: &[Group<'_>], rate: f64) -> Option<String> {
    let here = groups.iter().filter(|group| {
        group.cell.learning_rate.to_bits() == rate.to_bits() && group.cell.contrastive_weight <= 0.0
    });
    let ends: Vec<(f64, String)> = here
        .filter_map(|group| {
            let values = group.final_values(Metric::MaxLearningRate, config.num_epochs);
            let (mean, sd) = (mean(&values), standard_deviation(&values));
            mean.is_finite().then(|| (mean, format!("{mean:.3} ± {sd:.3} ({})", name(group))))
        })
        .collect();
    let at_edge = |(mean, _): &&(f64, String)| (mean / rate - 1.0).abs() <= AT_THE_EDGE;
    let num_at_edge = ends.iter().filter(at_edge).count();
    let verdict = conclude(
        num_at_edge > 0,
        format!(
            "At the edge, within {:.0} %, is the end of {num_at_edge} of {}.",
            100.0 * AT_THE_EDGE,
            ends.len()
        ),
        "None of them ends at the edge.",
    );
    let told = list(&ends.iter().map(|(_, told)| told.clone()).collect::<Vec<_>>());
    (!ends.is_empty()).then(|| {
        format!(
            "**The edge of stability at η = {rate}:** the exact mean-square threshold of SGD at the point that training has reached in the end is {told}. \
             {verdict}"
        )
    })
}

fn figures(config: &Config) -> Vec<Figure> {
    let seeds = config.num_seeds;
    let rate = config.learning_rate[0];
    let mut figures = vec![
        Figure::new("figure-2",
            "Training with SGD and SAM",
            format!("Means over {seeds} seeds at η = {rate}; bands are one standard deviation."),
            "Six panels over the epochs, a curve for SGD and for each radius of SAM: losses, sharpness, trace, feature rank and gradient coherence.",
            "coherence-dynamics",
        ).of_the_paper("Figure 2"),
        Figure::new("figure-3",
            "Coherence along the training",
            format!("Means over {seeds} seeds at η = {rate}; bands are one standard deviation."),
            "Three panels over the epochs, a curve for SGD and for each radius of SAM: the largest sharpness of a sample, the largest eigenvalue of the \
             coherence matrix, and their ratio.",
            "coherence-dynamics",
        ).of_the_paper("Figure 3"),
        Figure::new("figure-4",
            "λmax(S) against the sharpest sample",
            "A dot for the end of each training. Left and middle: SGD and SAM at two learning rates; right: SGD with a contrastive term. Dashed: the \
             regression on logarithmic axes."
                .to_owned(),
            "Three scatter plots on logarithmic axes, with the dots of SGD and of each radius of SAM in colours of their own and a dashed regression line.",
            "figure-4",
        ).of_the_paper("Figure 4"),
    ];
    if config.thresholds {
        figures.push(Figure::new("coherence-dynamics-edge",
            "Does training ride the edge of stability?",
            "Exact mean-square threshold of SGD at the current point, beside the learning rate (dashed). Where the two meet, the point is at the edge."
                .to_owned(),
            "The exact threshold of SGD over the epochs, a panel a learning rate, with a curve for SGD and for each radius of SAM, and the learning rate as a \
             dashed line.",
            "coherence-dynamics",
        ));
    }
    figures
}

/// Ours beside each source, a row a metric and optimizer.
fn table_1(comparisons: &[Comparison]) -> Table {
    let mut sources: Vec<&str> = Vec::new();
    let mut keys: Vec<(Metric, f64)> = Vec::new();
    for row in comparisons {
        if !sources.contains(&row.source.as_str()) {
            sources.push(&row.source);
        }
        if !keys.contains(&(row.metric, row.rho)) {
            keys.push((row.metric, row.rho));
        }
    }
    // By metric in the order of the rows, within it by radius.
    let place = |metric: Metric| comparisons.iter().position(|row| row.metric == metric);
    keys.sort_by(|a, b| place(a.0).cmp(&place(b.0)).then(a.1.total_cmp(&b.1)));
    let heads: Vec<String> = sources.iter().map(|source| source.replace('-', " ")).collect();
    let columns: Vec<&str> = ["quantity", "optimizer", "ours"]
        .into_iter()
        .chain(heads.iter().map(String::as_str))
        .chain(["difference in standard errors"])
        .collect();
    let mut table = Table::new("Metrics at the end of training", &columns, "table-1");
    table.name = Some("Table 1".to_owned());
    "Mean ± standard deviation over seeds; a dash where a source has no number. The difference is between ours and the released code's."
        .clone_into(&mut table.note);
    let shown = |mean: f64, sd: Option<f64>| {
        sd.map_or_else(|| format!("{mean}"), |sd| format!("{mean:.1} ± {sd:.1}"))
    };
    for (metric, rho) in keys {
        let of: Vec<&Comparison> = comparisons
            .iter()
            .filter(|row| row.metric == metric && row.rho.to_bits() == rho.to_bits())
            .collect();
        let Some(ours) = of.first() else { continue };
        let mut row = vec![symbol(metric).to_owned(), optimizer(rho), shown(ours.mean, Some(ours.sd))];
        row.extend(sources.iter().map(|source| {
            let found = of.iter().find(|row| row.source == *source);
            found.map_or("-".to_owned(), |row| shown(row.reported_mean, row.reported_sd))
        }));
        let difference = of.iter().find_map(|row| row.difference_in_standard_errors);
        row.push(difference.map_or("-".to_owned(), |difference| format!("{difference:+.1}")));
        table.rows.push(row);
    }
    table
}

fn regression_table(regressions: &[Regression]) -> Table {
    let columns = ["panel of Figure 4", "trainings", "slope", "R²"];
    let mut table = Table::new("The lines of Figure 4", &columns, "figure-4-regressions");
    for row in regressions {
        let (slope, r_squared) = (significant(row.slope, 3), significant(row.r_squared, 3));
        table.rows.push(vec![row.panel.clone(), row.num_points.to_string(), slope, r_squared]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(metric: Metric, rho: f64, mean: f64, reported_mean: f64) -> Comparison {
        let source = "paper".to_owned();
        let difference_in_standard_errors = Some((reported_mean - mean).abs());
        let (sd, num_seeds, reported_sd) = (1.0, 5, Some(1.0));
        Comparison {
            metric,
            rho,
            mean,
            sd,
            num_seeds,
            source,
            reported_mean,
            reported_sd,
            difference_in_standard_errors,
        }
    }

    #[test]
    fn table_1_is_concluded_from_its_numbers() {
        let metrics = [Metric::LambdaMaxS, Metric::MaxSampleSharpness, Metric::Sharpness];
        let rows = |change: f64, gap: f64| -> Vec<Comparison> {
            let of = |metric| {
                [0.0, 0.1].map(|rho| row(metric, rho, 10.0 + change * rho, 10.0 + change * rho + gap))
            };
            metrics.into_iter().flat_map(of).collect()
        };
        let said = table_1_in_words(&rows(-20.0, 1.0));
        assert!(
            said.starts_with("**The released code agrees") && said.contains("SAM lowers λmax(S), "),
            "{said}"
        );
        let said = table_1_in_words(&rows(20.0, 4.0));
        assert!(said.starts_with("**The released code does not agree"), "{said}");
        assert!(said.contains("SAM does not lower λmax(S), ") && !said.contains("SAM lowers"), "{said}");
        let mut mixed = rows(-20.0, 1.0);
        mixed[1].mean = 11.0;
        let said = table_1_in_words(&mixed);
        assert!(
            said.contains("SAM lowers the largest") && said.contains("does not lower λmax(S) with"),
            "{said}"
        );
    }

    #[test]
    fn the_printed_table_is_concluded_from_its_numbers() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../data/configs/coherence-dynamics.toml");
        let config = Config::read(&folder).unwrap();
        let said = against_the_paper(&config, &[row(Metric::Sigma, 0.0, 10.0, 11.0)]).unwrap();
        assert!(said.starts_with("**The printed Table 1 comes out"), "{said}");
        let said = against_the_paper(&config, &[row(Metric::Sigma, 0.0, 10.0, 1e6)]).unwrap();
        assert!(said.contains("1 of 1 columns") && said.contains("A σ of 1000000 cannot be"), "{said}");
        let said = against_the_paper(&config, &[row(Metric::Sigma, 0.0, 10.0, 20.0)]).unwrap();
        assert!(said.contains("do not come out") && !said.contains("cannot be"), "{said}");
    }

    #[test]
    fn a_line_is_one_if_it_explains_the_dots() {
        let panel = |r_squared| Regression {
            panel: "x".to_owned(),
            num_points: 9,
            slope: 1.0,
            intercept: 0.0,
            r_squared,
        };
        let said = regressions_in_words(&[panel(0.95), panel(0.99)]).unwrap();
        assert!(said.starts_with("**Figure 4 is a line.**"), "{said}");
        let said = regressions_in_words(&[panel(0.95), panel(0.5)]).unwrap();
        assert!(said.starts_with("**Figure 4 is a line in 1 of 2 panels.**"), "{said}");
    }
}
