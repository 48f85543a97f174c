//! Definitions on dense matrices, slow and obvious.
#![expect(unreachable_pub, reason = "each test is a crate that takes what it needs")]

use linstab_coherence::diagnostics::Finding;
use linstab_linalg::{Ensemble, Factored, Mat, symmetric};

/// All batches of a size, alike probable without replacement.
pub fn batches(n: usize, size: usize) -> Vec<Vec<usize>> {
    (0..1_usize << n)
        .filter(|set| set.count_ones() as usize == size)
        .map(|set| (0..n).filter(|i| set >> i & 1 == 1).collect())
        .collect()
}

/// Mean curvature of some samples.
pub fn hessian(ensemble: &Factored, of: &[usize]) -> Mat<f64> {
    let sum = of.iter().map(|&i| ensemble.sample_hessian(i)).reduce(|x, y| x + y).unwrap();
    sum * linstab_linalg::Scale(1.0 / of.len() as f64)
}

/// Mean gradient of some samples, with coefficients one a factor.
pub fn gradient(ensemble: &Factored, coefficients: &[f64], of: &[usize]) -> Mat<f64> {
    let k = ensemble.num_factors();
    let part = |i: usize| ensemble.factors(i) * Mat::from_fn(k, 1, |q, _| coefficients[i * k + q]);
    of.iter().map(|&i| part(i)).reduce(|x, y| x + y).unwrap() * linstab_linalg::Scale(1.0 / of.len() as f64)
}

pub fn form(x: &Mat<f64>, h: &Mat<f64>) -> f64 {
    (x.transpose() * h * x)[(0, 0)]
}

pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

pub fn top(matrix: &Mat<f64>) -> f64 {
    symmetric::top_eigenvalue(matrix.as_ref()).unwrap()
}

pub fn named<'a>(findings: &'a [Finding], name: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.name == name).unwrap()
}
