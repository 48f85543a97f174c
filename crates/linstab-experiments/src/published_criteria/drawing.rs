//! The figure: a row a criterion, a panel an ensemble, a dot a point and batch size.

use super::cells::Row;
use super::points::{ENSEMBLES, title};
use super::summary::{Ranked, SummaryRow, ranked};
use linstab_driver::{Result, ResultsFolder};
use linstab_report::drawing::{
    Anchor, Columns, HEADLINE_HEIGHT, ONE_COLUMN, Panel, Scale, Series, Stroke, Svg, Text, colour, legend,
};

const ROW: f64 = 10.5;
const TOP: f64 = 22.0;
/// Below a panel: ticks, label, and the title of the next.
const BELOW: f64 = 44.0;
/// Left of the panels: names.
const NAMES: f64 = 124.0;
const NAME_SIZE: f64 = 7.2;

/// Rows of the first screen.
const MOST_ON_THE_FIRST_SCREEN: usize = 9;

/// What criteria claim, in the order of the legend.
const CLAIMS: [(&str, &str); 3] =
    [("necessary", colour::BLUE), ("sufficient", colour::GREEN), ("estimate", colour::VERMILION)];

/// Writes both figures.
pub(super) fn draw(rows: &[Row], summary: &[SummaryRow], results: &ResultsFolder) -> Result<()> {
    let all = ranked(summary);
    results.draw_both("published-criteria", |columns| ratios(columns, rows, &all))?;
    results.draw("published-criteria-headline", &headline(rows, &all))
}

/// One panel an ensemble, side by side; with one column they stand below one another, each with the rows that it has.
fn ratios(columns: Columns, rows: &[Row], all: &[Ranked<'_>]) -> Svg {
    const GAP: f64 = 18.0;
    let side_by_side = columns == Columns::Two;
    let per_row = if side_by_side { ENSEMBLES.len() as f64 } else { 1.0 };
    let width = (columns.width() - NAMES - 14.0 - GAP * (per_row - 1.0)) / per_row;
    let mut figure = Svg::new(columns.width(), 0.0, "Published criteria over the exact threshold");
    let (mut left, mut top, mut below) = (NAMES, TOP, TOP);
    for ensemble in ENSEMBLES {
        let is_here = |one: &&Ranked<'_>| side_by_side || one.rows.iter().any(|row| row.ensemble == ensemble);
        let order: Vec<&Ranked<'_>> = all.iter().filter(is_here).collect();
        let height = ROW * order.len() as f64;
        let panel = Panel { left, top, width, height, x: axis(rows), y: Scale::rows(order.len()) };
        if left <= NAMES {
            names(&mut figure, &panel, &order);
        }
        let here: Vec<&Row> = rows.iter().filter(|row| row.ensemble == ensemble).collect();
        dots(&mut figure, &panel, title(ensemble), (&order, &here));
        below = top + height + BELOW;
        (left, top) = if side_by_side { (left + width + GAP, top) } else { (left, below) };
    }
    let end = below - 8.0 + key(&mut figure, (columns.choose(24.0, NAMES), below - 8.0));
    figure.end_at(end);
    figure
}

/// The criteria that speak of every ensemble, the closest ones, over all of them together.
fn headline(rows: &[Row], all: &[Ranked<'_>]) -> Svg {
    let everywhere = all.iter().filter(|one| one.is_everywhere());
    let order: Vec<&Ranked<'_>> = everywhere.take(MOST_ON_THE_FIRST_SCREEN).collect();
    let named = |row: &&Row| order.iter().any(|one| one.rows[0].criterion == row.criterion);
    let rows: Vec<&Row> = rows.iter().filter(named).collect();
    let mut figure = Svg::new(ONE_COLUMN, HEADLINE_HEIGHT, "Published criteria over the exact threshold");
    let panel = Panel {
        left: NAMES,
        top: TOP,
        width: ONE_COLUMN - NAMES - 10.0,
        height: HEADLINE_HEIGHT - TOP - BELOW,
        x: axis(rows.iter().copied()),
        y: Scale::rows(order.len()),
    };
    names(&mut figure, &panel, &order);
    dots(&mut figure, &panel, "three real ensembles", (&order, &rows));
    key(&mut figure, (24.0, HEADLINE_HEIGHT - 9.0));
    figure
}

/// All ratios and 1.
fn axis<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Scale {
    let ratios = rows.into_iter().filter_map(|row| row.ratio_to_exact);
    Scale::logarithmic(ratios.chain([1.0]), "over the exact threshold")
}

fn names(figure: &mut Svg, panel: &Panel, order: &[&Ranked<'_>]) {
    for (row, one) in order.iter().enumerate() {
        let (left, y) = panel.at(panel.x.range.0, row as f64);
        figure.text(left - 5.0, y + 2.5, Text::new(one.title(), NAME_SIZE, Anchor::End));
    }
}

/// A line from the smallest to the largest ratio of a criterion, and a dot for each.
fn dots(figure: &mut Svg, panel: &Panel, title: &str, (order, rows): (&[&Ranked<'_>], &[&Row])) {
    panel.draw(figure, title, |figure| {
        let (from, to) = panel.x.range;
        for row in 0..order.len() {
            let faint = Stroke { colour: colour::FAINT, width: 0.5, dashes: "" };
            panel.line(figure, &[(from, row as f64), (to, row as f64)], faint);
        }
        let bottom = order.len() as f64 - 0.5;
        let ink = Stroke { colour: colour::INK, width: 0.9, dashes: "4 3" };
        figure
            .series("exact threshold", &[], |figure| panel.line(figure, &[(1.0, bottom), (1.0, -0.5)], ink));
        for (place, one) in order.iter().enumerate() {
            let own = rows.iter().filter(|row| row.criterion == one.rows[0].criterion);
            for row in own {
                let Some(ratio) = row.ratio_to_exact else { continue };
                let at = (ratio, place as f64);
                figure.series(&name(row, one.title()), &[at], |figure| {
                    let (x, y) = panel.at(at.0, at.1);
                    figure.dot(x, y, 2.4, shade(&row.claims));
                });
            }
        }
    });
}

/// What a dot is.
fn name(row: &Row, title: &str) -> String {
    match row.epoch {
        Some(epoch) => format!("{title}, epoch {epoch}"),
        None => format!("{title}, B = {}", row.batch_size),
    }
}

fn shade(claims: &str) -> &'static str {
    CLAIMS.iter().find(|own| own.0 == claims).map_or(colour::INK, |own| own.1)
}

/// What the colours mean; returns the height used.
fn key(figure: &mut Svg, at: (f64, f64)) -> f64 {
    let claims = CLAIMS.map(|(name, colour)| Series {
        stroke: Stroke { colour, width: 0.0, dashes: "" },
        ..Series::new(name, colour, Vec::new()).dotted()
    });
    legend(figure, at, &claims, ONE_COLUMN)
}
