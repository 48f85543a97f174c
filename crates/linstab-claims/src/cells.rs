//! The cells: one claim each.

use super::ID;
use super::claim::{Claim, Judgement, Setting};
use super::config::Config;
use super::evidence::Runs;
use super::ledger::ledger;
use crate::Result;
use linstab_driver::checkpoint::Identity;
use linstab_driver::engine::Cells;
use linstab_driver::streams::StreamKey;

/// All claims, to be judged.
#[derive(Clone, Debug)]
pub struct ClaimCells<'a> {
    config: &'a Config,
    runs: &'a Runs,
    identity: Identity,
    claims: Vec<&'static Claim>,
}

impl<'a> ClaimCells<'a> {
    /// The ledger with the runs that its empirical claims are judged on; `program` is the digest of the program.
    pub fn new(config: &'a Config, runs: &'a Runs, program: &str) -> Self {
        // The runs are a function of configurations, which the digest covers.
        let identity = Identity::new(program, &[ID, &format!("{config:?}"), &runs.settings]);
        Self { config, runs, identity, claims: ledger() }
    }

    /// The claims in order.
    pub fn claims(&self) -> &[&'static Claim] {
        &self.claims
    }

    /// Judges a claim with some value of its constant.
    ///
    /// # Errors
    /// Whatever its evidence cannot be computed for.
    pub fn judge(&self, claim: &Claim, constant: f64) -> Result<Judgement> {
        let key = StreamKey::new(self.config.seed, ID).text(claim.id());
        (claim.check)(&Setting { config: self.config, key, runs: self.runs }, constant)
    }
}

impl Cells for ClaimCells<'_> {
    type Error = crate::ClaimError;
    type Output = Judgement;

    fn experiment(&self) -> &'static str {
        ID
    }

    fn num_cells(&self) -> usize {
        self.claims.len()
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn compute(&self, index: usize) -> Result<Judgement> {
        let claim = self.claims[index];
        self.judge(claim, claim.constant)
    }
}
