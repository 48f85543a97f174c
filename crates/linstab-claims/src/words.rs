//! Single words of samples in Theorem C.8: what its proof does to each of them.

use super::claim::{Claim, Judgement, Setting, Verdict, require};
use super::counterexamples::{Counterexample, count};
use super::instance::{Instance, trace, trace_of_product};
use super::rational::{BigRational, Matrix, of_f64, to_f64};
use super::search::smallest;
use crate::Result;

/// The claims of this file.
pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        ids: &["eq38-first-step"],
        statement: "The outermost factors A of a word contribute at least the square of the smallest eigenvalue of A to its trace.",
        correction: "",
        assumptions: "the rest of the word is positive semidefinite, as it is",
        refuted_by: "a word",
        expected: Verdict::Holds,
        constant: 1.0,
        wrong_constant: Some(1.1),
        check: |setting, factor| {
            let found = smallest(setting.key, setting.budget(), |x| {
                let [first, second] = [&x.hessians[0], &x.hessians[1]];
                let rest = second * &x.ascent * first * first * &x.ascent * second;
                // Where the samples are nearly orthogonal the word is rounding alone.
                let rounding =
                    1e-13 * x.ascent.norm_l2().powi(4) * (first.norm_l2() * second.norm_l2()).powi(2);
                (trace_of_product(&(&x.ascent * &x.ascent), &rest) + rounding)
                    / (factor * x.min_ascent().powi(2) * trace(&rest).max(rounding))
            });
            Ok(Judgement::of_search(&found))
        },
    },
    Claim {
        ids: &["eq38"],
        statement: "The inner factors A of a word contribute as much as the outermost ones: pulled out one by one, each by its smallest eigenvalue, they leave a trace that is not larger.",
        correction: "The step with the outermost factors holds; the second uses Lemma C.1 with a matrix that is not symmetric, and is false.",
        assumptions: "positive semidefinite curvatures",
        refuted_by: "",
        expected: Verdict::Refuted,
        constant: 1.0,
        wrong_constant: Some(0.0),
        check: |_, factor| {
            let words = Words::load("eq39")?;
            let after_first = words.after_first_step();
            // The smallest eigenvalue of A is at least 1, so the claimed bound is at least this.
            let after_second = of_f64(factor) * words.square(&[0, 1], false);
            Ok(Judgement::new(
                Verdict::holds_if(after_first >= after_second),
                format!(
                    "three integer samples in two dimensions (those of (39)): after the first step the trace is {after_first}, after the second at least {after_second}, though it should not have grown"
                ),
            ))
        },
    },
    Claim {
        ids: &["eq39"],
        statement: "The trace of every word of SAM is at least (1 + (rho/alpha) lambda_min)^(2k) times that of SGD.",
        correction: "True of words that repeat one sample; false in general, for two samples as well.",
        assumptions: "positive semidefinite curvatures",
        refuted_by: "",
        expected: Verdict::Refuted,
        constant: 1.0,
        wrong_constant: Some(0.0),
        check: every_word,
    },
];

fn every_word(setting: &Setting<'_>, factor: f64) -> Result<Judgement> {
    let words = Words::load("eq39")?;
    let (sam, sgd) = (words.square(&[0, 1], true), words.square(&[0, 1], false));
    words.example.confirm("sam", &sam)?;
    words.example.confirm("sgd", &sgd)?;
    let two = Words::load("eq39-two-samples")?;
    let word = two.listed_word()?;
    let (sam_of_two, sgd_of_two) = (two.square(&word, true), two.square(&word, false));
    two.example.confirm("sgd", &sgd_of_two)?;
    let ratio = to_f64(&(&sam_of_two / &sgd_of_two));
    two.example.confirm_near("sam_over_sgd", ratio)?;
    // A >= I, so that the printed bound is at least the trace of SGD.
    let broken = sam < of_f64(factor) * &sgd && sam_of_two < of_f64(factor) * &sgd_of_two;
    let repeated = smallest(setting.key, setting.budget(), |x| {
        let one = |k: usize| ratio_of_repeated_word(x, k);
        one(2).min(one(3))
    });
    require("eq39", "the bound for words that repeat one sample", repeated.is_unbroken(), repeated)?;
    // The smallest eigenvalue of A in the first example.
    let smallest = 0.5 * (31.0 - 593.0_f64.sqrt());
    Ok(Judgement::new(
        Verdict::holds_if(!broken),
        format!(
            "in fractions: n = 3, d = 2, k = 2, rho/alpha = 3: SAM has trace {sam}, SGD {sgd}, times {smallest:.10}^4 that is {:.7}; n = 2, d = 4, k = 5: SAM over SGD {ratio:.9}, without any factor; one sample repeated twice or three times, SAM over the bound: {repeated}",
            2.0 * smallest.powi(4)
        ),
    ))
}

/// `|(A H_1)^k|_F^2` over `a_min^(2k) |H_1^k|_F^2`.
fn ratio_of_repeated_word(x: &Instance, k: usize) -> f64 {
    let power = |with: bool| {
        let factor = if with { &x.ascent * &x.hessians[0] } else { x.hessians[0].clone() };
        super::instance::matrix_power(&factor, k).squared_norm_l2()
    };
    power(true) / (x.min_ascent().powi(i32::try_from(2 * k).unwrap_or(2)) * power(false))
}

/// The ensemble of a counterexample to (39), in fractions.
struct Words {
    example: Counterexample,
    hessians: Vec<Matrix>,
    ascent: Matrix,
}

impl Words {
    fn load(name: &str) -> Result<Self> {
        let example = Counterexample::load(name)?;
        let hessians = example.hessians()?;
        let mean = super::rational::mean(&hessians);
        let ascent = &Matrix::identity(mean.dim()) + &mean.scaled(&example.number("ratio")?);
        Ok(Self { example, hessians, ascent })
    }

    /// The samples of the listed word, in the order in which they act.
    fn listed_word(&self) -> Result<Vec<usize>> {
        (1..=5).map(|at| Ok(count(&self.example.number(&format!("factor_{at}"))?))).collect()
    }

    /// `|A H_{y_k} .. A H_{y_1}|_F^2`, or without A: the trace of the word.
    fn square(&self, word: &[usize], with_ascent: bool) -> BigRational {
        let product = word.iter().fold(Matrix::identity(self.ascent.dim()), |product, &sample| {
            let next = &self.hessians[sample] * &product;
            if with_ascent { &self.ascent * &next } else { next }
        });
        product.squared_norm()
    }

    /// `tr(H_2 A H_1^2 A H_2)`, without the outermost factors.
    fn after_first_step(&self) -> BigRational {
        let (first, second) = (&self.hessians[0], &self.hessians[1]);
        (&(second * &self.ascent) * first).squared_norm()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rational::integer;
    use super::*;

    #[test]
    fn the_trace_of_a_word_is_its_squared_norm() {
        let words = Words::load("eq39").expect("readable");
        let (a, first, second) = (&words.ascent, &words.hessians[0], &words.hessians[1]);
        let half = &(&(a * second) * a) * first;
        let other = &(&(first * a) * second) * a;
        assert_eq!(words.square(&[0, 1], true), (&half * &other).trace());
        assert_ne!(
            words.square(&[0, 1], true),
            words.square(&[0, 2], true),
            "negative control: another word"
        );
        assert_eq!(words.square(&[0, 0], false), integer(16), "|H_1^2|_F^2 with H_1^2 = 2 H_1");
    }
}
