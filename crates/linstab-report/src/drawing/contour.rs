//! Zero contours of a function on a grid, by marching squares.

use std::collections::BTreeMap;

/// An edge of the grid: from node (i, j) to (i + 1, j) or to (i, j + 1).
type Edge = (bool, usize, usize);

/// The lines on which a function, given on the nodes `(x[i], y[j])` as `value(i, j)` and linear between neighbours, changes
/// from positive to not positive. Open lines end on the border of the grid; closed ones repeat their first point.
///
/// In a square whose diagonals differ in sign the mean of the four corners decides which corners are joined.
pub fn zero_contours(x: &[f64], y: &[f64], value: impl Fn(usize, usize) -> f64) -> Vec<Vec<(f64, f64)>> {
    let mut links: BTreeMap<Edge, Vec<Edge>> = BTreeMap::new();
    let mut link = |a: Edge, b: Edge| {
        links.entry(a).or_default().push(b);
        links.entry(b).or_default().push(a);
    };
    for i in 0..x.len().saturating_sub(1) {
        for j in 0..y.len().saturating_sub(1) {
            // Corners and edges in turn around the square; edge k runs from corner k to corner k + 1.
            let corners = [value(i, j), value(i + 1, j), value(i + 1, j + 1), value(i, j + 1)];
            let edges = [(false, i, j), (true, i + 1, j), (false, i, j + 1), (true, i, j)];
            let inside = corners.map(|corner| corner > 0.0);
            let crossed: Vec<usize> = (0..4).filter(|&k| inside[k] != inside[(k + 1) % 4]).collect();
            match crossed[..] {
                [a, b] => link(edges[a], edges[b]),
                [_, _, _, _] => {
                    // All four edges are crossed: cut off the two corners that differ from the centre.
                    let centre = corners.iter().sum::<f64>() > 0.0;
                    let first = usize::from(inside[0] == centre);
                    link(edges[(first + 3) % 4], edges[first]);
                    link(edges[first + 1], edges[first + 2]);
                }
                _ => {}
            }
        }
    }
    let point = |&(vertical, i, j): &Edge| {
        let (i2, j2) = if vertical { (i, j + 1) } else { (i + 1, j) };
        let (from, to) = (value(i, j), value(i2, j2));
        let share = from / (from - to);
        (x[i] + share * (x[i2] - x[i]), y[j] + share * (y[j2] - y[j]))
    };
    let lines = trace(links).into_iter().map(|line| line.iter().map(point).collect::<Vec<_>>());
    // Around a node whose value is barely positive a line shrinks to a point, which cannot be drawn.
    lines
        .filter(|line| line.iter().any(|p| (p.0 - line[0].0).abs() + (p.1 - line[0].1).abs() > 1e-6))
        .collect()
}

/// Takes a graph whose nodes have one or two neighbours apart into its lines, open ones first.
fn trace(mut links: BTreeMap<Edge, Vec<Edge>>) -> Vec<Vec<Edge>> {
    let mut lines = Vec::new();
    while !links.is_empty() {
        let open_end = links.iter().find(|(_, neighbours)| neighbours.len() == 1);
        let Some(start) = open_end.or_else(|| links.iter().next()).map(|(&edge, _)| edge) else { break };
        let mut line = vec![start];
        let mut current = start;
        while let Some(next) = links.get_mut(&current).and_then(Vec::pop) {
            let back = links.entry(next).or_default();
            if let Some(at) = back.iter().position(|&edge| edge == current) {
                back.swap_remove(at);
            }
            line.push(next);
            current = next;
        }
        links.retain(|_, neighbours| !neighbours.is_empty());
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::zero_contours;

    fn nodes(count: usize) -> Vec<f64> {
        (0..count).map(|i| i as f64).collect()
    }

    #[test]
    fn a_straight_line_is_found_exactly() {
        let grid = nodes(5);
        let lines = zero_contours(&grid, &grid, |i, j| grid[i] + 2.0 * grid[j] - 3.3);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].iter().all(|(x, y)| (x + 2.0 * y - 3.3).abs() < 1e-12), "{lines:?}");
        let ends = [lines[0][0], lines[0][lines[0].len() - 1]];
        assert!(ends.iter().all(|(x, y)| *x < 1e-12 || *y < 1e-12), "it ends on the border: {ends:?}");
    }

    #[test]
    fn a_circle_is_closed() {
        let grid = nodes(9);
        let lines =
            zero_contours(&grid, &grid, |i, j| 6.0 - (grid[i] - 4.0).powi(2) - (grid[j] - 4.0).powi(2));
        assert_eq!(lines.len(), 1);
        assert_eq!(format!("{:?}", lines[0].first()), format!("{:?}", lines[0].last()), "closed");
        let radius = |&(x, y): &(f64, f64)| ((x - 4.0).powi(2) + (y - 4.0).powi(2)).sqrt();
        assert!(lines[0].iter().all(|point| (radius(point) - 6.0_f64.sqrt()).abs() < 0.1), "{lines:?}");
    }

    #[test]
    fn a_saddle_gives_two_lines_and_nothing_gives_none() {
        let grid = nodes(2);
        for sign in [1.0, -1.0] {
            let lines = zero_contours(&grid, &grid, |i, j| if i == j { sign } else { -0.5 * sign });
            assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        }
        assert!(zero_contours(&grid, &grid, |_, _| 1.0).is_empty());
    }
}
