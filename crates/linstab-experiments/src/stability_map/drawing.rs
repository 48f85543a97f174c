//! The figures of the stability map. Everything is drawn from the rows of its table.

use super::cells::Row;
use super::config::{self, Config, Family};
use super::summary::{self, Boundary, MapKey, MapSummary};
use linstab_driver::Result;
use linstab_driver::ResultsFolder;
use linstab_dynamics::sampling::Loader;
use linstab_report::drawing::{
    Anchor, Columns, Grid, HEADLINE_HEIGHT, LEFT, ONE_COLUMN, Panel, Scale, Series, Stroke, Svg, Text,
    colour, legend_entry, zero_contours,
};
use linstab_report::text::short;

pub(super) const LEGEND_SIZE: f64 = 7.5;

/// Contours are interpolated between values cut to this range, so that an exponent of minus infinity has a place, too.
const LARGEST_EXCESS: f64 = 2.0;

/// Writes the figures that show several maps, of which `maps` has those that [`shows`] names.
pub(super) fn draw(
    config: &Config,
    maps: &[Vec<Row>],
    summaries: &[MapSummary],
    results: &ResultsFolder,
) -> Result<()> {
    let maps = Maps { config, maps: maps.iter().map(Vec::as_slice).collect() };
    for columns in [Columns::Two, Columns::One] {
        let folder = columns.choose("one-column/", "");
        for (name, figure) in [
            ("figure-1a", maps.figure_a(columns)),
            ("figure-1b", maps.figure_b(columns)),
            ("figure-1c", maps.figure_c(columns)),
            ("stability-map-loaders", maps.loaders(columns)),
        ] {
            if let Some(figure) = figure {
                results.draw(&format!("{folder}{name}"), &figure)?;
            }
        }
    }
    if let Some(summary) = summary::reference(config, summaries)
        && let Some(map) = maps.maps.iter().find(|map| MapKey::of(&map[0]) == summary.key())
    {
        results.draw("stability-map-headline", &maps.headline(map))?;
    }
    Ok(())
}

/// Writes the figure of one map.
pub(super) fn draw_map(config: &Config, map: &[Row], results: &ResultsFolder) -> Result<()> {
    let key = MapKey::of(&map[0]);
    let grid = Grid { columns: Columns::One, num_panels: 1, per_row: 1, height: 189.0, gap: 0.0 };
    let mut figure = grid.figure(&key.title());
    let maps = Maps { config, maps: Vec::new() };
    maps.heat_map(&mut figure, &maps.panel(&grid, 0), map, &key.title());
    heat_map_legend(&mut figure, &grid);
    results.draw(&format!("maps/{}", key.slug()), &figure)
}

/// Whether a map is shown in a figure beside others: with the first way to draw batches at the learning rates of the numbered figures,
/// or with a loader at the first of them.
pub(super) fn shows(config: &Config, key: &MapKey) -> bool {
    let among = |rates: &[f64]| rates.contains(&key.learning_rate);
    let numbered = key.sampling == config.sampling[0] && among(drawn_learning_rates(config));
    numbered || (Some(key.sampling) == first_loader(config) && among(&config.learning_rate[..1]))
}

/// The learning rates that the numbered figures show.
fn drawn_learning_rates(config: &Config) -> &[f64] {
    let all = &config.learning_rate;
    &all[..all.len().min(2)]
}

/// The first loader by epochs.
fn first_loader(config: &Config) -> Option<Loader> {
    config.sampling.iter().copied().find(|sampling| matches!(sampling, Loader::Epochs(_)))
}

/// How a boundary is drawn.
pub(super) fn style(boundary: Boundary) -> Stroke {
    match boundary {
        Boundary::DivergenceCriterion => Stroke { colour: colour::INK, width: 1.3, dashes: "" },
        Boundary::Theorem33 => Stroke { colour: colour::INK, width: 1.3, dashes: "4.5 2.5" },
        Boundary::MeanSquare => Stroke { colour: colour::BLUE, width: 1.7, dashes: "" },
        Boundary::Lyapunov => Stroke { colour: colour::VERMILION, width: 2.0, dashes: "" },
    }
}

/// The curves of a boundary across a map, on its axes.
pub(super) fn boundary_lines(config: &Config, map: &[Row], boundary: Boundary) -> Vec<Vec<(f64, f64)>> {
    Maps { config, maps: Vec::new() }.contours(map, |row| boundary.signed_excess(row))
}

/// Maps of a run.
struct Maps<'a> {
    config: &'a Config,
    maps: Vec<&'a [Row]>,
}

impl<'a> Maps<'a> {
    /// A map with the first way to draw batches of the configuration.
    fn find(&self, optimizer: Family, learning_rate: f64, rho_over_alpha: f64) -> Option<&'a [Row]> {
        self.find_with(self.config.sampling[0], optimizer, learning_rate, rho_over_alpha)
    }

    fn find_with(
        &self,
        sampling: Loader,
        optimizer: Family,
        learning_rate: f64,
        rho_over_alpha: f64,
    ) -> Option<&'a [Row]> {
        let wanted = MapKey { optimizer, sampling, learning_rate, rho_over_alpha };
        self.maps.iter().copied().find(|map| MapKey::of(&map[0]) == wanted)
    }

    fn panel(&self, panels: &Grid, index: usize) -> Panel {
        let scale = |grid: config::Grid, label| {
            let nodes = padded_nodes(grid);
            let range = (nodes[0], nodes[nodes.len() - 1]);
            let candidates = std::iter::once(1).chain((1..).map(|tick| 10 * tick)).map(f64::from);
            let ticks = candidates.skip_while(|&tick| tick < range.0).take_while(|&tick| tick <= range.1);
            Scale { range, ticks: ticks.collect(), label, logarithmic: false }
        };
        // A small panel has no room for the long label.
        let label =
            if panels.height > 180.0 { "coherence σ: samples sharing a direction" } else { "coherence σ" };
        let x = scale(self.config.batch_size, "batch size B");
        panels.panel(index, x, scale(self.config.coherence, label))
    }

    /// Figure 1 (a): simulation as a heat map with the four boundaries, SGD beside SAM, a row a learning rate.
    fn figure_a(&self, columns: Columns) -> Option<Svg> {
        let sides = [(Family::Sgd, 0.0), (Family::Sam, self.config.reference_rho_over_alpha)];
        let etas = drawn_learning_rates(self.config);
        let title = "Figure 1 (a): simulated divergence of SGD and SAM, with the paper's criteria and the exact boundaries";
        let (height, gap) = columns.choose((74.0, 40.0), (196.0, 50.0));
        let grid = Grid { columns, num_panels: 2 * etas.len(), per_row: 2, height, gap };
        let mut figure = grid.figure(title);
        let mut any = false;
        for (row, &eta) in etas.iter().enumerate() {
            for (column, &(optimizer, c)) in sides.iter().enumerate() {
                if let Some(map) = self.find(optimizer, eta, c) {
                    let title = MapKey::of(&map[0]).title();
                    // In one column the sampling scheme, the same for all, goes.
                    let short = title.rsplit_once(", ").map_or(title.as_str(), |(short, _)| short);
                    let panel = self.panel(&grid, 2 * row + column);
                    self.heat_map(&mut figure, &panel, map, columns.choose(short, &title));
                    any = true;
                }
            }
        }
        heat_map_legend(&mut figure, &grid);
        any.then_some(figure)
    }

    /// Batches drawn afresh beside a loader's, a row an optimizer, at the first learning rate.
    fn loaders(&self, columns: Columns) -> Option<Svg> {
        let config = self.config;
        let epochs = first_loader(config)?;
        let rows = [(Family::Sgd, 0.0), (Family::Sam, config.reference_rho_over_alpha)];
        let (height, gap) = columns.choose((74.0, 40.0), (196.0, 50.0));
        let grid = Grid { columns, num_panels: 2 * rows.len(), per_row: 2, height, gap };
        let mut figure = grid.figure("Batches drawn afresh beside batches of a reshuffling loader");
        let mut any = false;
        for (row, (optimizer, c)) in rows.into_iter().enumerate() {
            for (column, sampling) in [config.sampling[0], epochs].into_iter().enumerate() {
                let Some(map) = self.find_with(sampling, optimizer, config.learning_rate[0], c) else {
                    continue;
                };
                let title = format!("{}: {}", optimizer.title(), sampling.title());
                self.heat_map(&mut figure, &self.panel(&grid, 2 * row + column), map, &title);
                any = true;
            }
        }
        heat_map_legend(&mut figure, &grid);
        any.then_some(figure)
    }

    fn heat_map(&self, figure: &mut Svg, panel: &Panel, map: &[Row], title: &str) {
        panel.draw(figure, title, |figure| {
            self.cells(figure, panel, map);
            for boundary in Boundary::ALL {
                figure.series(boundary.title(), &[], |figure| {
                    for line in self.contours(map, |row| boundary.signed_excess(row)) {
                        panel.curve(figure, &line, style(boundary));
                    }
                });
            }
        });
    }

    /// One map for the first screen of the report.
    fn headline(&self, map: &[Row]) -> Svg {
        let title = format!("Where runs diverge: {}", MapKey::of(&map[0]).title());
        let mut figure = Svg::new(ONE_COLUMN, HEADLINE_HEIGHT, &title);
        let grid = Grid { columns: Columns::One, num_panels: 1, per_row: 1, height: 134.0, gap: 0.0 };
        self.heat_map(&mut figure, &self.panel(&grid, 0), map, &MapKey::of(&map[0]).title());
        // Two by two, in little room.
        for (index, boundary) in Boundary::ALL.into_iter().enumerate() {
            let (column, row) = ((index % 2) as f64, (index / 2) as f64);
            let short = boundary.title().trim_start_matches("paper: ");
            let at = (LEFT - 6.0 + 102.0 * column, HEADLINE_HEIGHT - 20.0 + 12.0 * row);
            legend_entry(&mut figure, at, &named(short, style(boundary)));
        }
        figure
    }

    fn cells(&self, figure: &mut Svg, panel: &Panel, map: &[Row]) {
        let half_b = 0.5 * self.config.batch_size.step as f64;
        let half_sigma = 0.5 * self.config.coherence.step as f64;
        for cells in map.chunk_by(|a, b| a.batch_size == b.batch_size) {
            let b = cells[0].batch_size as f64;
            for run in cells.chunk_by(|a, b| a.num_diverged == b.num_diverged) {
                let (first, last) = (run[0].sigma as f64, run[run.len() - 1].sigma as f64);
                let (from, to) = ((b - half_b, first - half_sigma), (b + half_b, last + half_sigma));
                panel.fill(figure, from, to, &colour::diverged(share_diverged(&run[0])));
            }
        }
    }

    /// The lines between positive and nonpositive cells, continued over half a cell to the frame.
    fn contours(&self, map: &[Row], excess: impl Fn(&Row) -> f64) -> Vec<Vec<(f64, f64)>> {
        let (x, y) = (padded_nodes(self.config.batch_size), padded_nodes(self.config.coherence));
        let (columns, rows) = (x.len() - 2, y.len() - 2);
        zero_contours(&x, &y, |i, j| {
            let cell = |node: usize, count: usize| node.clamp(1, count) - 1;
            excess(&map[cell(i, columns) * rows + cell(j, rows)]).clamp(-LARGEST_EXCESS, LARGEST_EXCESS)
        })
    }

    /// A figure with a panel of lines for each learning rate: simulated boundaries, and thin the Lyapunov boundary of each.
    fn line_figure(&self, columns: Columns, title: &str, family: &[Line]) -> Option<Svg> {
        let num_panels = drawn_learning_rates(self.config).len();
        let (per_row, height) = columns.choose((1, 150.0), (2, 196.0));
        let grid = Grid { columns, num_panels, per_row, height, gap: 50.0 };
        let mut figure = grid.figure(title);
        let mut any = false;
        for (index, &eta) in drawn_learning_rates(self.config).iter().enumerate() {
            let panel = self.panel(&grid, index);
            let title = format!("η={}, {}", short(eta), self.config.sampling[0].title());
            panel.draw(&mut figure, &title, |figure| {
                for line in family {
                    let Some(map) = self.find(line.optimizer, eta, line.rho_over_alpha) else { continue };
                    any = true;
                    figure.series(&line.label, &[], |figure| self.boundaries(figure, &panel, line, map));
                }
            });
        }
        let series: Vec<Series> = family.iter().map(|line| named(&line.label, line.stroke)).collect();
        let notes = [
            "solid: simulated, half of the runs diverge · dotted: Lyapunov exponent 0",
            "islands: cells in which some batch multiplies by exactly 0",
        ];
        grid.finish(&mut figure, &[&series], &notes);
        any.then_some(figure)
    }

    /// Solid where half of the runs diverge, dotted where the Lyapunov exponent is 0.
    fn boundaries(&self, figure: &mut Svg, panel: &Panel, line: &Line, map: &[Row]) {
        for simulated in self.contours(map, |row| share_diverged(row) - 0.5) {
            panel.line(figure, &simulated, line.stroke);
        }
        for exact in self.contours(map, |row| Boundary::Lyapunov.signed_excess(row)) {
            panel.line(figure, &exact, Stroke { width: 0.7, dashes: "1.5 1.5", ..line.stroke });
        }
    }

    /// Figure 1 (b): the boundaries of the three optimizers.
    fn figure_b(&self, columns: Columns) -> Option<Svg> {
        let (c, s) = (self.config.reference_rho_over_alpha, self.config.perturbation_standard_deviation);
        let line =
            |optimizer, rho_over_alpha, label, stroke| Line { optimizer, rho_over_alpha, label, stroke };
        let family = [
            line(Family::Sgd, 0.0, "SGD".to_owned(), Stroke { colour: colour::BLUE, width: 2.8, dashes: "" }),
            line(
                Family::RandomPerturbation,
                0.0,
                format!("random perturbation, s={s}"),
                Stroke { colour: colour::INK, width: 1.2, dashes: "" },
            ),
            line(
                Family::Sam,
                c,
                format!("SAM, ρ/α={c}"),
                Stroke { colour: colour::VERMILION, width: 1.8, dashes: "" },
            ),
        ];
        let title = "Figure 1 (b): simulated boundaries of SGD, random perturbation and SAM";
        self.line_figure(columns, title, &family)
    }

    /// Figure 1 (c): SAM at several rho/alpha.
    fn figure_c(&self, columns: Columns) -> Option<Svg> {
        let stroke = |index: usize| Stroke {
            colour: colour::ORDERED[index.min(colour::ORDERED.len() - 1)],
            width: 1.8,
            dashes: "",
        };
        let sgd =
            Line { optimizer: Family::Sgd, rho_over_alpha: 0.0, label: "SGD".to_owned(), stroke: stroke(0) };
        let sam = self.config.rho_over_alpha.iter().enumerate().map(|(index, &rho_over_alpha)| Line {
            optimizer: Family::Sam,
            rho_over_alpha,
            label: format!("SAM, ρ/α={rho_over_alpha}"),
            stroke: stroke(index + 1),
        });
        let family: Vec<Line> = std::iter::once(sgd).chain(sam).collect();
        self.line_figure(columns, "Figure 1 (c): simulated boundaries of SAM at several ρ/α", &family)
    }
}

/// One line of a figure.
struct Line {
    optimizer: Family,
    rho_over_alpha: f64,
    label: String,
    stroke: Stroke,
}

/// The values of a grid between the outer edges of its first and last cells.
fn padded_nodes(grid: config::Grid) -> Vec<f64> {
    let values: Vec<f64> = grid.values().map(|value| value as f64).collect();
    let half = 0.5 * grid.step as f64;
    let edges = (values[0] - half, values[values.len() - 1] + half);
    std::iter::once(edges.0).chain(values).chain(std::iter::once(edges.1)).collect()
}

fn share_diverged(row: &Row) -> f64 {
    row.num_diverged as f64 / row.num_repetitions as f64
}

/// The four boundaries and the colour key.
fn heat_map_legend(figure: &mut Svg, grid: &Grid) {
    let series = Boundary::ALL.map(|boundary| named(boundary.title(), style(boundary)));
    let y = grid.finish(figure, &[&series], &[]) - 1.0;
    for tenth in 0..=10 {
        let tenth = f64::from(tenth);
        figure.cell(LEFT + 6.0 * tenth, y, 6.0, 8.0, &colour::diverged(tenth / 10.0));
    }
    let label = Text::new("share of runs that diverged, 0 to 1", LEGEND_SIZE, Anchor::Start);
    figure.text(LEFT + 72.0, y + 7.0, label);
    figure.end_at(y + 12.0);
}

/// A series for the legend alone.
fn named(name: &str, stroke: Stroke) -> Series {
    Series { stroke, ..Series::new(name, stroke.colour, Vec::new()) }
}
