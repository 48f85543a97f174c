//! What an analysis will take, said before it starts, and the product of the factors.

use linstab_dynamics::Optimizer;
use linstab_linalg::{GramAccumulator, GramPlan, LinalgError, Mat};

use crate::files::{Block, FactorFile, InnerProducts};
use crate::observer::{Observer, Stage, advance};
use crate::range::{largest_square, require_in_range};
use crate::{AnalysisError, Grams, Loader, Request, Result, units};

/// Matrices of the order of the factors that thresholds and growths hold at a time, at most: their inner products, the factors in the
/// eigenbasis, and what a solver keeps and works on (`mean_square/subspace.rs`); with what does not grow.
const MATRICES: (u64, u64) = (8, 544 << 20);
/// The same with what the allocator keeps of blocks that were freed, as it does below 32 MiB each: of up to 2900 factors, and of few, for
/// which a solver keeps more. Measured at 300 to 2000.
const MATRICES_OF_MANY: (u64, u64) = (15, 96 << 20);
const MATRICES_OF_FEW: (u64, u64) = (24, 0);

/// Besides: the factors that SAM sees, conjugate gradients for a perturbation, a second ensemble with its solver, inner products
/// and projections of all factors, sampled orders.
const FOR_ASCENT: u64 = 1;
const FOR_PERTURBATION: u64 = 3;
const FOR_PRECONDITIONER: u64 = 6;
const FOR_DIAGNOSTICS: u64 = 2;
const FOR_ESTIMATES: u64 = 7;

/// The program itself, measured.
const PROGRAM: u64 = 8 << 20;

fn analysis_bytes(rows: usize, work: Work) -> u64 {
    let square = (rows as u64).saturating_pow(2).saturating_mul(8);
    let bytes = |(matrices, apart): (u64, u64)| {
        square.saturating_mul(matrices + work.more_matrices).saturating_add(apart)
    };
    let least = bytes(MATRICES_OF_FEW).min(bytes(MATRICES_OF_MANY)).min(bytes(MATRICES));
    least.saturating_add(PROGRAM)
}

/// Squared lengths of factors within which products neither overflow nor lose digits.
const SQUARES: std::ops::RangeInclusive<f64> = 1e-280..=1e280;

/// Multiplications a second of one core, from below.
const RATE: f64 = 4e10;

/// What is to be made of the product, as far as it takes time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Thresholds, one for each optimizer and batch size; and growths at a learning rate, which take as long.
    pub num_thresholds: usize,
    /// Lyapunov exponents.
    pub num_exponents: usize,
    /// Thresholds estimated from sampled orders.
    pub num_estimates: usize,
    /// Matrices of the order of the factors that are held besides those of plain thresholds.
    pub more_matrices: u64,
}

/// What reading a file and analysing it will take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Columns that are read at a time, and the memory of the product.
    pub gram: GramPlan,
    /// Bytes of the file that are read.
    pub bytes_read: u64,
    /// Largest amount of memory at a time: what is held of a stream, and the product's or the analysis's.
    pub memory: u64,
    /// Seconds on two cores, at least and at most: reading, the product, the analysis. Thresholds of a spectrum that decays, as those
    /// of gradients do, take the fewest, those of a flat one the most.
    pub seconds: [f64; 2],
}

/// Inner products that have been formed.
#[derive(Clone, Debug)]
pub struct FormedGrams {
    plain: Mat<f64>,
    preconditioned: Option<Mat<f64>>,
}

impl FormedGrams {
    /// Inner products that came as such, times a scale.
    pub fn of(products: InnerProducts, scale: f64) -> Self {
        let mut plain = products.matrix;
        for j in 0..plain.ncols() {
            plain.col_as_slice_mut(j).iter_mut().for_each(|entry| *entry *= scale);
        }
        Self { plain, preconditioned: None }
    }

    /// What an analysis takes.
    pub fn view(&self) -> Grams<'_> {
        Grams { plain: self.plain.as_ref(), preconditioned: self.preconditioned.as_ref().map(Mat::as_ref) }
    }
}

impl Plan {
    /// The plan for a file.
    ///
    /// # Errors
    /// [`AnalysisError::Memory`] if what is held of the file, the Gram matrix of the factors and what the analysis makes of it do not fit.
    pub fn new(file: &FactorFile<'_>, work: Work, memory_limit: usize) -> Result<Self> {
        let (rows, columns) = (file.num_rows(), file.num_parameters());
        let kind = file.tensor().data_type().kind;
        let multiplications = (rows as f64).powi(2) * columns as f64;
        // Two blocks in double precision at a time.
        let entry = 16;
        let held = file.tensor().held_bytes();
        let analysis = analysis_bytes(rows, work);
        // The plan for no memory at all says what the product needs at least.
        let product = match GramPlan::new(rows, columns, entry, 0) {
            Err(LinalgError::MemoryLimit { needed, .. }) => needed as u64,
            Err(other) => return Err(other.into()),
            Ok(_) => 0,
        };
        let needed = held.saturating_add(product.max(analysis));
        let limit = memory_limit as u64;
        if needed > limit {
            let what = format!("the analysis of {rows} factors of {columns} parameters");
            return Err(AnalysisError::Memory { what, needed, limit });
        }
        let rest = usize::try_from(limit - held).unwrap_or(usize::MAX);
        let gram = GramPlan::new(rows, columns, entry, rest)?;
        let bytes_read = (rows as u64).saturating_mul(columns as u64).saturating_mul(kind.size() as u64);
        let before = bytes_read as f64 / 1e9 + multiplications / RATE + 1e-3;
        let seconds = work.seconds(rows).map(|seconds| before + seconds);
        Ok(Self { gram, bytes_read, memory: held + analysis.max(gram.num_bytes as u64), seconds })
    }

    /// Memory for inner products of so many factors that are formed already, and what becomes of them; said in a sentence.
    ///
    /// # Errors
    /// [`AnalysisError::Memory`].
    pub fn of_inner_products(rows: usize, work: Work, memory_limit: usize) -> Result<String> {
        let (needed, limit) = (analysis_bytes(rows, work), memory_limit as u64);
        if needed > limit {
            let what = format!("the analysis of inner products of {rows} factors");
            return Err(AnalysisError::Memory { what, needed, limit });
        }
        let seconds = said(work.seconds(rows));
        Ok(format!("inner products of {rows} factors: up to {} of memory, {seconds}", units::bytes(needed)))
    }

    /// The plan in a sentence.
    pub fn announcement(&self, file: &FactorFile<'_>) -> String {
        let factors = match file.num_factors() {
            1 => String::new(),
            k => format!(", {k} factors each"),
        };
        let seconds = said(self.seconds);
        format!(
            "{}{factors}, {}: reading {} in blocks of {}, up to {} of memory, {seconds}",
            units::counted(file.num_samples(), "sample"),
            units::counted(file.num_parameters(), "parameter"),
            units::bytes(self.bytes_read),
            units::counted(self.gram.block_columns, "column"),
            units::bytes(self.memory),
        )
    }

    /// The Gram matrices of the factors and, for a preconditioner, of the factors divided by its roots, times `scale`.
    ///
    /// # Errors
    /// As [`Plan::gram`].
    /// # Panics
    /// If the preconditioner has not one number a parameter.
    pub fn grams(
        &self,
        file: &mut FactorFile<'_>,
        scale: f64,
        preconditioner: Option<&[f64]>,
        observer: &dyn Observer,
    ) -> Result<FormedGrams> {
        let plain = self.gram(file, scale, observer)?;
        let Some(preconditioner) = preconditioner else {
            return Ok(FormedGrams { plain, preconditioned: None });
        };
        file.precondition(Some(preconditioner));
        let preconditioned = self.gram(file, scale, observer);
        file.precondition(None);
        Ok(FormedGrams { plain, preconditioned: Some(preconditioned?) })
    }

    /// Reads the factors and multiplies them: their Gram matrix, times `scale`.
    ///
    /// # Errors
    /// [`AnalysisError::Io`], [`AnalysisError::NonFinite`]; [`AnalysisError::OutOfRange`] if products of factors that are not zero
    /// leave the range of numbers, or do so times `scale`.
    pub fn gram(&self, file: &mut FactorFile<'_>, scale: f64, observer: &dyn Observer) -> Result<Mat<f64>> {
        let mut gram = self.sum(file, observer)?;
        let largest = largest_square(gram.as_ref());
        if !SQUARES.contains(&largest) && (file.has_nonzero() || largest.is_nan()) {
            let what = "the largest squared length of a factor";
            let value =
                if largest > 0.0 { format!("{largest:e}") } else { "too small for a number".to_owned() };
            let allowed = "1e-280 to 1e280, or 0 where all factors are";
            return Err(AnalysisError::OutOfRange { what, value, allowed });
        }
        require_in_range(largest, scale)?;
        if scale.to_bits() != 1.0_f64.to_bits() {
            for j in 0..gram.ncols() {
                gram.col_as_slice_mut(j).iter_mut().for_each(|entry| *entry *= scale);
            }
        }
        Ok(gram)
    }

    /// In double precision whatever the file holds: sums in single precision err in one direction where entries are equal or coarse,
    /// and their rounding would pass for curvature in directions that have none. Two blocks: while one is multiplied, the next is read.
    fn sum(&self, file: &mut FactorFile<'_>, observer: &dyn Observer) -> Result<Mat<f64>> {
        let mut gram = GramAccumulator::new(file.num_rows())?;
        let (num_columns, width) = (file.num_parameters(), self.gram.block_columns);
        let mut blocks =
            (0..num_columns).step_by(width.max(1)).map(|start| start..num_columns.min(start + width));
        let (mut current, mut next) = (Block::default(), Block::default());
        file.read_block(blocks.next().unwrap_or_default(), &mut current)?;
        let num_blocks = num_columns.div_ceil(width.max(1));
        for (done, following) in blocks.enumerate() {
            let (added, read) =
                rayon::join(|| gram.add(current.view()), || file.read_block(following, &mut next));
            added?;
            read?;
            advance(observer, Stage::Products, done + 1, num_blocks)?;
            std::mem::swap(&mut current, &mut next);
        }
        gram.add(current.view())?;
        advance(observer, Stage::Products, num_blocks, num_blocks)?;
        Ok(gram.finish())
    }
}

impl Work {
    /// What an answer to a request takes.
    pub fn of(request: &Request, num_samples: usize) -> Self {
        let lines = request.batch_sizes.len() * request.optimizers.len();
        let judged = request.learning_rate.is_some();
        let by_epochs = matches!(request.sampling, Loader::Epochs(_));
        // The smallest stable batch is found by halving.
        let halvings = if judged && !by_epochs { usize::BITS - num_samples.leading_zeros() } else { 0 };
        // The responsible samples and momentum for comparison ask for one more each, growths for about as much.
        let num_thresholds = lines * (1 + usize::from(judged && !by_epochs) + halvings as usize) + 2;
        let plain = Self::of_thresholds(num_thresholds, &request.optimizers);
        let diagnostics = if request.diagnostics { FOR_DIAGNOSTICS } else { 0 };
        let estimates = if by_epochs { FOR_ESTIMATES } else { 0 };
        Self {
            num_exponents: if request.lyapunov { lines } else { 0 },
            num_estimates: if by_epochs { lines } else { 0 },
            more_matrices: plain.more_matrices + diagnostics + estimates,
            ..plain
        }
    }

    /// What so many thresholds of some optimizers take.
    pub fn of_thresholds(num_thresholds: usize, optimizers: &[Optimizer]) -> Self {
        let where_any = |holds: fn(&Optimizer) -> bool, matrices| {
            if optimizers.iter().any(holds) { matrices } else { 0 }
        };
        let more_matrices = where_any(|optimizer| optimizer.rho_over_alpha() > 0.0, FOR_ASCENT)
            + where_any(|optimizer| optimizer.perturbation_standard_deviation() > 0.0, FOR_PERTURBATION)
            + where_any(|optimizer| optimizer.rule().preconditioned, FOR_PRECONDITIONER);
        Self { num_thresholds, more_matrices, ..Self::default() }
    }

    /// Seconds on two cores for factors of this number, at least and at most.
    fn seconds(self, rows: usize) -> [f64; 2] {
        let cube = (rows as f64).powi(3);
        [0, 1].map(|most: usize| {
            let (fixed, each) = CUBES[most];
            let random = EXPONENT_SECONDS[most] * self.num_exponents as f64
                + ESTIMATE_SECONDS[most] * self.num_estimates as f64;
            (fixed + each * self.num_thresholds as f64) * cube + random
        })
    }
}

/// In words, so that a time is neither promised nor feared.
fn said([least, most]: [f64; 2]) -> String {
    let time = |seconds: f64| match seconds {
        short if short < 1.0 => "a second".to_owned(),
        long if long < 90.0 => format!("{long:.0} s"),
        long => format!("{:.0} min", long / 60.0),
    };
    match (time(least), time(most)) {
        _ if most < 1.0 => "less than a second".to_owned(),
        (least, most) if least == most => format!("some {most}"),
        (least, most) => format!("{least} to {most}"),
    }
}

/// Seconds over the cube of the number of factors, once and for each threshold: of spectra that decay (1000 to 10 000 factors, up to
/// 22 thresholds) and of flat ones (1000 and 2000), as measured.
const CUBES: [(f64, f64); 2] = [(1.3e-10, 1e-11), (2e-10, 3e-10)];

/// An estimate takes from one to a hundred seconds: what noise decides, not sizes.
const ESTIMATE_SECONDS: [f64; 2] = [1.0, 100.0];

/// Seconds that an exponent takes, up to its budget.
const EXPONENT_SECONDS: [f64; 2] = [0.1, 2.0];
