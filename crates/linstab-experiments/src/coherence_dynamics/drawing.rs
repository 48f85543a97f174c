//! Figures 2 to 4, and the edge of stability.

use super::config::Config;
use super::metric::Metric;
use super::tables::{self, Group, Regression};
use linstab_driver::Result;
use linstab_driver::ResultsFolder;
use linstab_report::drawing::{
    Anchor, Columns, Grid, Panel, Scale, Series, Stroke, Svg, Text, chart, chart_with, colour,
};

/// The panels of a figure.
fn grid(columns: Columns, num_panels: usize) -> Grid {
    // In one column few panels stand below one another, many in pairs.
    let in_one_column = if num_panels > 4 { 2 } else { 1 };
    let per_row = columns.choose(in_one_column, num_panels.min(3));
    Grid { columns, num_panels, per_row, height: 104.0, gap: 46.0 }
}

/// Writes all figures.
pub(super) fn draw(
    config: &Config,
    groups: &[Group<'_>],
    regressions: &[Regression],
    results: &ResultsFolder,
) -> Result<()> {
    let plain: Vec<&Group<'_>> = groups.iter().filter(|group| is_plain(config, group)).collect();
    let training = [
        ("training loss", Metric::TrainLoss, true),
        ("validation accuracy", Metric::ValidationAccuracy, false),
        ("sharpness λmax(H)", Metric::Sharpness, false),
        ("trace of H", Metric::Trace, false),
        ("feature rank", Metric::FeatureRank, false),
        ("gradient coherence", Metric::GradientCoherence, false),
    ];
    let title = "Training of a two-layer ReLU network with SGD and SAM";
    results.draw_both("figure-2", |columns| dynamics(columns, title, &plain, &training))?;
    let coherence = [
        ("max_i λmax(H_i)", Metric::MaxSampleSharpness, false),
        ("λmax(S)", Metric::LambdaMaxS, false),
        ("coherence measure σ", Metric::Sigma, false),
    ];
    let title = "Coherence along the training";
    results.draw_both("figure-3", |columns| dynamics(columns, title, &plain, &coherence))?;
    results.draw_both("figure-4", |columns| regression_figure(columns, config, groups, regressions))?;
    results.draw_both("coherence-dynamics-edge", |columns| edge(columns, config, groups))
}

/// The trainings of Figures 2 and 3: the first learning rate, no contrastive term.
fn is_plain(config: &Config, group: &Group<'_>) -> bool {
    let first = config.learning_rate[0].to_bits();
    group.cell.learning_rate.to_bits() == first && group.cell.contrastive_weight <= 0.0
}

const SGD: &str = "SGD";

pub(super) fn name(group: &Group<'_>) -> String {
    if group.cell.rho > 0.0 { format!("SAM ρ = {}", group.cell.rho) } else { SGD.to_owned() }
}

/// The colour of the optimizer with this index, light to dark.
fn ordered(index: usize) -> &'static str {
    if index == 0 { colour::BLUE } else { colour::ORDERED[index.min(colour::ORDERED.len() - 1)] }
}

/// The colour of a weight of the contrastive term: without it the training is that of plain SGD, and has its colour and name; the
/// others have colours that no optimizer has.
fn by_weight_shade(weight: f64, index: usize) -> &'static str {
    const OTHERS: [&str; 3] = [colour::GREEN, colour::PURPLE, colour::INK];
    if weight > 0.0 { OTHERS[index.saturating_sub(1) % OTHERS.len()] } else { ordered(0) }
}

/// One panel a metric: mean over seeds along the epochs, with a band of one standard deviation.
fn dynamics(
    columns: Columns,
    title: &str,
    groups: &[&Group<'_>],
    metrics: &[(&'static str, Metric, bool)],
) -> Svg {
    let grid = grid(columns, metrics.len());
    let mut svg = grid.figure(title);
    let mut named = Vec::new();
    for (index, &(label, metric, logarithmic)) in metrics.iter().enumerate() {
        let series: Vec<Series> = groups
            .iter()
            .enumerate()
            .map(|(at, group)| {
                let series = Series::new(name(group), ordered(at), group.curve(metric));
                // Below zero a logarithmic axis has no place for a band.
                if logarithmic { series } else { series.with_band(&group.spread(metric)) }
            })
            .collect();
        let heights = series.iter().flat_map(|one| one.points.iter().map(|point| point.1));
        let bands = series.iter().flat_map(|one| one.band.iter().flat_map(|(_, low, high)| [*low, *high]));
        let values: Vec<f64> = heights.chain(bands).collect();
        let y = if logarithmic { Scale::logarithmic(values, "") } else { Scale::linear(values, "") };
        let panel = grid.panel(index, epochs_axis(&series), y);
        chart(&mut svg, &panel, label, &series);
        named = series;
    }
    grid.finish(&mut svg, &[&named], &[]);
    svg
}

fn epochs_axis(series: &[Series]) -> Scale {
    Scale::linear(series.iter().flat_map(|one| one.points.iter().map(|point| point.0)), "epoch")
}

/// Figure 4: the end of each training, and the line through them.
fn regression_figure(
    columns: Columns,
    config: &Config,
    groups: &[Group<'_>],
    regressions: &[Regression],
) -> Svg {
    let title = "Largest eigenvalue of the coherence matrix against the sharpest sample";
    let panels = tables::panels(config, groups);
    let grid = grid(columns, panels.len());
    let mut svg = grid.figure(title);
    let ends: Vec<(f64, f64)> = groups.iter().flat_map(|group| tables::ends(config, group)).collect();
    let (mut by_radius, mut by_weight) = (Vec::new(), Vec::new());
    for (index, (name_of_panel, groups)) in panels.iter().enumerate() {
        let x = Scale::logarithmic(ends.iter().map(|end| end.0), "max_i λmax(H_i)");
        let y = Scale::logarithmic(
            ends.iter().map(|end| end.1),
            if grid.is_first(index) { "λmax(S)" } else { "" },
        );
        let panel = grid.panel(index, x, y);
        let contrastive = groups.iter().any(|group| group.cell.contrastive_weight > 0.0);
        let series: Vec<Series> = groups
            .iter()
            .enumerate()
            .map(|(at, group)| {
                let weight = group.cell.contrastive_weight;
                let label =
                    if weight > 0.0 { format!("SGD, contrastive weight {weight}") } else { name(group) };
                let shade = if contrastive { by_weight_shade(weight, at) } else { ordered(at) };
                Series {
                    stroke: Stroke { colour: shade, width: 0.0, dashes: "" },
                    ..Series::new(label, shade, tables::ends(config, group))
                }
                .dotted()
            })
            .collect();
        let line = regressions.iter().find(|row| row.panel == *name_of_panel);
        chart_with(&mut svg, &panel, name_of_panel, &series, |svg| {
            if let Some(line) = line {
                draw_line(svg, &panel, line);
            }
        });
        if let Some(line) = line {
            let text = format!("slope {:.2}, R² {:.2}", line.slope, line.r_squared);
            svg.text(panel.left + 4.0, panel.top + 10.0, Text::new(&text, 7.0, Anchor::Start));
        }
        if contrastive {
            by_weight = series.into_iter().filter(|one| one.name != SGD).collect();
        } else {
            by_radius = series;
        }
    }
    grid.finish(&mut svg, &[&by_radius, &by_weight], &[]);
    svg
}

/// The regression line across a panel.
fn draw_line(svg: &mut Svg, panel: &Panel, line: &Regression) {
    let at = |x: f64| (x, (line.intercept + line.slope * x.ln()).exp());
    let (left, right) = panel.x.range;
    // Only where the line is inside: beyond, points would stick to the frame.
    let steps = (0..=60).map(|i| at(left * (right / left).powf(f64::from(i) / 60.0)));
    let inside: Vec<_> = steps.filter(|(_, y)| (panel.y.range.0..=panel.y.range.1).contains(y)).collect();
    panel.line(svg, &inside, Stroke { colour: colour::INK, width: 1.0, dashes: "3 2" });
}

/// The exact threshold of the current point beside the learning rate, one panel a learning rate.
fn edge(columns: Columns, config: &Config, groups: &[Group<'_>]) -> Svg {
    let title = "Exact mean-square threshold of SGD at the current point along the training";
    let grid = grid(columns, config.learning_rate.len());
    let mut svg = grid.figure(title);
    let mut named = Vec::new();
    let plain = |group: &&Group<'_>| group.cell.contrastive_weight <= 0.0;
    let all = groups.iter().filter(plain).flat_map(|group| group.curve(Metric::MaxLearningRate));
    let y = Scale::logarithmic(
        all.map(|point| point.1).chain(config.learning_rate.iter().copied()),
        "η*(B) of SGD",
    );
    for (index, &rate) in config.learning_rate.iter().enumerate() {
        let here =
            groups.iter().filter(plain).filter(|group| group.cell.learning_rate.to_bits() == rate.to_bits());
        let mut series: Vec<Series> = here
            .enumerate()
            .map(|(at, group)| Series::new(name(group), ordered(at), group.curve(Metric::MaxLearningRate)))
            .collect();
        let x = epochs_axis(&series);
        let level = vec![(x.range.0, rate), (x.range.1, rate)];
        series.push(Series::new("learning rate", colour::INK, level).dashed("4 2"));
        let label = if grid.is_first(index) { y.label } else { "" };
        let panel = grid.panel(index, x, Scale { label, ..y.clone() });
        chart(&mut svg, &panel, &format!("η = {rate}"), &series);
        named = series;
    }
    grid.finish(&mut svg, &[&named], &[]);
    svg
}
