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
    let workers = Workers::of(running.num_threads)?;
    let watch = Watch::default();
    let outcome = py.detach(|| {
        std::thread::scope(|scope| {
            let (sender, receiver) = channel();
            let (watch, pool) = (&watch, &workers.pool);
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

/// The worker threads of a call: its own, as many as it asked for, or one a core that all calls share which do not say how many.
struct Workers {
    key: Key,
    pool: Arc<ThreadPool>,
}

/// A process and how many threads; a forked process starts its own.
type Key = (u32, Option<usize>);

/// Workers that wait for a call, and those that are shared.
static KEPT: Mutex<BTreeMap<Key, Vec<Arc<ThreadPool>>>> = Mutex::new(BTreeMap::new());

impl Workers {
    fn of(num_threads: Option<usize>) -> PyResult<Self> {
        let key = (std::process::id(), num_threads);
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.entry(key).or_default();
        let found = if num_threads.is_some() { kept.pop() } else { kept.last().cloned() };
        if let Some(pool) = found {
            return Ok(Self { key, pool });
        }
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let count = num_threads.unwrap_or_else(cores);
        let refuse = |error| PyRuntimeError::new_err(format!("cannot start {count} worker threads: {error}"));
        let pool = Arc::new(ThreadPoolBuilder::new().num_threads(count).build().map_err(refuse)?);
        if num_threads.is_none() {
            kept.push(Arc::clone(&pool));
        }
        Ok(Self { key, pool })
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if self.key.1.is_some() {
            let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
            kept.entry(self.key).or_default().push(Arc::clone(&self.pool));
        }
    }
}
