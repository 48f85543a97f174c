//! The coherence of pairs of samples in tiles, for a picture.

use linstab_coherence::FactorCoherence;
use serde::{Deserialize, Serialize};

/// Tiles a side at most.
const TILES: usize = 80;

/// Mean coherence of pairs of samples, `S_ij / sqrt(S_ii S_jj)`, samples being ordered by label, then by block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CoherenceMap {
    /// Samples in the order of the map.
    pub order: Vec<usize>,
    /// First places of labels but the first, in that order.
    pub borders: Vec<usize>,
    /// First place of each tile.
    pub starts: Vec<usize>,
    /// Means over tiles, row by row.
    pub tiles: Vec<Vec<f64>>,
}

impl CoherenceMap {
    pub(crate) fn of(coherence: &FactorCoherence, blocks: &[Vec<usize>], labels: Option<&[i64]>) -> Self {
        let n = coherence.matrix.nrows();
        let label = |sample: usize| labels.map_or(0, |labels| labels[sample]);
        let mut order: Vec<usize> = blocks.concat();
        // Blocks come largest first; the sort keeps their order within a label.
        order.sort_by_key(|&sample| label(sample));
        let borders = (1..n).filter(|&at| label(order[at]) != label(order[at - 1])).collect();
        let count = n.min(TILES);
        let starts: Vec<usize> = (0..count).map(|tile| tile * n / count).collect();
        let members = |tile: usize| {
            let end = starts.get(tile + 1).copied().unwrap_or(n);
            &order[starts[tile]..end]
        };
        let mean = |row: usize, column: usize| {
            let (rows, columns) = (members(row), members(column));
            let pairs = rows.iter().flat_map(|&i| columns.iter().map(move |&j| coherence.pair(i, j)));
            pairs.sum::<f64>() / (rows.len() * columns.len()) as f64
        };
        let tiles = (0..count).map(|row| (0..count).map(|column| mean(row, column)).collect()).collect();
        Self { order, borders, starts, tiles }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linstab_linalg::{Factored, Reduced};

    #[test]
    fn samples_are_ordered_by_label_then_block() {
        // Directions x, y, x, y; labels 1, 1, 0, 1.
        let rows = vec![1.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 3.0];
        let ensemble =
            Factored::new(4, 1, 2, rows).and_then(|all| Reduced::of(&all)).expect("it is well formed");
        let coherence = FactorCoherence::of(&ensemble).expect("there is curvature");
        let map = CoherenceMap::of(&coherence, &coherence.blocks(0.5), Some(&[1, 1, 0, 1]));
        assert_eq!((map.order[0], map.borders.as_slice()), (2, &[1][..]));
        for (row, &i) in map.order.iter().enumerate() {
            for (column, &j) in map.order.iter().enumerate() {
                let same = f64::from(u8::from(i % 2 == j % 2));
                assert!((map.tiles[row][column] - same).abs() < 1e-7, "{i} {j}");
            }
        }
    }
}
