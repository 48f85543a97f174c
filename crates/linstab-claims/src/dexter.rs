//! The theorems of Dexter et al. as the paper quotes them.

use super::claim::{Claim, Judgement, Setting, Verdict, require};
use super::convergence::largest_admissible;
use super::counterexamples::{Counterexample, count};
use super::divergence::{scalar_moments, scalar_second_moment};
use super::instance::top_of_sandwiches;
use super::rational::{BigRational, fraction, integer, of_f64};
use super::search::smallest;
use crate::Result;

/// The claims of this file.
pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        ids: &["eq88"],
        statement: "If lambda_max(H) >= 2/eta or lambda_max(H) >= (sigma/eta) (n/B - 1)^(-1/2), the mean norm of the product of k steps of SGD goes to infinity.",
        correction: "The mean of the squared Frobenius norm does, and the inequalities have to be strict.",
        assumptions: "Bernoulli sampling",
        refuted_by: "an ensemble whose exact threshold lies above the criterion",
        expected: Verdict::HoldsAfterCorrection,
        constant: 1.0,
        wrong_constant: Some(0.9),
        check: first_moment,
    },
    Claim {
        ids: &["eq89"],
        statement: "For all sizes with lambda_max < (2 sigma/eta) (sigma + n/B - 1)^-1 there are curvatures of coherence sigma with E |J_k .. J_1| < n in the limit.",
        correction: "",
        assumptions: "sigma samples on one direction, the others zero, d = n: the other n - 1 directions do not move",
        refuted_by: "sizes for which the shared direction grows",
        expected: Verdict::Holds,
        constant: 2.0,
        wrong_constant: Some(3.0),
        check: |_, two| {
            let mut holds = true;
            let mut num = 0;
            for (n, b, s) in (2..9).flat_map(|n| (1..=n).flat_map(move |b| (1..=n).map(move |s| (n, b, s)))) {
                // z = eta lambda just below its bound: growth (1 - z)^2 + z^2 (n/B - 1)/sigma below 1.
                let z = fraction(999, 1000) * of_f64(two) * integer(s) / (integer(s - 1) + fraction(n, b));
                let growth = (integer(1) - &z) * (integer(1) - &z)
                    + &z * &z * (fraction(n, b) - integer(1)) / integer(s);
                holds &= growth < integer(1);
                num += 1;
            }
            Ok(Judgement::new(
                Verdict::holds_if(holds),
                format!(
                    "{num} sizes with n up to 8, in fractions: the squared norm goes to n - 1 at 0.999 of the bound"
                ),
            ))
        },
    },
    Claim {
        ids: &["eq90"],
        statement: "The product of k steps of SGD diverges in mean square if lambda_max(H) >= 2/eta, or if (eta^2/(nB) - eta^2/n^2) times the sum of the norms of all words of k samples goes to infinity.",
        correction: "The factor needs the k-th power, the norms have to be squared, and the first inequality has to be strict.",
        assumptions: "Bernoulli sampling",
        refuted_by: "an ensemble that breaks the corrected form",
        expected: Verdict::HoldsAfterCorrection,
        constant: 1.0,
        wrong_constant: Some(0.9),
        check: divergent_sum,
    },
    Claim {
        ids: &["eq91"],
        statement: "The product of k steps of SGD converges to zero in mean square if, for some eps in (0, 1), eps < eta l < 2 - eps for every eigenvalue l of H, and eps^-k times (eta^2/(nB) - eta^2/n^2) times the sum of the norms of all words of k samples goes to zero.",
        correction: "The factor needs the k-th power, and the norms have to be squared.",
        assumptions: "Bernoulli sampling",
        refuted_by: "an ensemble that meets the corrected condition above its exact threshold",
        expected: Verdict::HoldsAfterCorrection,
        constant: 1.0,
        wrong_constant: Some(4.0),
        check: vanishing_sum,
    },
];

fn first_moment(setting: &Setting<'_>, factor: f64) -> Result<Judgement> {
    let example = Counterexample::load("eq88")?;
    let n = count(&example.number("num_samples")?);
    let mut curvatures = vec![example.number("curvature_others")?; n];
    curvatures[0] = example.number("curvature_1")?;
    let batch_size = example.number("batch_size")?;
    let rate = example.number("learning_rate")?;
    let (first, second) = scalar_moments(&curvatures, &batch_size, &rate, &integer(0));
    let total = curvatures.iter().fold(integer(0), |sum, h| sum + h);
    let number = integer(i64::try_from(n).unwrap_or(1));
    let sharpness = &total / &number;
    // In one dimension S = (sqrt(h_i h_j)) has largest eigenvalue sum h_i.
    let sigma = &total / &curvatures[0];
    let threshold_squared = &sigma * &sigma / (&rate * &rate * (number / batch_size - integer(1)));
    example.confirm("first_moment", &first)?;
    example.confirm("second_moment", &second)?;
    example.confirm("sharpness", &sharpness)?;
    example.confirm("threshold_squared", &threshold_squared)?;
    let broken = &sharpness * &sharpness > threshold_squared && first < integer(1);
    let found = smallest(setting.key, setting.budget(), |x| {
        let plain = x.without_ascent();
        factor * plain.divergence_criterion().min(plain.gradient_descent_limit()) / plain.max_learning_rate()
    });
    let verdict = Verdict::corrected(!broken, found.is_unbroken());
    Ok(Judgement::new(
        verdict,
        format!(
            "d = 1, n = 8, B = 2, eta = 1/3: lambda = {sharpness}, its square above {threshold_squared}, yet E |J| = {first} < 1; E J^2 = {second}; squared norm, eta_criterion / eta*: {found}"
        ),
    ))
}

fn divergent_sum(setting: &Setting<'_>, factor: f64) -> Result<Judgement> {
    let example = Counterexample::load("eq90")?;
    let exact = scalar_second_moment(&example)?;
    let rate = example.number("learning_rate")?;
    let weight = &rate * &rate * (fraction(1, 2) - fraction(1, 4));
    // The only word that is not zero repeats the curvature 2: the printed sum is weight * 2^k.
    example.confirm("second_moment", &exact)?;
    example.confirm("factor", &weight)?;
    let found = smallest(setting.key, setting.budget(), |x| {
        let plain = x.without_ascent();
        let noise = plain.noise_weight() * top_of_sandwiches(&plain.hessians);
        factor * noise.sqrt().recip().min(plain.gradient_descent_limit()) / plain.max_learning_rate()
    });
    let verdict = Verdict::corrected(exact >= integer(1), found.is_unbroken());
    Ok(Judgement::new(
        verdict,
        format!(
            "d = 1, n = 2, curvatures 2 and 0, eta = 1/10: the printed sum is {weight} * 2^k, while E J^2 = {exact}; corrected, learning rate above which a condition is met over eta*: {found}"
        ),
    ))
}

fn vanishing_sum(setting: &Setting<'_>, factor: f64) -> Result<Judgement> {
    let example = Counterexample::load("eq91")?;
    let curvatures: Vec<BigRational> = example.hessians()?.iter().map(|h| h.at(0, 0).clone()).collect();
    let n = integer(i64::try_from(curvatures.len()).unwrap_or(i64::MAX));
    let (rate, eps) = (example.number("learning_rate")?, example.number("epsilon")?);
    let step = &rate * curvatures.iter().fold(integer(0), |sum, h| sum + h) / &n;
    let exact = scalar_second_moment(&example)?;
    // One sample alone is not flat: the only word that is not zero repeats it.
    let weight = &rate * &rate * ((example.number("batch_size")? * &n).recip() - (&n * &n).recip());
    let printed = &curvatures[0] / &eps;
    let corrected = weight * &curvatures[0] * &curvatures[0] / &eps;
    example.confirm("step", &step)?;
    example.confirm("second_moment", &exact)?;
    example.confirm("printed_ratio", &printed)?;
    example.confirm("corrected_ratio", &corrected)?;
    let met = eps < step && step < integer(2) - &eps && printed < integer(1);
    require(
        "eq91",
        "the printed condition, and not the corrected one, in the example",
        met && corrected >= integer(1),
        &printed,
    )?;
    let found = smallest(setting.key, setting.budget(), |x| {
        let plain = x.without_ascent();
        plain.max_learning_rate() / largest_admissible(&plain, factor)
    });
    let verdict = Verdict::corrected(exact < integer(1), found.is_unbroken());
    Ok(Judgement::new(
        verdict,
        format!(
            "d = 1, n = 3, B = 1, curvatures 1/10, 0, 0, eta = {rate}, eps = {eps}: eta lambda = {step}, the printed term shrinks by {printed} a step, and E J^2 = {exact}; the corrected term grows by {corrected}; corrected form, eta* over the largest learning rate that it admits: {found}"
        ),
    ))
}
