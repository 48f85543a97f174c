//! The figures: formulas against exact numbers, thresholds, and the sweep over redundant inputs.

use super::cells::Solution;
use super::config::Config;
use super::summary::{Row, solutions, title};
use crate::minimum::Metric;
use linstab_driver::Result;
use linstab_driver::ResultsFolder;
use linstab_dynamics::Optimizer;
use linstab_report::drawing::{Columns, Grid, Panel, Scale, Series, Svg, chart, colour};

/// Dashes of the paper's formulas, and of the corrected ones.
const PAPER: &str = "5 2.5";
const CORRECTED: &str = "1.2 2";

pub(super) fn draw(
    config: &Config,
    independent: &[Row],
    sweep: &[Row],
    results: &ResultsFolder,
) -> Result<()> {
    let figures = Figures { config, independent, sweep };
    results.draw_both("solutions-coherence", |columns| figures.coherence(columns))?;
    results.draw_both("solutions-thresholds", |columns| figures.thresholds(columns))?;
    results.draw_both("solutions-criteria", |columns| figures.criteria(columns))?;
    results.draw_both("solutions-redundancy", |columns| figures.redundancy(columns))
}

struct Figures<'a> {
    config: &'a Config,
    independent: &'a [Row],
    sweep: &'a [Row],
}

/// The panels of a figure, so many side by side across two columns.
fn grid(columns: Columns, num_panels: usize, per_row: usize) -> Grid {
    let (in_one_column, height) = if num_panels > 4 { (2, 104.0) } else { (1, 104.0) };
    let (per_row, height) = columns.choose((in_one_column, height), (per_row, 130.0));
    Grid { columns, num_panels, per_row, height, gap: 46.0 }
}

/// A panel around all points of the series.
fn panel(
    (grid, index): (&Grid, usize),
    series: &[Series],
    axes: ((bool, &'static str), (bool, &'static str)),
) -> Panel {
    let points = || series.iter().flat_map(|one| one.points.iter().copied());
    let scale = |values: Vec<f64>, (logarithmic, label): (bool, &'static str)| {
        if logarithmic { Scale::logarithmic(values, label) } else { Scale::linear(values, label) }
    };
    let x = scale(points().map(|point| point.0).collect(), axes.0);
    let y = scale(points().map(|point| point.1).collect(), axes.1);
    grid.panel(index, x, y)
}

/// Colour and dashes of a solution.
fn style(config: &Config, solution: Solution) -> (&'static str, &'static str) {
    let place = solutions(config).position(|one| one == solution).unwrap_or(0);
    match solution {
        Solution::Generalising { .. } => (colour::ORDERED[(place + 1).min(colour::ORDERED.len() - 1)], ""),
        Solution::Memorising => (colour::BLUE, "5 2"),
    }
}

impl Figures<'_> {
    fn sam(&self) -> Optimizer {
        self.config.sam()
    }

    /// Exact numbers, the paper's formulas and the corrected ones over C.
    fn coherence(&self, columns: Columns) -> Svg {
        let grid = grid(columns, 3, 3);
        let mut figure = grid.figure("Coherence of generalising solutions, exact and by formula");
        let panels = [
            (Metric::LambdaMaxS, "λmax(S)", "top eigenvalue of S", true),
            (Metric::Sigma, "σ", "coherence measure", true),
            (Metric::MaxSampleSharpness, "maxᵢ λmax(Hᵢ)", "largest sample sharpness", false),
        ];
        let mut series = Vec::new();
        for (index, (metric, label, heading, logarithmic)) in panels.into_iter().enumerate() {
            series = self.over_features(metric);
            let axes = ((false, "features C"), (logarithmic, label));
            chart(&mut figure, &panel((&grid, index), &series, axes), heading, &series);
        }
        let note = format!(
            "means over {} data sets, bands: standard deviation; corrected for the largest cluster drawn",
            self.config.num_draws
        );
        grid.finish(&mut figure, &[&series], &[&note]);
        figure
    }

    /// For SGD and SAM: exact with band, the paper's, corrected.
    fn over_features(&self, metric: Metric) -> Vec<Series> {
        let mut series = Vec::new();
        for (optimizer, colour) in [(Optimizer::sgd(), colour::BLUE), (self.sam(), colour::VERMILION)] {
            let rows: Vec<&Row> =
                self.independent.iter().filter(|row| row.measures(optimizer, metric)).collect();
            let over = |value: &dyn Fn(&Row) -> Option<f64>| -> Vec<(f64, f64)> {
                let point = |row: &&Row| Some((row.num_features? as f64, value(row)?));
                let mut points: Vec<_> = rows.iter().filter_map(point).collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                points
            };
            let (exact, spread) = (over(&|row| Some(row.mean)), over(&|row| Some(row.sd)));
            let spread: Vec<f64> = spread.iter().map(|point| point.1).collect();
            let title = optimizer.label();
            series.push(Series::new(format!("{title}: exact"), colour, exact).with_band(&spread).dotted());
            let paper = over(&|row| row.paper);
            series.push(Series::new(format!("{title}: paper"), colour, paper).dashed(PAPER));
            let corrected = over(&|row| row.corrected);
            series.push(Series::new(format!("{title}: corrected"), colour, corrected).dashed(CORRECTED));
        }
        series
    }

    /// Exact thresholds over the batch size, a panel an optimizer, a curve a solution.
    fn thresholds(&self, columns: Columns) -> Svg {
        let optimizers = self.config.optimizers();
        let grid = grid(columns, optimizers.len(), optimizers.len());
        let mut figure = grid.figure("Exact mean-square thresholds of constructed solutions");
        for (index, &optimizer) in optimizers.iter().enumerate() {
            let series = self
                .over_batch_sizes(|row| row.measures(optimizer, Metric::MaxLearningRate).then_some(row.mean));
            let axes = ((true, "batch size B"), (true, "exact threshold η*"));
            let heading = optimizer.label();
            chart(&mut figure, &panel((&grid, index), &series, axes), &heading, &series);
        }
        let means = format!("means over {} data sets", self.config.num_draws);
        grid.finish(&mut figure, &[&self.named_solutions()], &[&means]);
        figure
    }

    /// The paper's criteria as multiples of the exact threshold.
    fn criteria(&self, columns: Columns) -> Svg {
        let grid = grid(columns, 4, 2);
        let mut figure = grid.figure("The paper's criteria as multiples of the exact threshold");
        for (row, &optimizer) in [Optimizer::sgd(), self.sam()].iter().enumerate() {
            for (column, (metric, heading, logarithmic)) in [
                (Metric::CriterionDivergence, "divergence criterion / η*", true),
                (Metric::CriterionTheorem33, "Theorem 3.3 / η*", false),
            ]
            .into_iter()
            .enumerate()
            {
                let series = self.over_batch_sizes(|row| {
                    row.measures(optimizer, metric).then(|| ratio(self.independent, row))
                });
                let axes = ((true, "batch size B"), (logarithmic, "multiple of η*"));
                let heading = format!("{}: {heading}", optimizer.label());
                chart(&mut figure, &panel((&grid, 2 * row + column), &series, axes), &heading, &series);
            }
        }
        let note = "above 1 the criterion allows more than the exact threshold, below 1 less; infinite for B = n: not drawn";
        grid.finish(&mut figure, &[&self.named_solutions()], &[note]);
        figure
    }

    /// A curve a solution of the rows on independent inputs that have a value.
    fn over_batch_sizes(&self, value: impl Fn(&Row) -> Option<f64>) -> Vec<Series> {
        self.by_solution(|solution| {
            let rows = self.independent.iter().filter(|row| row.is_of(solution));
            rows.filter_map(|row| Some((row.batch_size? as f64, value(row)?))).collect()
        })
    }

    fn by_solution(&self, points: impl Fn(Solution) -> Vec<(f64, f64)>) -> Vec<Series> {
        let of = |solution: Solution| {
            let (colour, dashes) = style(self.config, solution);
            let mut points = points(solution);
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Series::new(title(solution), colour, points).dashed(dashes).dotted()
        };
        solutions(self.config).map(of).collect()
    }

    /// Coherence, thresholds and criteria over the degree of redundancy.
    fn redundancy(&self, columns: Columns) -> Svg {
        let grid = grid(columns, 6, 3);
        let mut figure = grid.figure("What redundant inputs change");
        let batch_size = self.config.redundancy.batch_size;
        let kinds = [
            ("correlated", (false, "correlation of the inputs")),
            ("repeated", (true, "number of distinct inputs")),
        ];
        for (row, (kind, x)) in kinds.into_iter().enumerate() {
            let rows: Vec<&Row> = self.sweep.iter().filter(|row| row.redundancy == kind).collect();
            for (column, (metric, heading, label)) in [
                (Metric::Sigma, "coherence measure, SGD", "σ"),
                (Metric::MaxLearningRate, "exact threshold, SGD", "η*"),
                (Metric::CriterionDivergence, "divergence criterion / η*", "multiple of η*"),
            ]
            .into_iter()
            .enumerate()
            {
                let value = |row: &Row| match metric {
                    Metric::CriterionDivergence => ratio(self.sweep, row),
                    _ => row.mean,
                };
                let series = self.by_solution(|solution| {
                    let here = rows.iter().filter(|row| row.is_of(solution));
                    let here = here.filter(|row| row.measures(Optimizer::sgd(), metric));
                    here.filter_map(|row| Some((row.degree?, value(row)))).collect()
                });
                let axes = (x, (true, label));
                chart(&mut figure, &panel((&grid, 3 * row + column), &series, axes), heading, &series);
            }
        }
        let note = format!(
            "B = {batch_size}, means over {} data sets; where inputs coincide the memorising solution does not exist",
            self.config.num_draws
        );
        grid.finish(&mut figure, &[&self.named_solutions()], &[&note]);
        figure
    }

    /// The solutions for the legend alone.
    fn named_solutions(&self) -> Vec<Series> {
        self.by_solution(|_| vec![(0.0, 0.0), (1.0, 0.0)])
    }
}

/// A criterion as a multiple of the exact threshold in the same situation.
fn ratio(rows: &[Row], criterion: &Row) -> f64 {
    let same = |row: &&Row| row.metric == Metric::MaxLearningRate && row.is_where(criterion);
    rows.iter().find(same).map_or(f64::NAN, |exact| criterion.mean / exact.mean)
}
