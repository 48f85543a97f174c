//! What directions of hardly any curvature do, once for all kernels.
//!
//! For one factor a sample `v_i`, the part of the operator that pairs directions of a *tail* is the n x n matrix
//! `sum_ab K_ab v_ia v_ja v_ib v_jb`. Where curvatures `y` (those of `H` over its largest) are small beside the inverse learning rate, every
//! kernel of interest is `1 / (y_a + y_b)` to leading order; in the next order come 1 and `y_a y_b / (y_a + y_b)^2`. So three
//! matrices are made once, and a kernel is three numbers. With `N = y K y` (entrywise, `y y' / (y + y')` for the first), which is smooth, a few
//! of its columns, those that Cholesky's method with pivots takes, give the others: `N = C N_JJ C^T` with cardinal functions `C` of the nodes
//! `J`; hence a matrix costs a few Gram matrices, shared by all three.
//!
//! # What is left out
//!
//! An entry of `N` that is off by at most `d` moves an entry of the matrix by at most `d t_i t_j`, `t_i = sum_a v_ia^2 / y_a` (Cauchy and
//! Schwarz). `Tail::error` measures `d`, over all pairs of directions, for the kernel at hand; no expansion is trusted.

use linstab_linalg::symmetric::Cholesky;
use linstab_linalg::{Mat, MatRef, Reduced, multiply};
use rayon::prelude::*;

use super::subspace::KernelOf;

/// Curvatures up to this, relative to the largest, are of the tail.
const SMALL: f64 = 1e-5;
/// Leading directions at least, and the share of all that they may be: else there is no tail worth its matrices.
const FEWEST: usize = 48;
const LEADING_SHARE: usize = 6;

/// Nodes at most, and what their interpolation may do to the operator, whose eigenvalue is 1, before there are enough.
const MAX_NODES: usize = 12;
const INTERPOLATED: f64 = 5e-8;
/// What keeps the fit regular where curvatures are next to equal.
const RIDGE: f64 = 1e-13;

/// Rows that are worked on at a time; the partition is fixed, so that bits are.
const ROWS: usize = 128;

/// Kernels that are shared.
pub(super) const SHARED: usize = 3;

/// Directions of hardly any curvature.
#[derive(Clone, Debug)]
pub(super) struct Tail {
    /// The first of them.
    start: usize,
    rank: usize,
    /// Curvatures of the tail relative to the largest of all.
    y: Vec<f64>,
    /// Directions, ascending, and a cardinal function each, a column: (tail, nodes).
    nodes: Vec<usize>,
    cardinal: Mat<f64>,
    /// The normalised kernels that are shared, at the pairs of nodes: (pairs, kernels); their least squares.
    at_nodes: Mat<f64>,
    fit: Cholesky,
    /// Their matrices, n x n.
    matrices: [Mat<f64>; SHARED],
    /// `t`.
    lengths: Vec<f64>,
}

/// A kernel on the tail: a combination of the shared ones, and its derivative.
#[derive(Clone, Copy)]
pub(super) struct Combination {
    pub(super) weights: [f64; SHARED],
    pub(super) slopes: [f64; SHARED],
}

impl Tail {
    /// The tail of an ensemble of one factor a sample, if it has one that is worth it.
    pub(super) fn of(ensemble: &Reduced) -> Option<Self> {
        let h = ensemble.mean_eigenvalues();
        let (rank, unit) = (h.len(), *h.first()?);
        let start = h.iter().take_while(|&&x| x > SMALL * unit).count().max(FEWEST);
        if ensemble.num_factors() != 1 || start * LEADING_SHARE > rank {
            return None;
        }
        let y: Vec<f64> = h[start..].iter().map(|x| x / unit).collect();
        let (nodes, cardinal) = interpolation(&y, INTERPOLATED / (ensemble.num_samples() as f64).powi(2))?;
        let pairs = pairs(nodes.len());
        let value = |(i, j): (usize, usize), kernel| shared((y[nodes[i]], y[nodes[j]]), y[0])[kernel];
        let at_nodes = Mat::from_fn(pairs.len(), SHARED, |pair, kernel| value(pairs[pair], kernel));
        let mut normal = multiply(at_nodes.transpose(), at_nodes.as_ref());
        let ridge = RIDGE * (0..SHARED).map(|kernel| normal[(kernel, kernel)]).sum::<f64>();
        for kernel in 0..SHARED {
            normal[(kernel, kernel)] += ridge;
        }
        let fit = Cholesky::of(normal)?;
        let factors = ensemble.factors().subcols(start, rank - start);
        let weighted = Mat::from_fn(y.len(), nodes.len(), |a, q| cardinal[(a, q)] / y[a]);
        let matrices = matrices(factors, weighted.as_ref(), at_nodes.as_ref());
        let mut lengths = vec![0.0; factors.nrows()];
        for (column, y) in factors.col_iter().zip(&y) {
            lengths.iter_mut().zip(column.iter()).for_each(|(sum, v)| *sum += v * v / y);
        }
        let nodes = nodes.iter().map(|node| start + node).collect();
        Some(Self { start, rank, y, nodes, cardinal, at_nodes, fit, matrices, lengths })
    }

    /// Directions before the tail.
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// The shared matrices times a vector.
    pub(super) fn images(&self, vector: &[f64]) -> [Vec<f64>; SHARED] {
        self.matrices.each_ref().map(|matrix| {
            (0..matrix.ncols()).into_par_iter().map(|row| product(matrix.col_as_slice(row), vector)).collect()
        })
    }

    /// The combination that is nearest to a kernel, by its entries at the nodes.
    pub(super) fn combination(&self, kernel: KernelOf<'_>) -> Combination {
        let (mut weights, mut slopes) = ([0.0; SHARED], [0.0; SHARED]);
        let (mut k, mut s) = (vec![0.0; self.rank], vec![0.0; self.rank]);
        let mut pair = 0;
        for (i, &column) in self.nodes.iter().enumerate() {
            kernel(column, &mut k[column..], &mut s[column..]);
            for &row in &self.nodes[i..] {
                let scale = self.y[column - self.start] * self.y[row - self.start];
                for kernel in 0..SHARED {
                    weights[kernel] += self.at_nodes[(pair, kernel)] * scale * k[row];
                    slopes[kernel] += self.at_nodes[(pair, kernel)] * scale * s[row];
                }
                pair += 1;
            }
        }
        let solved = |right: [f64; SHARED]| {
            let solution = self.fit.solve(&right);
            std::array::from_fn(|kernel| solution[kernel])
        };
        Combination { weights: solved(weights), slopes: solved(slopes) }
    }

    /// `sqrt(d) t`: the products of its entries bound what the entries of the matrix are off by.
    pub(super) fn doubt(&self, kernel: KernelOf<'_>) -> Vec<f64> {
        let root = self.error(kernel).sqrt();
        self.lengths.iter().map(|length| root * length).collect()
    }

    /// `d`: by how much an entry of the normalised kernel is off at most.
    fn error(&self, kernel: KernelOf<'_>) -> f64 {
        let (p, combination) = (self.nodes.len(), self.combination(kernel));
        let mut at_nodes = Mat::<f64>::zeros(p, p);
        for (pair, (i, j)) in pairs(p).into_iter().enumerate() {
            let value: f64 = (0..SHARED).map(|m| combination.weights[m] * self.at_nodes[(pair, m)]).sum();
            at_nodes[(i, j)] = value;
            at_nodes[(j, i)] = value;
        }
        let left = multiply(self.cardinal.as_ref(), at_nodes.as_ref());
        let of_column = |a: usize| {
            let column = self.start + a;
            let (mut weights, mut slopes) = (vec![0.0; self.rank - column], vec![0.0; self.rank - column]);
            kernel(column, &mut weights, &mut slopes);
            for (weight, y) in weights.iter_mut().zip(&self.y[a..]) {
                *weight *= self.y[a] * y;
            }
            for q in 0..p {
                for (weight, c) in weights.iter_mut().zip(&self.cardinal.col_as_slice(q)[a..]) {
                    *weight -= left[(a, q)] * c;
                }
            }
            weights.iter().fold(0.0, |most, x| larger(most, x.abs()))
        };
        (0..self.y.len()).into_par_iter().map(of_column).reduce(|| 0.0, larger)
    }
}

/// The larger of two numbers, NaN if one is.
fn larger(x: f64, y: f64) -> f64 {
    if x >= y || x.is_nan() { x } else { y }
}

/// The shared kernels, normalised and of like size.
fn shared((x, y): (f64, f64), largest: f64) -> [f64; SHARED] {
    let leading = x * y / (x + y);
    [leading, x * y / largest, leading * leading / largest]
}

/// Pairs of so many things, `i <= j`.
fn pairs(count: usize) -> Vec<(usize, usize)> {
    (0..count).flat_map(|i| (i..count).map(move |j| (i, j))).collect()
}

/// Nodes, ascending, and cardinal functions that reproduce every column of `x y / (x + y)` from those at the nodes, but for remainders of
/// which the largest entry is diagonal and at most `enough`; `None` if that takes too many nodes.
fn interpolation(y: &[f64], enough: f64) -> Option<(Vec<usize>, Mat<f64>)> {
    let mut left: Vec<f64> = y.iter().map(|y| 0.5 * y).collect();
    let (mut pivots, mut columns): (Vec<usize>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
    loop {
        let pivot = (0..y.len()).fold(0, |most, a| if left[a] > left[most] { a } else { most });
        if pivots.contains(&pivot) || left[pivot] <= enough {
            break;
        }
        if pivots.len() == MAX_NODES {
            return None;
        }
        let root = left[pivot].sqrt();
        let entry = |a: usize| {
            let explained: f64 = columns.iter().map(|column| column[a] * column[pivot]).sum();
            (y[a] * y[pivot] / (y[a] + y[pivot]) - explained) / root
        };
        let column: Vec<f64> = (0..y.len()).map(entry).collect();
        left.iter_mut().zip(&column).for_each(|(left, x)| *left -= x * x);
        pivots.push(pivot);
        columns.push(column);
    }
    // `C L_J = L`, from the last column on.
    for q in (0..pivots.len()).rev() {
        let (before, after) = columns.split_at_mut(q + 1);
        let column = &mut before[q];
        let at_pivots: Vec<f64> = pivots.iter().map(|&pivot| column[pivot]).collect();
        for (other, factor) in after.iter().zip(&at_pivots[q + 1..]) {
            column.iter_mut().zip(other).for_each(|(x, y)| *x -= factor * y);
        }
        for x in column.iter_mut() {
            *x /= at_pivots[q];
        }
    }
    let mut order: Vec<usize> = (0..pivots.len()).collect();
    order.sort_unstable_by_key(|&q| pivots[q]);
    let cardinal = Mat::from_fn(y.len(), order.len(), |a, q| columns[order[q]][a]);
    Some((order.iter().map(|&q| pivots[q]).collect(), cardinal))
}

/// `sum_pq m_pq G_p o G_q` for the kernels `m` at the pairs of nodes, `G_q` the inner products of the rows under the weights `q`.
fn matrices(
    rows: MatRef<'_, f64>,
    weights: MatRef<'_, f64>,
    at_nodes: MatRef<'_, f64>,
) -> [Mat<f64>; SHARED] {
    let (n, p) = (rows.nrows(), weights.ncols());
    let pairs = pairs(p);
    let starts: Vec<usize> = (0..n).step_by(ROWS).collect();
    let panel = |&start: &usize| {
        let height = ROWS.min(n - start);
        let mut weighted = Mat::<f64>::zeros(p * height, rows.ncols());
        for a in 0..rows.ncols() {
            let column = rows.subrows(start, height).col(a);
            for (q, target) in weighted.col_as_slice_mut(a).chunks_exact_mut(height).enumerate() {
                target.iter_mut().zip(column.iter()).for_each(|(x, v)| *x = weights[(a, q)] * v);
            }
        }
        let grams = multiply(weighted.as_ref(), rows.subrows(0, start + height).transpose());
        let mut panel = [(); SHARED].map(|()| Mat::<f64>::zeros(height, start + height));
        let mut product = vec![0.0; height];
        for column in 0..start + height {
            let grams = grams.col_as_slice(column);
            let gram = |q: usize| &grams[q * height..(q + 1) * height];
            for (pair, &(i, j)) in pairs.iter().enumerate() {
                let twice = if i == j { 1.0 } else { 2.0 };
                let factors = gram(i).iter().zip(gram(j));
                product.iter_mut().zip(factors).for_each(|(product, (x, y))| *product = twice * x * y);
                for (kernel, sums) in panel.iter_mut().enumerate() {
                    let weight = at_nodes[(pair, kernel)];
                    let sums = sums.col_as_slice_mut(column).iter_mut();
                    sums.zip(&product).for_each(|(sum, x)| *sum += weight * x);
                }
            }
        }
        panel
    };
    let panels: Vec<[Mat<f64>; SHARED]> = starts.par_iter().map(panel).collect();
    std::array::from_fn(|kernel| {
        let mut matrix = Mat::<f64>::zeros(n, n);
        for (start, panel) in starts.iter().zip(&panels) {
            let panel = &panel[kernel];
            for column in 0..panel.ncols() {
                for (at, &x) in panel.col_as_slice(column).iter().enumerate() {
                    matrix[(start + at, column)] = x;
                    matrix[(column, start + at)] = x;
                }
            }
        }
        matrix
    })
}

/// The inner product, in lanes.
fn product(x: &[f64], y: &[f64]) -> f64 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in xs.zip(ys) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use linstab_linalg::Factored;
    use linstab_linalg::testing::random_factored;

    /// A dozen directions that decay by a factor of e each, and noise.
    fn ensemble(seed: u64) -> Reduced {
        let (n, dim) = (300, 1200);
        let normal = random_factored(seed, n, 1, dim);
        let scale = |p: usize| 5e-4 + (-(p as f64) / 2.0).exp();
        let entries = (0..n).flat_map(|i| (0..dim).map(move |p| (i, p)));
        // Of like size, so that the noise is nearly isotropic.
        let like = |i: usize| (dim as f64).sqrt() / normal.factors(i).norm_l2();
        let entries = entries.map(|(i, p)| normal.factors(i)[(p, 0)] * like(i) * scale(p)).collect();
        Reduced::of(&Factored::new(n, 1, dim, entries).unwrap()).unwrap()
    }

    /// `sum_j sum_ab K_ab v_ia v_ja v_ib v_jb x_j` over the tail, as it is written.
    fn by_definition(
        ensemble: &Reduced,
        start: usize,
        kernel: &dyn Fn(f64, f64) -> f64,
        x: &[f64],
    ) -> Vec<f64> {
        let (h, v) = (ensemble.mean_eigenvalues(), ensemble.factors());
        let mut inner = Mat::<f64>::zeros(h.len(), h.len());
        for a in start..h.len() {
            for b in start..h.len() {
                let sum: f64 = x.iter().enumerate().map(|(j, x)| v[(j, a)] * v[(j, b)] * x).sum();
                inner[(a, b)] = kernel(h[a] / h[0], h[b] / h[0]) * sum;
            }
        }
        let pair = |i: usize, a: usize| (start..h.len()).map(|b| v[(i, b)] * inner[(a, b)]).sum::<f64>();
        (0..x.len()).map(|i| (start..h.len()).map(|a| v[(i, a)] * pair(i, a)).sum()).collect()
    }

    #[test]
    fn three_matrices_are_every_kernel_within_their_doubt() {
        type Case<'a> = (&'a (dyn Fn(f64, f64) -> f64 + Sync), f64);
        let sgd = |x: f64, y: f64| 1.0 / (0.6 * (x + y) - x * y);
        let momentum = |x: f64, y: f64| 1.0 / (0.3 * (x + y) - 0.05 * x * y + 4.7 * (x - y) * (x - y));
        let decay = |x: f64, y: f64| 1.0 / (0.6 * (x + y) + 1e-6);
        let ensemble = ensemble(3);
        let tail = Tail::of(&ensemble).unwrap();
        let x: Vec<f64> = (0..300).map(|i| 1.0 + f64::from(i).sin()).collect();
        let h: Vec<f64> =
            ensemble.mean_eigenvalues().iter().map(|h| h / ensemble.mean_eigenvalues()[0]).collect();
        // Bounds are for operators without their weight, `1 / n` at most, beside an `x` of 1 or so. The last is not nearly in the span of the three, and has a bound nevertheless.
        let cases: [Case<'_>; 3] = [(&sgd, 1e-7), (&momentum, 1e-6), (&decay, f64::INFINITY)];
        for (case, (kernel, most)) in cases.into_iter().enumerate() {
            let fill: KernelOf<'_> = &|column, weights, _| {
                weights.iter_mut().zip(&h[column..]).for_each(|(k, &y)| *k = kernel(h[column], y));
            };
            let Combination { weights, .. } = tail.combination(fill);
            let images = tail.images(&x);
            let found = |i: usize| (0..SHARED).map(|shared| weights[shared] * images[shared][i]).sum::<f64>();
            let doubt = tail.doubt(fill);
            let along: f64 = doubt.iter().zip(&x).map(|(t, x)| t * x).sum();
            let expected = by_definition(&ensemble, tail.start(), kernel, &x);
            for (i, &exact) in expected.iter().enumerate() {
                let (off, bound) = ((found(i) - exact).abs(), doubt[i] * along);
                assert!(off <= bound + 1e-11 * exact, "{case} {i} {off} {bound} {exact}");
                assert!(bound <= most * 300.0, "{case} {i} {bound} {exact}");
            }
            // Negative control: a kernel larger by 1e-2 has another image, unless the bound is loose.
            let apart =
                expected.iter().enumerate().any(|(i, x)| (found(i) - 1.01 * x).abs() > doubt[i] * along);
            assert!(apart || most.is_infinite(), "{case}");
        }
    }

    #[test]
    fn few_directions_and_flat_spectra_have_no_tail() {
        assert!(Tail::of(&Reduced::of(&random_factored(1, 300, 1, 400)).unwrap()).is_none());
        assert!(Tail::of(&Reduced::of(&random_factored(1, 40, 1, 400)).unwrap()).is_none());
        assert!(Tail::of(&ensemble(1).leading(60)).is_none());
        // Curvatures over many decades take too many nodes.
        assert!(interpolation(&[1e-6, 1e-7, 1e-8], 1e-13).is_some());
        let decades: Vec<f64> = (0..60).map(|a| 1e-5 * (-f64::from(a)).exp()).collect();
        assert!(interpolation(&decades, 1e-14).is_none());
    }
}
