//! Theorem C.7: SGD at randomly perturbed points, `w <- w - eta H_t (w + delta_t)`.

use linstab_linalg::{Mat, Scale};
use rand::RngExt;

use super::claim::{Claim, Judgement, Setting, Verdict};
use super::counterexamples::Counterexample;
use super::divergence::growth_at_equality;
use super::instance::{Instance, Shape, identity, trace, trace_of_product};
use super::numbers::normal;
use super::rational::{fraction, integer, power};
use super::search::smallest;

/// The claims of this file; the bounds have one of their own.
pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        ids: &["eq14", "eq15"],
        statement: "The k-th iterate is the product of the steps on the start minus eta times a sum of products on the noises, whose cross terms vanish in the mean square.",
        correction: "The products are ordered, the later factor to the left.",
        assumptions: "perturbations of mean zero, independent of each other and of the batches",
        refuted_by: "a run that differs from its unrolled form",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(0.5),
        check: |setting, factor| {
            let mut rng = setting.key.generator();
            let mut worst = 0.0_f64;
            for index in 0..200 {
                let dim = 1 + index % 4;
                let batches: Vec<Mat<f64>> =
                    (0..5).map(|_| Mat::from_fn(dim, dim, |_, _| normal(&mut rng))).collect();
                let noises: Vec<Mat<f64>> =
                    (0..5).map(|_| Mat::from_fn(dim, 1, |_, _| normal(&mut rng))).collect();
                let start = Mat::from_fn(dim, 1, |_, _| normal(&mut rng));
                let rate = 0.3;
                let step = |h: &Mat<f64>| identity(dim) - h * Scale(rate);
                let run = batches
                    .iter()
                    .zip(&noises)
                    .fold(start.clone(), |w, (h, delta)| &w - h * (&w + delta) * Scale(rate));
                let after =
                    |t: usize| batches[t..].iter().fold(identity(dim), |product, h| step(h) * product);
                let noise = (0..5).fold(Mat::zeros(dim, 1), |sum: Mat<f64>, t| {
                    sum + after(t + 1) * &batches[t] * &noises[t]
                });
                let unrolled = after(0) * &start - noise * Scale(rate * factor);
                worst = worst.max((&run - unrolled).norm_max() / run.norm_max().max(1.0));
            }
            // The cross terms are linear in each noise: averaging over its sign removes them exactly.
            Ok(Judgement::new(
                Verdict::holds_if(worst < 1e-10),
                format!(
                    "largest relative difference {worst:.1e} over 200 runs of 5 steps; cross terms are odd in each noise"
                ),
            ))
        },
    },
    Claim {
        ids: &["eq16"],
        statement: "The noise terms are sigma_1^2 E tr(..) E[H_t^2], at least sigma_1^2 lambda_min^2 E tr(..).",
        correction: "sigma_1^2 tr(E[..] E[H_t^2]): the trace is that of the product; the inequality is true.",
        assumptions: "independent batches and perturbations with covariance sigma_1^2 I",
        refuted_by: "an ensemble that breaks the inequality",
        expected: Verdict::HoldsAfterCorrection,
        constant: 1.0,
        wrong_constant: Some(1.5),
        check: |setting, factor| {
            let example = Counterexample::load("eq16")?;
            let hessians = example.hessians()?;
            let (products, product) =
                (hessians[0].trace() * hessians[1].trace(), (&hessians[0] * &hessians[1]).trace());
            example.confirm("product_of_traces", &products)?;
            example.confirm("trace_of_product", &product)?;
            let found = smallest(setting.key, setting.budget(), |x| {
                let square = second_moment(x);
                let tail = x.moment(x.gradient_descent_limit() * 0.5, &identity(x.shape.dim));
                trace_of_product(&tail, &square) / (factor * x.min_eigenvalue().powi(2) * trace(&tail))
            });
            let verdict = Verdict::corrected(products == product, found.is_unbroken());
            Ok(Judgement::new(
                verdict,
                format!(
                    "P = diag(1, 0), E H^2 = diag(0, 1): product of traces {products}, trace of the product {product}; inequality: {found}"
                ),
            ))
        },
    },
    Claim {
        ids: &["eq18", "C.7.1"],
        statement: "Random perturbation diverges in mean square under the criterion for SGD, eta >= (sigma/lambda_1) (n/B - 1)^(-1/2).",
        correction: "The homogeneous part, hence the exact threshold, is that of SGD; but at equality SGD itself can stay where it is, while the variance of the perturbation then grows linearly.",
        assumptions: "Bernoulli sampling; perturbations of positive variance",
        refuted_by: "an ensemble whose exact threshold lies above the criterion, or that stays bounded at equality",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(0.9),
        check: |setting, factor| {
            let found = smallest(setting.key, setting.budget(), |x| {
                let plain = x.without_ascent();
                factor * plain.divergence_criterion() / plain.max_learning_rate()
            });
            let example = Counterexample::load("eq18-equality")?;
            let growth = growth_at_equality(&example)?;
            // One sample of two is drawn half of the time: E h_t^2 = 1/2.
            let rate = example.number("learning_rate")?;
            let noise = &rate * &rate * fraction(1, 2);
            example.confirm("noise_a_step", &noise)?;
            let at_equality = growth >= integer(1) && noise > integer(0);
            let verdict = Verdict::holds_if(found.is_unbroken() && at_equality);
            Ok(Judgement::new(
                verdict,
                format!(
                    "eta_criterion / eta* of SGD: {found}; at equality (d = 1, n = 2, B = 1, curvatures 1 and 0, eta = {rate}) E J^2 = {growth}, and unit perturbations add {noise} at each step"
                ),
            ))
        },
    },
    Claim {
        ids: &["eq19", "eq20"],
        statement: "sum_{t=1}^k r^t = r (r^k - 1) / (r - 1).",
        correction: "The hypothesis tr J^2k <= C_0 alpha^k has the wrong direction for a lower bound.",
        assumptions: "r other than 1",
        refuted_by: "an r and k",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(0.0),
        check: |_, first| {
            let start = i32::from(first > 0.5);
            let holds = [fraction(1, 2), fraction(-3, 4), integer(4), fraction(7, 3)].iter().all(|r| {
                (1..12).all(|k| {
                    let sum = (start..=k).fold(integer(0), |sum, t| sum + power(r, t));
                    sum == r * (power(r, k) - integer(1)) / (r - integer(1))
                })
            });
            Ok(Judgement::new(Verdict::holds_if(holds), "four ratios, k up to 11, in fractions"))
        },
    },
    Claim {
        ids: &["C.7.3"],
        statement: "Where SGD converges in mean square, random perturbation stays bounded in mean square.",
        correction: "",
        assumptions: "Bernoulli sampling",
        refuted_by: "an ensemble whose covariance grows below the exact threshold",
        expected: Verdict::Holds,
        constant: 0.8,
        wrong_constant: Some(1.2),
        check: |setting, share| Ok(bounded(setting, share)),
    },
];

/// `E H_t^2` under Bernoulli sampling.
pub(super) fn second_moment(x: &Instance) -> Mat<f64> {
    let sum = x.hessians.iter().fold(Mat::zeros(x.shape.dim, x.shape.dim), |sum: Mat<f64>, h| sum + h * h);
    &x.mean * &x.mean + sum * Scale(x.noise_weight())
}

/// The covariance under noise, at a share of the exact threshold of SGD.
fn bounded(setting: &Setting<'_>, share: f64) -> Judgement {
    let (mut num, mut worst, mut all) = (0, 0.0_f64, true);
    for index in 0..60 {
        let mut rng = setting.key.number(index).generator();
        let shape = Shape { dim: rng.random_range(1..=3), ..Shape::random(&mut rng) };
        let shape = Shape { num_factors: shape.num_factors.min(shape.dim), ..shape };
        let Some(x) = Instance::new(shape, &shape.random_parameters(&mut rng)) else { continue };
        let x = x.without_ascent();
        let rate = share * x.max_learning_rate();
        if !rate.is_finite() {
            continue;
        }
        let source = second_moment(&x) * Scale(rate * rate);
        let mut covariance = identity(shape.dim);
        let mut middle = 0.0;
        for k in 0..4000 {
            covariance = x.moment(rate, &covariance) + &source;
            if k == 1999 {
                middle = trace(&covariance);
            }
        }
        let growth = trace(&covariance) / middle;
        all &= growth.is_finite() && growth < 1.1;
        worst = worst.max(trace(&covariance) / trace(&source));
        num += 1;
    }
    Judgement::new(
        Verdict::holds_if(all),
        format!(
            "{num} ensembles at {share} eta*: the covariance settles, at up to {worst:.1} times that of one step's noise"
        ),
    )
}
