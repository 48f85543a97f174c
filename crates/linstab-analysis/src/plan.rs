//! What an analysis will take, said before it starts, and the product of the factors.

use linstab_linalg::{GramAccumulator, GramPlan, Mat};

use crate::files::{Block, Decode, FactorFile};
use crate::{AnalysisError, Result, units};

/// Products of at most so many multiplications are made in double precision whatever the file holds: they take no second.
const CHEAP: f64 = 2e10;

/// Matrices of the order of the factors that the analysis after the product holds at a time.
const ANALYSIS_MATRICES: u64 = 8;

/// What reading a file and analysing it will take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// Columns that are read at a time, and the memory of the product.
    pub gram: GramPlan,
    /// Bytes of the file that are read.
    pub bytes_read: u64,
    /// Largest amount of memory at a time: the product's or the analysis's.
    pub memory: u64,
    /// Seconds of one core, to an order of magnitude: reading, the product, the analysis of one batch size.
    pub seconds: f64,
    /// Whether products are summed in double precision.
    pub double: bool,
}

impl Plan {
    /// The plan for a file.
    ///
    /// # Errors
    /// [`AnalysisError::Memory`] if the Gram matrix of the factors, or what the analysis makes of it, does not fit.
    pub fn new(file: &FactorFile, memory_limit: usize) -> Result<Self> {
        let (rows, columns) = (file.num_rows(), file.num_parameters());
        let kind = file.tensor().data_type().kind;
        let multiplications = (rows as f64).powi(2) * columns as f64;
        let double = kind.size() == 8 || multiplications <= CHEAP;
        let entry = if double { 8 } else { 4 };
        let analysis = ANALYSIS_MATRICES.saturating_mul(8).saturating_mul((rows as u64).saturating_pow(2));
        let too_large = |needed: u64| AnalysisError::Memory {
            what: format!("inner products of {rows} factors and their analysis"),
            needed: units::bytes(needed),
            limit: units::bytes(memory_limit as u64),
        };
        if analysis > memory_limit as u64 {
            return Err(too_large(analysis));
        }
        // Two blocks at a time, so an entry counts twice.
        let gram = GramPlan::new(rows, columns, 2 * entry, memory_limit).map_err(|error| match error {
            linstab_linalg::LinalgError::MemoryLimit { needed, .. } => too_large(needed as u64),
            other => other.into(),
        })?;
        let bytes_read = (rows as u64).saturating_mul(columns as u64).saturating_mul(kind.size() as u64);
        let rate = if double { 3e10 } else { 8e10 };
        let order = rows as f64;
        let seconds = bytes_read as f64 / 1e9 + multiplications / rate + 2e-9 * order.powi(3) + 1e-3;
        Ok(Self { gram, bytes_read, memory: analysis.max(gram.num_bytes as u64), seconds, double })
    }

    /// The plan in a sentence.
    pub fn announcement(&self, file: &FactorFile) -> String {
        let factors = match file.num_factors() {
            1 => String::new(),
            k => format!(", {k} factors each"),
        };
        let seconds = match self.seconds {
            short if short < 1.0 => "less than a second".to_owned(),
            long if long < 90.0 => format!("some {long:.0} s"),
            long => format!("some {:.0} min", long / 60.0),
        };
        format!(
            "{} samples{factors}, {} parameters: reading {} in blocks of {} columns, up to {} of memory, {seconds}",
            file.num_samples(),
            file.num_parameters(),
            units::bytes(self.bytes_read),
            self.gram.block_columns,
            units::bytes(self.memory),
        )
    }

    /// Reads the factors and multiplies them: their Gram matrix, times `scale`.
    ///
    /// # Errors
    /// [`AnalysisError::Io`], [`AnalysisError::NonFinite`].
    pub fn gram(&self, file: &mut FactorFile, scale: f64) -> Result<Mat<f64>> {
        let mut gram = if self.double { self.sum::<f64>(file)? } else { self.sum::<f32>(file)? };
        if scale.to_bits() != 1.0_f64.to_bits() {
            for j in 0..gram.ncols() {
                gram.col_as_slice_mut(j).iter_mut().for_each(|entry| *entry *= scale);
            }
        }
        Ok(gram)
    }

    /// Two blocks: while one is multiplied, the next is read.
    fn sum<T: Decode>(&self, file: &mut FactorFile) -> Result<Mat<f64>> {
        let mut gram = GramAccumulator::new(file.num_rows())?;
        let (num_columns, width) = (file.num_parameters(), self.gram.block_columns);
        let mut blocks =
            (0..num_columns).step_by(width.max(1)).map(|start| start..num_columns.min(start + width));
        let (mut current, mut next) = (Block::<T>::default(), Block::<T>::default());
        file.read_block(blocks.next().unwrap_or_default(), &mut current)?;
        for following in blocks {
            let (added, read) =
                rayon::join(|| gram.add(current.view()), || file.read_block(following, &mut next));
            added?;
            read?;
            std::mem::swap(&mut current, &mut next);
        }
        gram.add(current.view())?;
        Ok(gram.finish())
    }
}
