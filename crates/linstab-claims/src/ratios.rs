//! How far above the exact threshold each criterion for divergence lies, on random ensembles.

use super::ID;
use super::config::Config;
use super::instance::{Instance, Shape};
use crate::Result;
use linstab_driver::checkpoint::Identity;
use linstab_driver::engine::Cells;
use linstab_driver::streams::StreamKey;

/// The criteria, each as a learning rate above which SAM diverges; the first four are joined by the gradient-descent limit.
pub const CRITERIA: [&str; 5] = [
    "Theorem C.8, part 4",
    "Dexter et al. on the transformed ensemble",
    "sharpest transformed sample",
    "Rayleigh quotient",
    "Theorem C.8, part 4, alone",
];

/// `eta_criterion / eta*`, in the order of [`CRITERIA`].
pub type Ratios = [f64; CRITERIA.len()];

const CELLS: usize = 40;

/// The random ensembles, in some forty cells.
#[derive(Clone, Debug)]
pub struct RatioCells {
    key: StreamKey,
    num_each: usize,
    identity: Identity,
}

impl RatioCells {
    /// The ensembles of a configuration; `program` is the digest of the program.
    pub fn new(config: &Config, program: &str) -> Self {
        let key = StreamKey::new(config.seed, ID).text("ratios");
        let identity = Identity::new(program, &["claims-ratios", &format!("{config:?}")]);
        Self { key, num_each: config.sizes.num_ratios.div_ceil(CELLS), identity }
    }
}

impl Cells for RatioCells {
    type Error = crate::ClaimError;
    type Output = Vec<Ratios>;

    fn experiment(&self) -> &'static str {
        "claims: ratios"
    }

    fn num_cells(&self) -> usize {
        CELLS
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn compute(&self, index: usize) -> Result<Vec<Ratios>> {
        let of = |at: usize| {
            let mut rng = self.key.number((index * self.num_each + at) as u64).generator();
            let shape = Shape::random(&mut rng);
            Instance::new(shape, &shape.random_parameters(&mut rng)).map(|instance| ratios(&instance))
        };
        Ok((0..self.num_each).filter_map(of).filter(|ratios| ratios.iter().all(|x| x.is_finite())).collect())
    }
}

/// The ratios of one ensemble.
pub(super) fn ratios(instance: &Instance) -> Ratios {
    let (exact, limit) = (instance.max_learning_rate(), instance.gradient_descent_limit());
    let alone = instance.divergence_criterion();
    let joined =
        [alone, instance.transformed_criterion(), instance.sample_criterion(), instance.rayleigh_criterion()];
    let [a, b, c, d] = joined.map(|rate| rate.min(limit) / exact);
    [a, b, c, d, alone / exact]
}
