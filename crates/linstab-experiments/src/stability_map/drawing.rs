//! The figures of the stability map. Everything is drawn from the rows of its table.

use linstab_dynamics::SamplingScheme;

use super::cells::Row;
use super::config::{Config, Optimizer};
use super::summary::{Boundary, MapKey, MapSummary, maps};
use crate::Result;
use crate::figures::{self, Anchor, Panel, Scale, Stroke, Svg, TWO_COLUMNS, Text, colour};
use crate::output::ResultsFolder;

const PANEL_SIZE: f64 = 196.0;
const PANEL_LEFT: [f64; 2] = [40.0, 40.0 + PANEL_SIZE + 50.0];
const PANEL_TOP: f64 = 24.0;
const LEGEND_TOP: f64 = PANEL_TOP + PANEL_SIZE + 42.0;
const LEGEND_LINE: f64 = 14.0;

/// Writes all figures.
pub(super) fn draw(
    config: &Config,
    rows: &[Row],
    summaries: &[MapSummary],
    results: &ResultsFolder,
) -> Result<()> {
    let maps = Maps { config, maps: maps(rows).collect() };
    for (name, figure) in
        [("figure-1a", maps.figure_a()), ("figure-1b", maps.figure_b()), ("figure-1c", maps.figure_c())]
    {
        if let Some(figure) = figure {
            figures::write(results, name, &figure)?;
        }
    }
    figures::write(results, "stability-map-agreement", &agreement(summaries))?;
    for map in &maps.maps {
        let key = MapKey::of(&map[0]);
        let mut figure = Svg::new(TWO_COLUMNS / 2.0 + 20.0, LEGEND_TOP + 66.0, &key.title());
        maps.heat_map(&mut figure, 0, map, &key.title());
        heat_map_legend(&mut figure, 1);
        figures::write(results, &format!("maps/{}", key.slug()), &figure)?;
    }
    Ok(())
}

/// How a boundary is drawn.
fn style(boundary: Boundary) -> Stroke {
    match boundary {
        Boundary::DivergenceCriterion => Stroke { colour: colour::INK, width: 1.3, dashes: "" },
        Boundary::Theorem33 => Stroke { colour: colour::INK, width: 1.3, dashes: "4.5 2.5" },
        Boundary::MeanSquare => Stroke { colour: colour::BLUE, width: 1.7, dashes: "" },
        Boundary::Lyapunov => Stroke { colour: colour::VERMILION, width: 2.1, dashes: "" },
    }
}

/// The maps of a run.
struct Maps<'a> {
    config: &'a Config,
    maps: Vec<&'a [Row]>,
}

impl<'a> Maps<'a> {
    fn find(
        &self,
        optimizer: Optimizer,
        sampling: SamplingScheme,
        learning_rate: f64,
        rho_over_alpha: f64,
    ) -> Option<&'a [Row]> {
        let wanted = MapKey { optimizer, sampling, learning_rate, rho_over_alpha };
        self.maps.iter().copied().find(|map| MapKey::of(&map[0]) == wanted)
    }

    fn panel(&self, column: usize) -> Panel {
        let edge = |grid: super::config::Grid| {
            let half = 0.5 * grid.step as f64;
            let last = grid.values().last().unwrap_or(grid.from);
            (grid.from as f64 - half, last as f64 + half)
        };
        let ticks = |range: (f64, f64)| {
            [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
                .map(f64::from)
                .into_iter()
                .filter(|tick| (range.0..=range.1).contains(tick))
                .collect()
        };
        let scale = |range, label| Scale { range, ticks: ticks(range), label };
        Panel {
            left: PANEL_LEFT[column],
            top: PANEL_TOP,
            width: PANEL_SIZE,
            height: PANEL_SIZE,
            x: scale(edge(self.config.batch_size), "batch size B"),
            y: scale(edge(self.config.coherence), "coherence σ: samples sharing a direction"),
        }
    }

    /// Figure 1 (a): simulation as a heat map with the four boundaries; SGD beside SAM.
    fn figure_a(&self) -> Option<Svg> {
        let (sampling, eta) = (self.config.sampling[0], self.config.learning_rate[0]);
        let reference = self.config.reference_rho_over_alpha;
        let sides = [(Optimizer::Sgd, 0.0), (Optimizer::Sam, reference)];
        let title = format!(
            "Figure 1 (a): simulated divergence of SGD and SAM at learning rate {eta}, {}, with the paper's criteria and the exact boundaries",
            sampling.name()
        );
        let mut figure = Svg::new(TWO_COLUMNS, LEGEND_TOP + 38.0, &title);
        let drawn: Vec<_> = sides
            .iter()
            .filter_map(|&(optimizer, c)| self.find(optimizer, sampling, eta, c))
            .enumerate()
            .map(|(column, map)| self.heat_map(&mut figure, column, map, &MapKey::of(&map[0]).title()))
            .collect();
        heat_map_legend(&mut figure, 2);
        (!drawn.is_empty()).then_some(figure)
    }

    fn heat_map(&self, figure: &mut Svg, column: usize, map: &[Row], title: &str) {
        let panel = self.panel(column);
        let (half_b, half_sigma) =
            (0.5 * self.config.batch_size.step as f64, 0.5 * self.config.coherence.step as f64);
        let columns = map.chunk_by(|a, b| a.batch_size == b.batch_size);
        for cells in columns.clone() {
            let b = cells[0].batch_size as f64;
            for run in cells.chunk_by(|a, b| a.num_diverged == b.num_diverged) {
                let (first, last) = (run[0].sigma as f64, run[run.len() - 1].sigma as f64);
                let fraction = run[0].num_diverged as f64 / run[0].num_repetitions as f64;
                let (from, to) = ((b - half_b, first - half_sigma), (b + half_b, last + half_sigma));
                panel.fill(figure, from, to, &colour::diverged(fraction));
            }
        }
        for boundary in Boundary::ALL {
            let points: Vec<_> = columns.clone().map(|cells| crossing(cells, boundary, half_sigma)).collect();
            panel.curve(figure, &points, style(boundary));
        }
        panel.decorate(figure, title);
    }

    /// A panel of simulated boundaries (steps) with the Lyapunov boundary of each (thin).
    fn boundaries(&self, figure: &mut Svg, column: usize, lines: &[(&[Row], Stroke)], title: &str) {
        let panel = self.panel(column);
        let (half_b, half_sigma) =
            (0.5 * self.config.batch_size.step as f64, 0.5 * self.config.coherence.step as f64);
        for &(map, stroke) in lines {
            let columns = map.chunk_by(|a, b| a.batch_size == b.batch_size);
            let steps: Vec<_> = columns
                .clone()
                .flat_map(|cells| {
                    let b = cells[0].batch_size as f64;
                    let edge = last_diverged(cells)
                        .map_or(cells[0].sigma as f64 - half_sigma, |sigma| sigma + half_sigma);
                    [(b - half_b, edge), (b + half_b, edge)]
                })
                .collect();
            panel.curve(figure, &steps, stroke);
            let exact: Vec<_> =
                columns.map(|cells| crossing(cells, Boundary::Lyapunov, half_sigma)).collect();
            let points: Vec<_> = exact.iter().map(|&(x, y)| panel.at(x, y)).collect();
            figure.polyline(&points, Stroke { width: 0.7, dashes: "1.5 1.5", ..stroke });
        }
        panel.decorate(figure, title);
    }

    fn learning_rate_panels(
        &self,
        title: &str,
        legend: &[(String, Stroke)],
        lines: impl Fn(f64) -> Vec<(&'a [Row], Stroke)>,
    ) -> Option<Svg> {
        let mut figure = Svg::new(TWO_COLUMNS, LEGEND_TOP + 38.0, title);
        let mut any = false;
        for (column, &eta) in self.config.learning_rate.iter().take(2).enumerate() {
            let lines = lines(eta);
            any |= !lines.is_empty();
            self.boundaries(
                &mut figure,
                column,
                &lines,
                &format!("η={eta}, {}", self.config.sampling[0].name()),
            );
        }
        line_legend(&mut figure, legend);
        any.then_some(figure)
    }

    /// Figure 1 (b): the boundaries of the three optimizers.
    fn figure_b(&self) -> Option<Svg> {
        let sampling = self.config.sampling[0];
        let reference = self.config.reference_rho_over_alpha;
        let optimizers = [
            (Optimizer::Sam, reference, Stroke { colour: colour::VERMILION, width: 1.8, dashes: "" }),
            (Optimizer::Sgd, 0.0, Stroke { colour: colour::BLUE, width: 2.6, dashes: "" }),
            (Optimizer::RandomPerturbation, 0.0, Stroke { colour: colour::INK, width: 1.3, dashes: "3 2" }),
        ];
        let name = |optimizer: Optimizer| match optimizer {
            Optimizer::Sam => format!("SAM, ρ/α={reference}"),
            Optimizer::RandomPerturbation => {
                format!("random perturbation, s={}", self.config.perturbation_standard_deviation)
            }
            Optimizer::Sgd => "SGD".to_owned(),
        };
        let legend: Vec<_> =
            optimizers.iter().map(|&(optimizer, _, stroke)| (name(optimizer), stroke)).collect();
        let title = "Figure 1 (b): simulated boundaries of SGD, SAM and random perturbation";
        self.learning_rate_panels(title, &legend, |eta| {
            let line = |&(optimizer, c, stroke): &(Optimizer, f64, Stroke)| {
                self.find(optimizer, sampling, eta, c).map(|map| (map, stroke))
            };
            optimizers.iter().filter_map(line).collect()
        })
    }

    /// Figure 1 (c): SAM at several rho/alpha.
    fn figure_c(&self) -> Option<Svg> {
        let sampling = self.config.sampling[0];
        let mut family = vec![(Optimizer::Sgd, 0.0)];
        family.extend(self.config.rho_over_alpha.iter().map(|&c| (Optimizer::Sam, c)));
        let stroke = |index: usize| Stroke {
            colour: colour::ORDERED[index.min(colour::ORDERED.len() - 1)],
            width: 1.7,
            dashes: "",
        };
        let legend: Vec<_> = family
            .iter()
            .enumerate()
            .map(|(index, &(optimizer, c))| match optimizer {
                Optimizer::Sam => (format!("SAM, ρ/α={c}"), stroke(index)),
                Optimizer::Sgd | Optimizer::RandomPerturbation => ("SGD".to_owned(), stroke(index)),
            })
            .collect();
        let title = "Figure 1 (c): simulated boundaries of SAM at several ratios of radius to gradient norm";
        self.learning_rate_panels(title, &legend, |eta| {
            let line = |(index, &(optimizer, c)): (usize, &(Optimizer, f64))| {
                self.find(optimizer, sampling, eta, c).map(|map| (map, stroke(index)))
            };
            family.iter().enumerate().filter_map(line).collect()
        })
    }
}

/// Largest coherence of a column whose cell diverged.
fn last_diverged(column: &[Row]) -> Option<f64> {
    column.iter().rev().find(|row| row.diverged).map(|row| row.sigma as f64)
}

/// Where a boundary leaves the diverging cells of a column for good, interpolated between neighbouring cells.
fn crossing(column: &[Row], boundary: Boundary, half_step: f64) -> (f64, f64) {
    let b = column[0].batch_size as f64;
    let sigma = |index: usize| column[index].sigma as f64;
    let Some(last) = column.iter().rposition(|row| boundary.predicts_divergence(row)) else {
        return (b, sigma(0) - half_step);
    };
    let Some(next) = column.get(last + 1) else {
        return (b, sigma(last) + half_step);
    };
    let (above, below) = (boundary.excess(&column[last]), boundary.excess(next).min(0.0));
    let share = if below.is_finite() { above / (above - below) } else { 0.5 };
    (b, sigma(last) + share * (next.sigma as f64 - sigma(last)))
}

/// The four boundaries and the colour key, in one column or two.
fn heat_map_legend(figure: &mut Svg, num_columns: usize) {
    for (index, boundary) in Boundary::ALL.into_iter().enumerate() {
        let (x, y) = if num_columns == 1 {
            (PANEL_LEFT[0], LEGEND_TOP + LEGEND_LINE * index as f64)
        } else {
            (PANEL_LEFT[0] + 152.0 * (index / 2) as f64, LEGEND_TOP + LEGEND_LINE * (index % 2) as f64)
        };
        legend_line(figure, (x, y), boundary.title(), style(boundary));
    }
    let (x, y) = if num_columns == 1 {
        (PANEL_LEFT[0], LEGEND_TOP + 4.0 * LEGEND_LINE - 3.0)
    } else {
        (PANEL_LEFT[0] + 300.0, LEGEND_TOP - 3.0)
    };
    for tenth in 0..=10 {
        let fraction = f64::from(tenth) / 10.0;
        figure.cell(x + 6.0 * f64::from(tenth), y, 6.0, 8.0, &colour::diverged(fraction));
    }
    let (label_x, label_y) = if num_columns == 1 { (x + 72.0, y + 7.0) } else { (x, y + 18.0) };
    figure.text(label_x, label_y, Text::new("share of runs that diverged, 0 to 1", 7.5, Anchor::Start));
}

fn line_legend(figure: &mut Svg, entries: &[(String, Stroke)]) {
    let per_row = entries.len().min(3);
    for (index, (label, stroke)) in entries.iter().enumerate() {
        let x = PANEL_LEFT[0] + 150.0 * (index % per_row) as f64;
        legend_line(figure, (x, LEGEND_TOP + LEGEND_LINE * (index / per_row) as f64), label, *stroke);
    }
    let note = "solid: simulated majority · dotted: Lyapunov exponent 0";
    let y = LEGEND_TOP + LEGEND_LINE * entries.len().div_ceil(per_row) as f64;
    figure.text(PANEL_LEFT[0], y + 2.5, Text { colour: colour::GREY, ..Text::new(note, 7.5, Anchor::Start) });
}

fn legend_line(figure: &mut Svg, (x, y): (f64, f64), label: &str, stroke: Stroke) {
    figure.polyline(&[(x, y), (x + 20.0, y)], stroke);
    figure.text(x + 25.0, y + 2.7, Text::new(label, 7.5, Anchor::Start));
}

/// For each map, the share of its cells that each boundary predicts rightly.
fn agreement(summaries: &[MapSummary]) -> Svg {
    const ROW: f64 = 13.0;
    let height = ROW * summaries.len() as f64;
    let title = "Share of cells that each boundary predicts as they were simulated";
    let mut figure = Svg::new(TWO_COLUMNS, PANEL_TOP + height + 62.0, title);
    let shares = |summary: &MapSummary| {
        let share = |boundary| 100.0 * summary.right(boundary) as f64 / summary.num_cells as f64;
        Boundary::ALL.map(|boundary| (boundary, share(boundary)))
    };
    let lowest =
        summaries.iter().flat_map(|summary| shares(summary).map(|(_, share)| share)).fold(100.0, f64::min);
    let from = (lowest / 10.0).floor() * 10.0;
    let panel = Panel {
        left: 190.0,
        top: PANEL_TOP,
        width: TWO_COLUMNS - 210.0,
        height,
        x: Scale {
            range: (from, 101.0),
            ticks: (0..=10).map(|tick| f64::from(tick) * 10.0).filter(|&tick| tick >= from).collect(),
            label: "cells predicted as simulated, %",
        },
        y: Scale { range: (summaries.len() as f64, 0.0), ticks: Vec::new(), label: "" },
    };
    for (index, summary) in summaries.iter().enumerate() {
        let (left, y) = panel.at(from, index as f64 + 0.5);
        let (right, _) = panel.at(101.0, 0.0);
        figure.polyline(&[(left, y), (right, y)], Stroke { colour: colour::FAINT, width: 0.6, dashes: "" });
        figure.text(left - 6.0, y + 2.6, Text::new(&summary.key().title(), 7.5, Anchor::End));
        for (boundary, share) in shares(summary) {
            let (x, y) = panel.at(share, index as f64 + 0.5);
            match boundary {
                Boundary::Theorem33 => figure.dot(x, y, 3.0, colour::GREY),
                _ => figure.dot(x, y, 3.4, style(boundary).colour),
            }
        }
    }
    panel.decorate(&mut figure, title);
    for (index, boundary) in Boundary::ALL.into_iter().enumerate() {
        let (x, y) = (60.0 + 112.0 * index as f64, PANEL_TOP + height + 46.0);
        let fill = if boundary == Boundary::Theorem33 { colour::GREY } else { style(boundary).colour };
        figure.dot(x, y, 3.4, fill);
        figure.text(x + 7.0, y + 2.7, Text::new(boundary.title(), 7.5, Anchor::Start));
    }
    figure
}
