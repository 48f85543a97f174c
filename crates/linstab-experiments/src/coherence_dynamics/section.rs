//! What the trainings have to say on the page.

use super::config::Config;
use super::drawing::name;
use super::tables::{Comparison, Group, Regression};
use super::tracking::Metric;
use linstab_driver::statistics::{mean, standard_deviation};
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

fn table_1_in_words(comparisons: &[Comparison]) -> String {
    let differences: Vec<f64> =
        comparisons.iter().filter_map(|row| row.difference_in_standard_errors).map(f64::abs).collect();
    let largest = differences.iter().copied().fold(0.0, f64::max);
    format!(
        "**The released code agrees with us.** Its {} numbers for Table 1 are within {largest:.1} standard errors of ours. SAM lowers λmax(S), \
         the largest sharpness of a sample and the sharpness of the mean, the more so the larger its radius.",
        differences.len()
    )
}

/// Where the printed table is another one.
fn against_the_paper(config: &Config, comparisons: &[Comparison]) -> Vec<String> {
    let printed = |metric: Metric| {
        let rows: Vec<&Comparison> =
            comparisons.iter().filter(|row| row.source == "paper" && row.metric == metric).collect();
        let ratios =
            range(rows.iter().map(|row| row.reported_mean / row.mean), |ratio| significant(ratio, 2));
        (rows.iter().map(|row| row.reported_mean).fold(0.0, f64::max), ratios, rows.is_empty())
    };
    let mut said = Vec::new();
    let (_, of_s, no_s) = printed(Metric::LambdaMaxS);
    let (largest, of_sigma, no_sigma) = printed(Metric::Sigma);
    if !no_s && !no_sigma {
        said.push(format!(
            "**Two columns of the printed Table 1 do not come out of that code:** λmax(S) is {of_s} times and σ {of_sigma} times what it gives. \
             A σ of {largest} cannot be at an interpolating minimum with {} samples, where σ is at most their number. The other columns agree \
             within their spread.",
            config.num_samples
        ));
    }
    said
}

fn regressions_in_words(regressions: &[Regression]) -> Option<String> {
    let parts: Vec<String> = regressions
        .iter()
        .map(|row| format!("{:.2} ({}, R² {:.2})", row.slope, row.panel, row.r_squared))
        .collect();
    (!parts.is_empty()).then(|| {
        format!("**Figure 4 is a line.** The slope of log λmax(S) over the log of the largest sample sharpness is {}.", list(&parts))
    })
}

/// The exact threshold at the end of the trainings with one learning rate.
fn edge_in_words(config: &Config, groups: &[Group<'_>], rate: f64) -> Option<String> {
    let here = groups.iter().filter(|group| {
        group.cell.learning_rate.to_bits() == rate.to_bits() && group.cell.contrastive_weight <= 0.0
    });
    let ends: Vec<String> = here
        .filter_map(|group| {
            let values = group.final_values(Metric::MaxLearningRate, config.num_epochs);
            let (mean, sd) = (mean(&values), standard_deviation(&values));
            mean.is_finite().then(|| format!("{mean:.3} ± {sd:.3} ({})", name(group)))
        })
        .collect();
    (!ends.is_empty()).then(|| {
        format!(
            "**The edge of stability at η = {rate}:** the exact mean-square threshold of SGD at the point that training has reached in the end is {}.",
            list(&ends)
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
            "Six panels over the epochs. The larger SAM's radius, the slower the training loss falls, and the smaller sharpness, trace and feature rank \
             in the end; gradient coherence is larger.",
            "coherence-dynamics",
        ).of_the_paper("Figure 2"),
        Figure::new("figure-3",
            "Coherence along the training",
            format!("Means over {seeds} seeds at η = {rate}; bands are one standard deviation."),
            "Three panels over the epochs. The largest sharpness of a sample and the largest eigenvalue of the coherence matrix rise for SGD and the less \
             the larger SAM's radius; the curves of their ratio lie close together.",
            "coherence-dynamics",
        ).of_the_paper("Figure 3"),
        Figure::new("figure-4",
            "λmax(S) against the sharpest sample",
            "A dot for the end of each training. Left and middle: SGD and SAM at two learning rates; right: SGD with a contrastive term. Dashed: the \
             regression on logarithmic axes."
                .to_owned(),
            "Three scatter plots on logarithmic axes. In each the dots lie along a rising line; SGD is at its upper end, SAM with larger radii farther down.",
            "figure-4",
        ).of_the_paper("Figure 4"),
    ];
    if config.thresholds {
        figures.push(Figure::new("coherence-dynamics-edge",
            "Does training ride the edge of stability?",
            "Exact mean-square threshold of SGD at the current point, beside the learning rate (dashed). Where the two meet, the point is at the edge."
                .to_owned(),
            "The exact threshold of SGD over the epochs, a panel a learning rate. At the smaller one all curves end above the learning rate; at the larger \
             one that of SGD comes down to it, while those of SAM stay above.",
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
