//! What Python hands over: arrays without copies, requests as dictionaries.

use std::path::PathBuf;

use linstab_analysis::files::{self, DataType, Kind, Tensor};
use linstab_analysis::{AnalysisError, LastBatch, Loader, Loss, Optimizer, Request, Source, units};
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;

use crate::errors::exception;
use crate::run::Running;

/// An array: a file, or the bytes of one that Python holds.
#[derive(FromPyObject)]
pub(crate) enum Array<'py> {
    File {
        #[pyo3(item)]
        path: PathBuf,
        #[pyo3(item)]
        tensor: Option<String>,
        #[pyo3(item)]
        usual: String,
    },
    Memory {
        #[pyo3(item)]
        bytes: PyReadonlyArray1<'py, u8>,
        #[pyo3(item)]
        kind: String,
        #[pyo3(item)]
        big_endian: bool,
        #[pyo3(item)]
        fortran_order: bool,
        #[pyo3(item)]
        shape: Vec<usize>,
        #[pyo3(item)]
        name: String,
    },
}

impl Array<'_> {
    /// The array, of which nothing has been read yet.
    pub(crate) fn tensor(&self, memory_limit: usize) -> Result<Tensor<'_>, AnalysisError> {
        match self {
            Self::File { path, tensor, usual } => files::open(path, tensor.as_deref(), usual, memory_limit),
            Self::Memory { bytes, kind, big_endian, fortran_order, shape, name } => {
                let refuse = |value: &str, allowed: &str| AnalysisError::Option {
                    name: name.clone(),
                    value: value.to_owned(),
                    allowed: allowed.to_owned(),
                };
                let bytes = bytes.as_slice().map_err(|_| refuse("in pieces", "contiguous bytes"))?;
                let kind = kind_of(kind).ok_or_else(|| refuse(kind, "f16, bf16, f32, f64, or integers"))?;
                let data_type = DataType { kind, big_endian: *big_endian };
                Tensor::borrowed(name, bytes, data_type, *fortran_order, shape.clone())
            }
        }
    }
}

fn kind_of(name: &str) -> Option<Kind> {
    Some(match name {
        "f16" => Kind::F16,
        "bf16" => Kind::Bf16,
        "f32" => Kind::F32,
        "f64" => Kind::F64,
        _ => {
            let (sign, bits) = name.split_at_checked(1)?;
            let size = bits.parse::<u8>().ok().filter(|bits| [8, 16, 32, 64].contains(bits))? / 8;
            match sign {
                "i" => Kind::Signed(size),
                "u" => Kind::Unsigned(size),
                _ => return None,
            }
        }
    })
}

/// What an analysis starts from.
#[derive(FromPyObject)]
pub(crate) struct SourceArguments<'py> {
    #[pyo3(item)]
    array: Array<'py>,
    /// Whether these are inner products.
    #[pyo3(item)]
    is_gram: bool,
    #[pyo3(item)]
    num_factors: Option<usize>,
    #[pyo3(item)]
    preconditioner: Option<Array<'py>>,
    #[pyo3(item)]
    memory_limit: String,
    #[pyo3(item)]
    threads: Option<usize>,
    #[pyo3(item)]
    progress: Option<Py<PyAny>>,
}

/// What an analysis starts from, opened.
pub(crate) struct Opened<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) preconditioner: Option<Vec<f64>>,
    pub(crate) memory_limit: usize,
}

impl SourceArguments<'_> {
    pub(crate) fn open(&self) -> Result<Opened<'_>, AnalysisError> {
        let memory_limit =
            units::parse_bytes(&self.memory_limit).map_err(|allowed| AnalysisError::Option {
                name: "memory_limit".to_owned(),
                value: self.memory_limit.clone(),
                allowed,
            })?;
        let tensor = self.array.tensor(memory_limit)?;
        let source = if self.is_gram {
            Source::gram(tensor, self.num_factors, memory_limit)?
        } else {
            Source::factors(tensor)?
        };
        let preconditioner = match &self.preconditioner {
            Some(array) => Some(source.preconditioner(array.tensor(memory_limit)?)?),
            None => None,
        };
        Ok(Opened { source, preconditioner, memory_limit })
    }

    pub(crate) fn running(&self, py: Python<'_>) -> PyResult<Running> {
        const MOST: usize = 1024;
        if let Some(threads) = self.threads.filter(|threads| !(1..=MOST).contains(threads)) {
            let allowed = format!("1 to {MOST}");
            let error =
                AnalysisError::Option { name: "threads".to_owned(), value: threads.to_string(), allowed };
            return Err(exception(py, error));
        }
        let progress = self.progress.as_ref().map(|progress| progress.clone_ref(py));
        Ok(Running { num_threads: self.threads, progress })
    }
}

/// A request, as `linstab.analyze` takes it.
#[derive(FromPyObject)]
pub(crate) struct RequestArguments<'py> {
    #[pyo3(item)]
    batch_sizes: Vec<usize>,
    #[pyo3(item)]
    optimizers: Vec<String>,
    #[pyo3(item)]
    sampling: String,
    #[pyo3(item)]
    last_batch: String,
    #[pyo3(item)]
    learning_rate: Option<f64>,
    #[pyo3(item)]
    lyapunov: bool,
    #[pyo3(item)]
    residuals: Option<Array<'py>>,
    #[pyo3(item)]
    loss: Option<String>,
    #[pyo3(item)]
    labels: Option<Array<'py>>,
    #[pyo3(item)]
    population: Option<usize>,
    #[pyo3(item)]
    scale: f64,
    #[pyo3(item)]
    tolerance: f64,
    #[pyo3(item)]
    diagnostics: bool,
    /// The option by which they were asked for, if they were: then they are not left out in silence.
    #[pyo3(item)]
    diagnostics_by: Option<String>,
    #[pyo3(item)]
    top: usize,
    #[pyo3(item)]
    seed: u64,
}

impl RequestArguments<'_> {
    /// The request for what was opened; no batch sizes stand for the usual ones.
    pub(crate) fn request(&self, opened: &Opened<'_>) -> Result<Request, AnalysisError> {
        let sizes = opened.source.sizes();
        let n = sizes.num_samples;
        let limit = opened.memory_limit;
        let residuals = self.residuals.as_ref().map(|array| array.tensor(limit)).transpose()?;
        let residuals = residuals.map(|tensor| tensor.coefficients(n, sizes.num_factors)).transpose()?;
        let labels = self.labels.as_ref().map(|array| array.tensor(limit)).transpose()?;
        let optimizers = self.optimizers.iter().map(|text| optimizer(text)).collect::<Result<Vec<_>, _>>()?;
        let batch_sizes = if self.batch_sizes.is_empty() {
            Request::usual_batch_sizes(self.population.unwrap_or(n))
        } else {
            Request::without_repeats(&self.batch_sizes)
        };
        let request = Request {
            batch_sizes,
            sampling: loader(&self.sampling)?,
            last_batch: last_batch(&self.last_batch)?,
            preconditioned: opened.preconditioner.is_some(),
            population: self.population,
            learning_rate: self.learning_rate,
            optimizers: Request::without_repeats(&optimizers),
            scale: self.scale,
            residuals,
            loss: self.loss.as_deref().map(loss).transpose()?,
            diagnostics: self.diagnostics,
            labels: labels.map(Tensor::labels).transpose()?,
            lyapunov: self.lyapunov,
            almost_sure: false,
            tolerance: self.tolerance,
            top: self.top,
            seed: self.seed,
        };
        request.check(n)?;
        if let Some(name) = &self.diagnostics_by {
            request.require_diagnostics(name)?;
        }
        Ok(request)
    }
}

fn optimizer(text: &str) -> Result<Optimizer, AnalysisError> {
    text.parse().map_err(|source| AnalysisError::Specification { text: text.to_owned(), source })
}

fn loss(name: &str) -> Result<Loss, AnalysisError> {
    let known = Loss::ALL.into_iter().find(|known| known.name() == name);
    known.ok_or_else(|| unknown("loss", name, &Loss::ALL.map(Loss::name)))
}

fn loader(name: &str) -> Result<Loader, AnalysisError> {
    let known = Loader::ALL.into_iter().find(|known| known.name() == name);
    known.ok_or_else(|| unknown("sampling", name, &Loader::ALL.map(Loader::name)))
}

fn last_batch(name: &str) -> Result<LastBatch, AnalysisError> {
    let known = LastBatch::ALL.into_iter().find(|known| known.name() == name);
    known.ok_or_else(|| unknown("last_batch", name, &LastBatch::ALL.map(LastBatch::name)))
}

fn unknown(option: &str, value: &str, known: &[&str]) -> AnalysisError {
    AnalysisError::Option { name: option.to_owned(), value: value.to_owned(), allowed: known.join(", ") }
}
