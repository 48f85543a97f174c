//! The picture of the coherence matrix.

use linstab_report::AnalysisPart;
use linstab_report::drawing::{Columns, Grid, Scale, Stroke, Svg, colour};

use super::figures::{digits, head};
use crate::coherence_map::CoherenceMap;

/// Mean coherence of pairs by tiles, the borders of labels drawn in.
pub(super) fn part(map: &CoherenceMap) -> AnalysisPart {
    let n = map.order.len();
    let mut rows = vec![head(&["first_place_of_row", "first_place_of_column", "mean_coherence"])];
    for (row, tiles) in map.tiles.iter().enumerate() {
        rows.extend(tiles.iter().enumerate().map(|(column, value)| {
            vec![map.starts[row].to_string(), map.starts[column].to_string(), digits(*value)]
        }));
    }
    let all = map.tiles.iter().flatten();
    let mean = all.clone().sum::<f64>() / all.count().max(1) as f64;
    AnalysisPart {
        title: "Coherence of pairs of samples".to_owned(),
        sentences: vec![format!(
            "Two samples cohere by {mean:.2} on average; 0 is orthogonal curvature, 1 the same direction."
        )],
        drawing: Some((drawn(map), "coherence of pairs of samples, ordered by label and block".to_owned())),
        caption: format!(
            "S_ij over the root of S_ii S_jj for {n} samples, ordered by label (lines between) and, within, by block of coherent samples; means over \
             tiles where there are many. From pale blue, 0, to orange, 1."
        ),
        table: rows,
    }
}

fn drawn(map: &CoherenceMap) -> String {
    let n = map.order.len() as f64;
    let axis = |label| Scale { range: (0.0, n), ..Scale::linear([0.0, n], label) };
    let inside =
        |scale: Scale| Scale { ticks: scale.ticks.into_iter().filter(|tick| *tick <= n).collect(), ..scale };
    let grid = Grid { columns: Columns::Two, num_panels: 2, per_row: 2, height: 230.0, gap: 60.0 };
    let mut figure = grid.figure("Coherence of pairs of samples");
    let panel = grid.panel(0, inside(axis("place of a sample")), inside(axis("place of another")));
    let draw = |figure: &mut Svg| {
        let end = |tile: usize| map.starts.get(tile + 1).map_or(n, |start| *start as f64);
        for (row, tiles) in map.tiles.iter().enumerate() {
            for (column, value) in tiles.iter().enumerate() {
                let from = (map.starts[column] as f64, map.starts[row] as f64);
                panel.fill(figure, from, (end(column), end(row)), &colour::diverged(*value));
            }
        }
        let line = Stroke { colour: colour::INK, width: 0.8, dashes: "" };
        for &border in &map.borders {
            let at = border as f64;
            panel.line(figure, &[(at, 0.0), (at, n)], line);
            panel.line(figure, &[(0.0, at), (n, at)], line);
        }
    };
    panel.draw(&mut figure, "pairs of samples", draw);
    let (legend, of_legend) = (
        grid.panel(
            1,
            Scale::linear([0.0, 1.0], "share of pairs below"),
            Scale::linear([0.0, 1.0], "coherence"),
        ),
        below(map),
    );
    linstab_report::drawing::chart(&mut figure, &legend, "how many cohere", &[of_legend]);
    grid.finish(&mut figure, &[], &[]);
    figure.render()
}

/// The distribution of the tiles' coherence.
fn below(map: &CoherenceMap) -> linstab_report::drawing::Series {
    let mut values: Vec<f64> = map.tiles.iter().flatten().copied().collect();
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().saturating_sub(1).max(1) as f64;
    let step = values.len().div_ceil(200).max(1);
    let points = values.iter().enumerate().step_by(step).map(|(at, value)| (at as f64 / last, *value));
    linstab_report::drawing::Series::new("coherence", colour::BLUE, points.collect())
}
