//! What a claim is: data plus one function.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::evidence::Runs;
use super::search::{Budget, Found};
use crate::{ClaimError, Result};
use linstab_driver::streams::StreamKey;

/// What becomes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// True as stated.
    Holds,
    /// False or meaningless as printed, true as corrected.
    HoldsAfterCorrection,
    /// Printed as an equality or a typical value; only a bound to one side is true.
    BoundOnly,
    /// False.
    Refuted,
    /// An empirical claim that our own runs bear out.
    Supported,
    /// An empirical claim that our own runs do not bear out.
    NotSupported,
}

impl Verdict {
    /// All verdicts, in the order of tables and figures.
    pub const ALL: [Self; 6] = [
        Self::Holds,
        Self::HoldsAfterCorrection,
        Self::BoundOnly,
        Self::Refuted,
        Self::Supported,
        Self::NotSupported,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::HoldsAfterCorrection => "holds-after-correction",
            Self::BoundOnly => "bound-only",
            Self::Refuted => "refuted",
            Self::Supported => "supported",
            Self::NotSupported => "not-supported",
        }
    }

    /// `Holds` if so, else `Refuted`.
    pub(super) fn holds_if(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Refuted }
    }

    /// The verdict on a printed statement and its correction.
    pub(super) fn corrected(printed: bool, corrected: bool) -> Self {
        match (printed, corrected) {
            (true, _) => Self::Holds,
            (false, true) => Self::HoldsAfterCorrection,
            (false, false) => Self::Refuted,
        }
    }

    /// The verdict on an equality of which one side is a bound.
    pub(super) fn bounded(equality: bool, bound: bool) -> Self {
        match (equality, bound) {
            (_, false) => Self::Refuted,
            (true, true) => Self::Holds,
            (false, true) => Self::BoundOnly,
        }
    }

    /// `Supported` if so, else `NotSupported`.
    pub(super) fn supported_if(supported: bool) -> Self {
        if supported { Self::Supported } else { Self::NotSupported }
    }
}

/// A claim of the paper (or about its criteria), in our words.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The paper's numbers for it: the statement occurs under each of them.
    pub ids: &'static [&'static str],
    /// What is claimed.
    pub statement: &'static str,
    /// What is true instead or in addition; empty where nothing is to be said.
    pub correction: &'static str,
    /// Under which assumptions it is judged.
    pub assumptions: &'static str,
    /// What would overturn the verdict.
    pub refuted_by: &'static str,
    /// The verdict that is expected.
    pub expected: Verdict,
    /// A constant of the statement, for [`Claim::check`].
    pub constant: f64,
    /// A wrong constant, with which the verdict must be another one: the negative control.
    pub wrong_constant: Option<f64>,
    /// Recomputes the verdict for a value of the constant.
    pub check: fn(&Setting<'_>, f64) -> Result<Judgement>,
}

impl Claim {
    /// The first of its numbers: what its random streams are named after.
    pub fn id(&self) -> &'static str {
        self.ids[0]
    }
}

/// What a claim's function is given.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    pub(super) config: &'a Config,
    pub(super) key: StreamKey,
    pub(super) runs: &'a Runs,
}

impl Setting<'_> {
    /// How long a search may run.
    pub(super) fn budget(&self) -> Budget {
        self.config.budget()
    }
}

/// A recomputed verdict and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Instances, sizes, slack, or the counterexample.
    pub evidence: String,
}

/// Fails if what a claim says besides its verdict, such as the correction of a refuted statement, is not true.
pub(super) fn require(id: &str, what: &str, holds: bool, evidence: impl fmt::Display) -> Result<()> {
    if holds {
        return Ok(());
    }
    let problem = format!("{what} does not hold: {evidence}");
    Err(ClaimError::Claim { id: id.to_owned(), problem })
}

impl Judgement {
    /// A verdict with its evidence.
    pub(super) fn new(verdict: Verdict, evidence: impl Into<String>) -> Self {
        Self { verdict, evidence: evidence.into() }
    }

    /// The verdict of a search for a slack below 1.
    pub(super) fn of_search(found: &Found) -> Self {
        Self::new(Verdict::holds_if(found.is_unbroken()), found.to_string())
    }

    /// The same with more to say.
    #[must_use]
    pub(super) fn and(mut self, evidence: impl AsRef<str>) -> Self {
        self.evidence = format!("{}; {}", self.evidence, evidence.as_ref());
        self
    }
}
