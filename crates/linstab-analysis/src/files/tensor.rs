//! An array in a file, and factors read from it in blocks.

use std::ops::Range;
use std::path::{Path, PathBuf};

use linstab_linalg::{Mat, MatRef};

use super::bytes::Bytes;
use super::data_type::DataType;
use crate::{AnalysisError, Result};

/// An array that lies in a file, of which only the header has been read, or in the memory of a caller.
#[derive(Debug)]
pub struct Tensor<'a> {
    path: PathBuf,
    bytes: Bytes<'a>,
    start: u64,
    data_type: DataType,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl<'a> Tensor<'a> {
    /// An array that a caller holds: it is read in blocks, never copied as a whole. `name` is what errors call it.
    ///
    /// # Errors
    /// [`AnalysisError::Damaged`] if the shape needs another number of bytes.
    pub fn borrowed(
        name: &str,
        bytes: &'a [u8],
        data_type: DataType,
        fortran_order: bool,
        shape: Vec<usize>,
    ) -> Result<Self> {
        let place = 0..bytes.len() as u64;
        Self::new(Path::new(name), Bytes::borrowed(bytes), place, data_type, fortran_order, shape)
    }

    pub(super) fn new(
        path: &Path,
        bytes: Bytes<'a>,
        place: Range<u64>,
        data_type: DataType,
        fortran_order: bool,
        shape: Vec<usize>,
    ) -> Result<Self> {
        let entries = shape
            .iter()
            .try_fold(data_type.kind.size() as u64, |product, &size| product.checked_mul(size as u64));
        let found = place.end.saturating_sub(place.start);
        match entries {
            Some(expected) if expected == found => {}
            expected => {
                let expected =
                    expected.map_or_else(|| "more than there are addresses".to_owned(), |n| n.to_string());
                let word = if found == 0 { "no" } else { "another number of" };
                let problem = format!(
                    "is truncated or its header lies: {word} bytes of data: {found}, its shape {shape:?} of {} needs {expected}",
                    data_type.kind
                );
                return Err(AnalysisError::damaged(path, problem));
            }
        }
        Ok(Self { path: path.to_path_buf(), bytes, start: place.start, data_type, fortran_order, shape })
    }

    /// The type of its entries.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// Its sizes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes of its file that are held in memory: all of a stream and of an inflated member, none of a file.
    pub fn held_bytes(&self) -> u64 {
        self.bytes.held()
    }

    /// The file it lies in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The first entries, in the order of the file.
    pub(super) fn entries(&mut self, number: usize) -> Result<Vec<f64>> {
        let mut bytes = vec![0; number * self.data_type.kind.size()];
        self.bytes.read_at(self.start, &mut bytes).map_err(AnalysisError::io("read", &self.path))?;
        let mut entries = vec![0.0; number];
        self.data_type.decode_all(&bytes, &mut entries);
        match entries.iter().position(|entry| !entry.is_finite()) {
            Some(at) => Err(self.not_finite("entry", at, entries[at])),
            None => Ok(entries),
        }
    }

    fn not_finite(&self, what: &str, at: usize, value: f64) -> AnalysisError {
        AnalysisError::damaged(&self.path, format!("{what} {at} is {value}, allowed: finite numbers"))
    }

    /// All entries as the diagonal of a preconditioner: one positive number a parameter.
    ///
    /// # Errors
    /// [`AnalysisError::Unsupported`] for another shape than (num_parameters) or an entry that is not positive,
    /// [`AnalysisError::Damaged`] for one that is not finite, [`AnalysisError::Io`].
    pub fn preconditioner(mut self, num_parameters: usize) -> Result<Vec<f64>> {
        if self.shape != [num_parameters] || !self.data_type.kind.is_float() {
            let (shape, kind) = (&self.shape, self.data_type.kind);
            let problem = format!(
                "has shape {shape:?} of {kind}; a preconditioner has one floating-point number a parameter, [{num_parameters}]"
            );
            return Err(AnalysisError::unsupported(&self.path, problem));
        }
        let entries = self.entries(num_parameters)?;
        match entries.iter().position(|entry| *entry <= 0.0) {
            None => Ok(entries),
            Some(at) => {
                let problem = format!("entry {at} is {}, allowed: positive (sqrt(v) + eps)", entries[at]);
                Err(AnalysisError::unsupported(&self.path, problem))
            }
        }
    }

    /// All entries as coefficients of gradients, one a factor.
    ///
    /// # Errors
    /// [`AnalysisError::Unsupported`] for another shape than (n), with one factor a sample, or (n, k), and for integers;
    /// [`AnalysisError::Damaged`] for entries that are not finite; [`AnalysisError::Io`].
    pub fn coefficients(self, num_samples: usize, num_factors: usize) -> Result<Vec<f64>> {
        self.floats("residuals", num_samples, num_factors)
    }

    /// All entries, so many a sample, finite.
    pub(crate) fn floats(mut self, what: &str, num_samples: usize, per_sample: usize) -> Result<Vec<f64>> {
        let fits =
            self.shape == [num_samples, per_sample] || (per_sample == 1 && self.shape == [num_samples]);
        if !fits || !self.data_type.kind.is_float() {
            let (shape, kind) = (&self.shape, self.data_type.kind);
            let each = if what == "residuals" { "one a factor: " } else { "" };
            let problem = format!(
                "has shape {shape:?} of {kind}; {what} are floating-point numbers, {each}[{num_samples}, {per_sample}]"
            );
            return Err(AnalysisError::unsupported(&self.path, problem));
        }
        self.entries(num_samples * per_sample)
    }

    /// All entries as integers, as labels are.
    ///
    /// # Errors
    /// [`AnalysisError::Unsupported`] for another shape than (n) or for an entry that is no integer, [`AnalysisError::Damaged`] for one that
    /// is not finite, [`AnalysisError::Io`].
    #[expect(clippy::cast_possible_truncation, reason = "checked to be integers of moderate size")]
    pub fn labels(mut self) -> Result<Vec<i64>> {
        if self.shape.len() != 1 {
            let problem = format!("has shape {:?}; labels have one size, the number of samples", self.shape);
            return Err(AnalysisError::unsupported(&self.path, problem));
        }
        let size = self.data_type.kind.size();
        let mut bytes = vec![0; self.shape[0] * size];
        self.bytes.read_at(self.start, &mut bytes).map_err(AnalysisError::io("read", &self.path))?;
        let mut labels = Vec::with_capacity(self.shape[0]);
        for (at, entry) in bytes.chunks_exact(size).enumerate() {
            let value = self.data_type.decode(entry);
            if !value.is_finite() {
                return Err(self.not_finite("label", at, value));
            }
            if value.fract().abs() > 0.0 || value.abs() >= 9e15 {
                let problem = format!("label {at} is {value}, allowed: integers");
                return Err(AnalysisError::unsupported(&self.path, problem));
            }
            labels.push(value as i64);
        }
        Ok(labels)
    }
}

/// A block of columns (parameters) of all factors: row-major from an array in C order, column-major from one in Fortran order.
#[derive(Clone, Debug, Default)]
pub struct Block {
    entries: Vec<f64>,
    num_rows: usize,
    num_columns: usize,
    column_major: bool,
}

impl Block {
    /// The block as a matrix of all factors and its columns.
    pub fn view(&self) -> MatRef<'_, f64> {
        if self.column_major {
            MatRef::from_column_major_slice(&self.entries, self.num_rows, self.num_columns)
        } else {
            MatRef::from_row_major_slice(&self.entries, self.num_rows, self.num_columns)
        }
    }
}

/// Factors in a file: (num_samples, num_parameters) or (num_samples, num_factors, num_parameters).
#[derive(Debug)]
pub struct FactorFile<'a> {
    tensor: Tensor<'a>,
    num_samples: usize,
    num_factors: usize,
    num_parameters: usize,
    raw: Vec<u8>,
    /// What each parameter is multiplied by, if by anything.
    scales: Option<Vec<f64>>,
    /// Whether an entry was read that is not zero.
    nonzero: bool,
}

impl<'a> FactorFile<'a> {
    /// The factors in a tensor.
    ///
    /// # Errors
    /// [`AnalysisError::Unsupported`] for other numbers of dimensions, for an empty one, and for entries that are integers.
    pub fn new(tensor: Tensor<'a>) -> Result<Self> {
        let shape = &tensor.shape;
        let refuse = |problem: String| Err(AnalysisError::unsupported(&tensor.path, problem));
        let (num_samples, num_factors, num_parameters) = match shape[..] {
            [n, p] => (n, 1, p),
            [n, k, p] => (n, k, p),
            _ => {
                let allowed = "(samples, parameters) or (samples, factors, parameters)";
                return refuse(format!("has shape {shape:?}, allowed: {allowed}"));
            }
        };
        if num_samples == 0 || num_factors == 0 || num_parameters == 0 {
            return refuse(format!(
                "has shape {shape:?}: at least one sample, factor and parameter are needed"
            ));
        }
        if !tensor.data_type.kind.is_float() {
            let kind = tensor.data_type.kind;
            return refuse(format!("has entries of type {kind}, supported: f16, bf16, f32, f64"));
        }
        Ok(Self {
            num_samples,
            num_factors,
            num_parameters,
            tensor,
            raw: Vec::new(),
            scales: None,
            nonzero: false,
        })
    }

    /// From now on reads factors divided by the roots of a preconditioner, or for `None` as they are.
    ///
    /// # Panics
    /// If it has not one number a parameter.
    pub fn precondition(&mut self, preconditioner: Option<&[f64]>) {
        assert!(
            preconditioner.is_none_or(|entries| entries.len() == self.num_parameters),
            "one number a parameter"
        );
        self.scales =
            preconditioner.map(|entries| entries.iter().map(|entry| entry.sqrt().recip()).collect());
    }

    /// Number of samples.
    pub fn num_samples(&self) -> usize {
        self.num_samples
    }

    /// Number of factors a sample.
    pub fn num_factors(&self) -> usize {
        self.num_factors
    }

    /// Number of parameters.
    pub fn num_parameters(&self) -> usize {
        self.num_parameters
    }

    /// The array.
    pub fn tensor(&self) -> &Tensor<'a> {
        &self.tensor
    }

    /// Whether any entry that was read so far is other than zero.
    pub fn has_nonzero(&self) -> bool {
        self.nonzero
    }

    /// Factors in all.
    pub fn num_rows(&self) -> usize {
        self.num_samples * self.num_factors
    }

    /// Reads a block of columns (parameters) of all factors into `block`, whose memory is used again.
    ///
    /// # Errors
    /// [`AnalysisError::Io`], or [`AnalysisError::NonFinite`] for the first entry that is NaN or infinite.
    pub fn read_block(&mut self, columns: Range<usize>, block: &mut Block) -> Result<()> {
        let (rows, width, data_type) = (self.num_rows(), columns.len(), self.tensor.data_type);
        let column_major = self.tensor.fortran_order;
        block.entries.resize(rows * width, 0.0);
        (block.num_rows, block.num_columns, block.column_major) = (rows, width, column_major);
        let (n, k) = (self.num_samples, self.num_factors);
        self.raw.resize(if column_major { rows } else { width } * data_type.kind.size(), 0);
        if column_major {
            let mut in_file = vec![0.0; rows];
            for (column, target) in columns.clone().zip(block.entries.chunks_exact_mut(rows)) {
                self.read_raw(column * rows)?;
                data_type.decode_all(&self.raw, &mut in_file);
                // Entry (i, q) of a column lies at i + n q; its row is i k + q.
                for (place, &entry) in in_file.iter().enumerate() {
                    target[place % n * k + place / n] = entry;
                }
            }
        } else {
            for (row, target) in block.entries.chunks_exact_mut(width.max(1)).enumerate() {
                self.read_raw(row * self.num_parameters + columns.start)?;
                data_type.decode_all(&self.raw, target);
            }
        }
        if let Some(scales) = &self.scales {
            let of_place = |place: usize| if column_major { place / rows } else { place % width };
            for (place, entry) in block.entries.iter_mut().enumerate() {
                *entry *= scales[columns.start + of_place(place)];
            }
        }
        self.nonzero = self.nonzero || block.entries.iter().any(|entry| entry.abs() > 0.0);
        self.require_finite(columns.start, block)
    }

    fn read_raw(&mut self, entry: usize) -> Result<()> {
        let offset = self.tensor.start + entry as u64 * self.tensor.data_type.kind.size() as u64;
        let Tensor { bytes, path, .. } = &mut self.tensor;
        bytes.read_at(offset, &mut self.raw).map_err(AnalysisError::io("read", path))
    }

    fn require_finite(&self, first_column: usize, block: &Block) -> Result<()> {
        // One pass that a processor does at the speed of memory; only then the search for the first.
        if block.entries.iter().fold(true, |all, entry| all & entry.is_finite()) {
            return Ok(());
        }
        let view = block.view();
        let places = (0..view.nrows()).flat_map(|row| (0..view.ncols()).map(move |column| (row, column)));
        match places.into_iter().find(|&(row, column)| !view[(row, column)].is_finite()) {
            None => Ok(()),
            Some((row, column)) => Err(AnalysisError::NonFinite {
                path: self.tensor.path.clone(),
                sample: row / self.num_factors,
                factor: row % self.num_factors,
                parameter: first_column + column,
                value: view[(row, column)],
            }),
        }
    }

    /// All factors as a matrix in `f64`, for small files and for tests.
    ///
    /// # Errors
    /// As [`FactorFile::read_block`].
    pub fn read_all(&mut self) -> Result<Mat<f64>> {
        let mut block = Block::default();
        self.read_block(0..self.num_parameters, &mut block)?;
        Ok(block.view().to_owned())
    }
}
