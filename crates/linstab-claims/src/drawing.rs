//! The figures of the ledger: how many statements have which verdict, and how far the criteria are from the exact threshold.

use super::claim::Verdict;
use super::ratios::CRITERIA;
use super::tables::{ClaimRow, CurveRow};
use linstab_driver::Result;
use linstab_driver::ResultsFolder;
use linstab_report::drawing::{
    Anchor, Columns, Grid, HEADLINE_HEIGHT, ONE_COLUMN, Scale, Series, Svg, Text, chart, colour,
};

/// Writes all figures.
pub(super) fn draw(rows: &[ClaimRow], curves: &[CurveRow], results: &ResultsFolder) -> Result<()> {
    results.draw_both("claims-verdicts", |columns| verdicts(rows, (columns.width(), 164.0)))?;
    results.draw("claims-headline", &verdicts(rows, (ONE_COLUMN, HEADLINE_HEIGHT)))?;
    results.draw_both("claims-ratios", |columns| distributions(columns, curves))
}

pub(super) fn shade(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => colour::BLUE,
        Verdict::HoldsAfterCorrection => colour::SKY,
        Verdict::BoundOnly => colour::ORANGE,
        Verdict::Refuted => colour::VERMILION,
        Verdict::Supported => colour::GREEN,
        Verdict::NotSupported => colour::PURPLE,
    }
}

/// A bar for each verdict, in a figure of some width and height.
fn verdicts(rows: &[ClaimRow], (width, height): (f64, f64)) -> Svg {
    const LEFT: f64 = 96.0;
    const TOP: f64 = 26.0;
    let pitch = (height - TOP - 6.0) / Verdict::ALL.len() as f64;
    let bar = 0.68 * pitch;
    let mut svg = Svg::new(width, height, "Verdicts on the statements");
    let count = |verdict: Verdict| rows.iter().filter(|row| row.verdict == verdict).count() as f64;
    let most = Verdict::ALL.into_iter().map(count).fold(1.0, f64::max);
    let heading = format!("{} statements, recomputed", rows.len());
    svg.text(0.5 * width, 14.0, Text { bold: true, ..Text::new(&heading, 9.0, Anchor::Middle) });
    for (index, verdict) in Verdict::ALL.into_iter().enumerate() {
        let top = TOP + pitch * index as f64;
        let length = (width - LEFT - 30.0) * count(verdict) / most;
        let baseline = top + 0.5 * bar + 2.8;
        svg.text(LEFT - 6.0, baseline, Text::new(&verdict.name().replace('-', " "), 8.0, Anchor::End));
        svg.cell(LEFT, top, length, bar, shade(verdict));
        let number = count(verdict).to_string();
        svg.text(LEFT + length + 5.0, baseline, Text::new(&number, 8.0, Anchor::Start));
    }
    svg
}

/// Where the axis of the distributions ends.
const LARGEST: f64 = 20.0;

/// The share of ensembles below each ratio, a curve for each criterion.
fn distributions(columns: Columns, rows: &[CurveRow]) -> Svg {
    let grid = Grid { columns, num_panels: 1, per_row: 1, height: 160.0, gap: 0.0 };
    let mut svg = grid.figure("Criteria for divergence against the exact threshold");
    // Where the axis ends, the curve does.
    let curve = |criterion: &str| -> Vec<(f64, f64)> {
        let of = rows.iter().filter(|row| row.criterion == criterion && row.ratio <= LARGEST);
        of.map(|row| (row.ratio, row.share)).collect()
    };
    let series: Vec<Series> = CRITERIA
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let one = Series::new(*name, colour::SERIES[index], curve(name));
            if index + 1 < CRITERIA.len() { one } else { one.dashed("4 2") }
        })
        .collect();
    let x = Scale {
        range: (1.0, LARGEST),
        ticks: vec![1.0, 2.0, 5.0, 10.0, LARGEST],
        label: "learning rate of the criterion / exact threshold",
        logarithmic: true,
    };
    let y = Scale {
        range: (0.0, 1.0),
        ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0],
        label: "share of random ensembles",
        logarithmic: false,
    };
    let title =
        columns.choose("criteria / exact threshold", "criteria for divergence against the exact threshold");
    chart(&mut svg, &grid.panel(0, x, y), title, &series);
    grid.finish(&mut svg, &[&series], &[]);
    svg
}
