//! Work without the interpreter's lock, on worker threads, stopped by Ctrl-C.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use linstab_analysis::observer::{Observer, Progress};
use linstab_analysis::{AnalysisError, Interrupt};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::errors::exception;

/// How long Ctrl-C may wait, and how often progress is told.
const INTERVAL: Duration = Duration::from_millis(50);

/// How a call is run.
pub(crate) struct Running {
    /// Worker threads; one a core if it is not said.
    pub(crate) num_threads: Option<usize>,
    /// Called with a stage, steps done and all steps; and with a sentence before they begin.
    pub(crate) progress: Option<Py<PyAny>>,
}

/// What the thread that asked sees of the work.
#[derive(Default)]
struct Watch {
    stop: Interrupt,
    announced: Mutex<Option<String>>,
    latest: Mutex<Option<Progress>>,
}

impl Observer for Watch {
    fn announced(&self, what: &str) {
        *self.announced.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.to_owned());
    }

    fn goes_on(&self, progress: Progress) -> bool {
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
        self.stop.check().is_ok()
    }

    fn interrupt(&self) -> Interrupt {
        self.stop.clone()
    }
}

impl Watch {
    /// Lets Python handle its signals, and tells what is new.
    fn look(&self, progress: Option<&Py<PyAny>>) -> PyResult<()> {
        Python::attach(|py| {
            py.check_signals()?;
            let Some(progress) = progress else { return Ok(()) };
            let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(what) = announced {
                progress.call1(py, (what, 0, 0))?;
            }
            let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(Progress { stage, done, total }) = latest {
                progress.call1(py, (stage.name(), done, total))?;
            }
            Ok(())
        })
    }
}

/// Runs the work on worker threads and waits for it, with the interpreter's lock released.
pub(crate) fn run<T: Send>(
    py: Python<'_>,
    running: &Running,
    work: impl FnOnce(&dyn Observer) -> Result<T, AnalysisError> + Send,
) -> PyResult<T> {
    let pool = pool(running.num_threads)?;
    let watch = Watch::default();
    let outcome = py.detach(|| {
        std::thread::scope(|scope| {
            let (sender, receiver) = channel();
            let (watch, pool) = (&watch, &pool);
            scope.spawn(move || sender.send(pool.install(|| work(watch))));
            loop {
                match receiver.recv_timeout(INTERVAL) {
                    Ok(outcome) => return Ok(outcome),
                    Err(RecvTimeoutError::Timeout) => {
                        if let Err(raised) = watch.look(running.progress.as_ref()) {
                            watch.stop.raise();
                            // Whatever it returns, what was raised is the answer.
                            let _ = receiver.recv();
                            return Err(raised);
                        }
                    }
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(PyRuntimeError::new_err("the analysis broke off: please report this"));
                    }
                }
            }
        })
    })?;
    let found = outcome.map_err(|error| exception(py, error))?;
    watch.look(running.progress.as_ref())?;
    Ok(found)
}

/// Worker threads, kept between calls; a forked process starts its own.
fn pool(num_threads: Option<usize>) -> PyResult<Arc<ThreadPool>> {
    static POOLS: Mutex<BTreeMap<(u32, usize), Arc<ThreadPool>>> = Mutex::new(BTreeMap::new());
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let key = (std::process::id(), num_threads.unwrap_or_else(cores));
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = pools.get(&key) {
        return Ok(Arc::clone(pool));
    }
    let pool = ThreadPoolBuilder::new().num_threads(key.1).build();
    let refuse = |error| PyRuntimeError::new_err(format!("cannot start {} worker threads: {error}", key.1));
    let pool = Arc::new(pool.map_err(refuse)?);
    pools.insert(key, Arc::clone(&pool));
    Ok(pool)
}
