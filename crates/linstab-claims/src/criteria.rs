//! How the criteria for divergence are ordered: facts that are not in the paper.

use linstab_linalg::{Mat, Scale};

use super::claim::{Claim, Judgement, Setting, Verdict};
use super::counterexamples::{Counterexample, count};
use super::instance::{coherence, identity, mean, top};
use super::rational::integer;
use super::search::smallest;
use crate::Result;

/// The claims of this file.
pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        ids: &["F1"],
        statement: "Not in the paper: n lambda_1 <= lambda_max(S) <= n |H|_F, and sigma >= 1.",
        correction: "",
        assumptions: "a structural fact that orders the paper's criteria",
        refuted_by: "an ensemble that breaks it",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(1.01),
        check: |setting, factor| {
            let found = smallest(setting.key, setting.budget(), |x| {
                let coherence = coherence(&x.hessians);
                let frobenius = x.mean_eigenvalues.iter().map(|l| l * l).sum::<f64>().sqrt() * x.n();
                let lower = coherence.top_eigenvalue / (x.n() * x.sharpness() * factor);
                lower.min(frobenius / coherence.top_eigenvalue).min(coherence.measure())
            });
            Ok(Judgement::of_search(&found))
        },
    },
    Claim {
        ids: &["F2"],
        statement: "Not in the paper: divergence is certain above n (n/B - 1)^(-1/2) / max_i lambda_max(A^(1/2) H_i A^(1/2)), and no criterion with sigma is sharper than this one.",
        correction: "Sharper still is the Rayleigh quotient of the second moment along the samples' top eigenvectors.",
        assumptions: "a structural fact that makes the paper's criteria corollaries; Bernoulli sampling",
        refuted_by: "an ensemble whose exact threshold lies above it, or a criterion with sigma below it",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(0.9),
        check: |setting, factor| {
            let found = smallest(setting.key, setting.budget(), |x| {
                let sample = x.sample_criterion();
                let certain = factor * sample / x.max_learning_rate();
                certain
                    .min(x.divergence_criterion() / sample)
                    .min(x.transformed_criterion() / sample)
                    .min(x.rayleigh_criterion() / x.max_learning_rate())
            });
            Ok(Judgement::of_search(&found).and("the smallest of: criterion over eta*, the two criteria with sigma over it, Rayleigh quotient over eta*"))
        },
    },
    Claim {
        ids: &["F3"],
        statement: "Not in the paper: A^(1/2) (I - eta H_t A) A^(-1/2) = I - eta A^(1/2) H_t A^(1/2): SAM is SGD on the transformed ensemble.",
        correction: "",
        assumptions: "full-batch ascent with a fixed gradient norm",
        refuted_by: "an ensemble for which the two differ",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(0.5),
        check: |setting, factor| {
            let found = smallest(setting.key, setting.budget(), |x| {
                let step = identity(x.shape.dim) - &x.hessians[0] * &x.ascent * Scale(factor);
                let of_sgd = identity(x.shape.dim) - &x.root * &x.hessians[0] * &x.root;
                // The parts of the step, not their difference, set the scale of rounding.
                let scale = (1.0 + (&x.hessians[0] * &x.ascent).norm_max()) * x.root.norm_max();
                1.0 - (&x.root * &step - of_sgd * &x.root).norm_max() / scale
            });
            Ok(Judgement::of_search(&found).and("slack is 1 - the relative difference"))
        },
    },
    Claim {
        ids: &["transformed-sharper"],
        statement: "Not in the paper, the natural conjecture about its two coherence measures: the criterion for SGD on the transformed ensemble is at least as sharp as that of Theorem C.8, part 4.",
        correction: "Typically, not always; the criterion of the sharpest transformed sample is sharper than both.",
        assumptions: "batches of one",
        refuted_by: "",
        expected: Verdict::Refuted,
        constant: 1.0,
        wrong_constant: Some(0.9),
        check: hadamard,
    },
];

/// Coordinate directions beside a faint projector onto half of the space, whole or in its rank-one pieces.
fn beside_hadamard(order: usize, faint: f64, pieces: bool) -> Vec<Mat<f64>> {
    let sign = |i: usize, j: usize| if (i & j).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
    let root = (order as f64).sqrt();
    let mut hessians: Vec<Mat<f64>> = (0..order)
        .map(|at| Mat::from_fn(order, order, |i, j| f64::from(u8::from(i == at && j == at))))
        .collect();
    if !pieces {
        let identity = |i: usize, j: usize| f64::from(u8::from(i == j));
        hessians.push(Mat::from_fn(order, order, |i, j| faint * 0.5 * (identity(i, j) + sign(i, j) / root)));
        return hessians;
    }
    // The Hadamard matrix is a power of the one of order 2, whose eigenvectors are (cos, sin) and (-sin, cos) of pi/8: products of
    // them with an even number of the second kind span the half-space.
    let (sine, cosine) = (std::f64::consts::PI / 8.0).sin_cos();
    let bits = order.trailing_zeros();
    for kind in (0..order).filter(|kind| kind.count_ones().is_multiple_of(2)) {
        let entry = |i: usize| -> f64 {
            let at = |bit: u32| match (kind >> bit & 1, i >> bit & 1) {
                (0, 0) | (1, 1) => cosine,
                (0, _) => sine,
                _ => -sine,
            };
            (0..bits).map(at).product()
        };
        hessians.push(Mat::from_fn(order, order, |i, j| faint * entry(i) * entry(j)));
    }
    hessians
}

/// Learning rates of the two criteria with sigma and of the sharpest sample, for batches of one.
fn criteria_of(hessians: &[Mat<f64>], ratio: f64) -> Result<[f64; 3]> {
    let n = hessians.len() as f64;
    let mean = mean(hessians);
    let (values, vectors) = linstab_linalg::symmetric::eigenpairs(mean.as_ref())?;
    let root = super::instance::function(&values, &vectors, |l| (1.0 + ratio * l.max(0.0)).sqrt());
    let effective: Vec<Mat<f64>> = hessians.iter().map(|h| &root * h * &root).collect();
    let (low, high) = (values[0].max(0.0), top(mean.as_ref()));
    let transformed = coherence(&effective);
    let noise = (n - 1.0).sqrt();
    Ok([
        coherence(hessians).measure() / (high * (1.0 + ratio * low) * noise),
        transformed.measure() / (high * (1.0 + ratio * high) * noise),
        n / (transformed.max_sample_sharpness * noise),
    ])
}

fn hadamard(_: &Setting<'_>, factor: f64) -> Result<Judgement> {
    let example = Counterexample::load("hadamard")?;
    let (mut holds, mut text) = (true, String::new());
    for index in 1..=2 {
        let number = |key: &str| example.number(&format!("{key}_{index}"));
        let pieces = number("pieces")? == integer(1);
        let hessians =
            beside_hadamard(count(&number("order")?), example.float(&format!("faint_{index}"))?, pieces);
        let [divergence, transformed, sample] =
            criteria_of(&hessians, example.float(&format!("ratio_{index}"))?)?;
        example.confirm_near(&format!("divergence_{index}"), divergence)?;
        example.confirm_near(&format!("transformed_{index}"), transformed)?;
        example.confirm_near(&format!("sample_{index}"), sample)?;
        holds &= factor * transformed <= divergence;
        text = format!(
            "{text}n = {}: {divergence:.6} against {transformed:.6} transformed (sharpest sample {sample:.6}); ",
            hessians.len()
        );
    }
    Ok(Judgement::new(Verdict::holds_if(holds), format!("{text}batches of one, learning rates")))
}
