//! Every analysis on random and degenerate ensembles, against the slow twins: enumeration of all batches, Kronecker matrices, definitions.

mod averages;
mod coherence;
mod literal;
mod shapes;
mod thresholds;

use rayon::prelude::*;

use crate::panics::caught;
use crate::parts::{Effort, Line};
use crate::random::Random;
use shapes::Subject;

/// An analysis, held against its twin.
struct Check {
    name: &'static str,
    /// `Ok(false)` if it has nothing to say of this ensemble.
    run: fn(&Subject, &mut Random) -> Verdict,
}

type Verdict = Result<bool, String>;

const CHECKS: &[Check] = &[
    Check { name: "mean-square thresholds and growth", run: thresholds::crossing },
    Check { name: "mean-square thresholds in other units", run: thresholds::in_other_units },
    Check { name: "smallest stable batches", run: thresholds::smallest_batch },
    Check { name: "necessary conditions and responsible samples", run: thresholds::bounds },
    Check { name: "ascent on the mini-batch", run: literal::batch_ascent },
    Check { name: "epochs", run: literal::epochs },
    Check { name: "noise floors", run: averages::noise_floor },
    Check { name: "growth and exponents along axes", run: averages::along_axes },
    Check { name: "simulation", run: averages::simulation },
    Check { name: "coherence", run: coherence::measure },
    Check { name: "reports", run: coherence::report },
];

pub(crate) fn run(effort: Effort<'_>) -> Vec<Line> {
    let wanted = CHECKS.iter().filter(|check| effort.wants(&what(check)));
    wanted.map(|check| line(check, effort)).collect()
}

fn what(check: &Check) -> String {
    format!("ensembles: {}", check.name)
}

/// A negative control: checks whose twins are given another ensemble must find out. A report is held against itself alone.
pub(crate) fn controls() -> Vec<Line> {
    let misled = |check: &Check| {
        let verdicts = (0..40).map(|index| {
            let mut random = Random::of(0, index);
            let mut subject = Subject::draw(&mut random);
            subject.mislead();
            (check.run)(&subject, &mut random)
        });
        let found = verdicts.filter(Result::is_err).count();
        let failures =
            if found == 0 { vec!["another ensemble is not found out".to_owned()] } else { Vec::new() };
        let detail = format!("{found} found out, where the first sample differs");
        Line { what: format!("control of {}", check.name), count: 40, failures, detail }
    };
    CHECKS.iter().filter(|check| check.name != "reports").map(misled).collect()
}

fn line(check: &Check, effort: Effort<'_>) -> Line {
    let verdicts: Vec<(u64, Verdict)> = (0..effort.count)
        .into_par_iter()
        .filter(|_| effort.goes_on())
        .map(|index| {
            let mut random = Random::of(effort.seed, index);
            let subject = Subject::draw(&mut random);
            let verdict = caught(|| (check.run)(&subject, &mut random));
            let named = |problem: String| format!("ensemble {index} ({}): {problem}", subject.kind);
            (index, verdict.unwrap_or_else(|panic| Err(format!("panics: {panic}"))).map_err(named))
        })
        .collect();
    let compared = verdicts.iter().filter(|verdict| verdict.1 == Ok(true)).count();
    Line {
        what: what(check),
        count: verdicts.len() as u64,
        detail: format!("{compared} compared, the others have nothing to compare"),
        failures: verdicts.into_iter().filter_map(|verdict| verdict.1.err()).collect(),
    }
}

/// Whether two numbers are the same to a relative error.
fn close(found: f64, expected: f64, rtol: f64) -> bool {
    found.to_bits() == expected.to_bits() || (found - expected).abs() <= rtol * expected.abs()
}

/// An error unless two numbers are the same to a relative error.
fn hold(what: &str, found: f64, expected: f64, rtol: f64) -> Result<(), String> {
    if close(found, expected, rtol) {
        Ok(())
    } else {
        Err(format!("{what} is {found:e}, by the definition {expected:e}"))
    }
}
