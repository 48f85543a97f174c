//! The parallel engine: independent cells, a checkpoint twice a second, results in the order of the cells.
//!
//! A cell's result depends on nothing but the cell (and the seed its work holds), so neither the number of threads nor
//! an interruption can change a bit of it, nor who computes it. A killed run loses what was done since the last checkpoint.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cell_store::{CellStore, Results};
use crate::checkpoint::Identity;
use crate::{Context, DriverError, Result};

/// Time between checkpoints: a kill loses at most this, the writing of one, and the cells under way.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);
/// Where a checkpoint is large or the file system slow, writing takes at most one part in so many of the time.
const SAVING_SHARE: u32 = 20;

/// Independent pieces of work.
pub trait Cells: Sync {
    /// What one cell yields.
    type Output: Serialize + DeserializeOwned + Send;
    /// Why a cell could not be computed.
    type Error: From<DriverError> + Send;

    /// Name of the experiment.
    fn experiment(&self) -> &'static str;

    /// Number of cells.
    fn num_cells(&self) -> usize;

    /// Everything that the results depend on, in full.
    fn identity(&self) -> Identity;

    /// Computes one cell. Must depend on nothing but `self` and `index`.
    ///
    /// # Errors
    /// Anything that makes the cell uncomputable; it stops the run.
    fn compute(&self, index: usize) -> std::result::Result<Self::Output, Self::Error>;
}

/// Computes the cells of this process that `store` does not hold yet and hands over the results of all cells in order, one by one: of
/// cells that shards have computed no more than a few are in memory.
///
/// # Errors
/// The first error of a cell or of `visit`; [`DriverError::Checkpoint`] or [`DriverError::ShardFile`] if what is stored is not of this
/// computation; [`DriverError::Awaits`] or [`DriverError::MissingCells`] if other processes have cells to compute, before anything is
/// handed over; [`DriverError::Io`] if the store cannot be written.
/// # Panics
/// If computing a cell does.
pub fn for_each<C: Cells>(
    cells: &C,
    context: &Context<'_>,
    store: &CellStore,
    mut visit: impl FnMut(usize, C::Output) -> std::result::Result<(), C::Error>,
) -> std::result::Result<(), C::Error> {
    let (identity, num_cells) = (cells.identity(), cells.num_cells());
    if !store.is_gathered() {
        let mut results = store.load(identity, num_cells)?;
        compute(cells, context, store, &mut results)?;
        if store.is_whole() {
            let results = results.into_iter().map(|result| result.expect("all cells have been computed"));
            return results.enumerate().try_for_each(|(cell, result)| visit(cell, result));
        }
    }
    let mut expected = 0..num_cells;
    for stored in store.stored(identity, num_cells)? {
        let (cell, result) = stored?;
        // Somebody may have put another file in the place of one that was whole a moment ago.
        if let Some(lost) = expected.next().filter(|next| *next != cell) {
            return Err(store.missing(&[lost], num_cells).into());
        }
        visit(cell, result)?;
    }
    expected.next().map_or(Ok(()), |lost| Err(store.missing(&[lost], num_cells).into()))
}

/// As [`for_each()`], with all results at the end.
///
/// # Errors
/// Those of [`for_each()`].
/// # Panics
/// If computing a cell does.
pub fn run<C: Cells>(
    cells: &C,
    context: &Context<'_>,
    store: &CellStore,
) -> std::result::Result<Vec<C::Output>, C::Error> {
    let mut results = Vec::new();
    for_each(cells, context, store, |_, result| {
        results.push(result);
        Ok(())
    })?;
    Ok(results)
}

fn compute<C: Cells>(
    cells: &C,
    context: &Context<'_>,
    store: &CellStore,
    results: &mut Results<C::Output>,
) -> std::result::Result<(), C::Error> {
    let (done, pending): (Vec<usize>, Vec<usize>) =
        (0..results.len()).filter(|&cell| store.holds(cell)).partition(|&cell| results[cell].is_some());
    let (num_done, num_cells) = (done.len(), done.len() + pending.len());
    tracing::info!(experiment = cells.experiment(), num_done, num_cells, "cells");
    context.progress.start(cells.experiment(), num_done, num_cells);

    let pool = rayon::ThreadPoolBuilder::new().num_threads(context.num_threads).build().map_err(|error| {
        DriverError::Threads { num_threads: context.num_threads, message: error.to_string() }
    })?;
    let stop = AtomicBool::new(false);
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        let (stop, pending) = (&stop, &pending);
        scope.spawn(move || {
            pool.install(|| {
                pending.par_iter().for_each_with(sender, |sender, &index| {
                    if !stop.load(Ordering::Relaxed) {
                        // The receiver hangs up only after asking to stop.
                        let _ = sender.send((index, cells.compute(index)));
                    }
                });
            });
        });
        let collected =
            collect(&receiver, results, num_done, context, |results| store.save(cells.identity(), results));
        stop.store(true, Ordering::Relaxed);
        collected
    })?;
    context.progress.finish();
    Ok(())
}

type Message<T, E> = (usize, std::result::Result<T, E>);

fn collect<T, E: From<DriverError>>(
    receiver: &Receiver<Message<T, E>>,
    results: &mut Results<T>,
    mut num_done: usize,
    context: &Context<'_>,
    save: impl Fn(&Results<T>) -> Result<()>,
) -> std::result::Result<(), E> {
    let (mut last_save, mut interval) = (Instant::now(), CHECKPOINT_INTERVAL);
    let mut unsaved = false;
    loop {
        match receiver.recv_timeout(CHECKPOINT_INTERVAL) {
            Ok((index, result)) => {
                results[index] = Some(result?);
                num_done += 1;
                unsaved = true;
                context.progress.advance(num_done);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if unsaved && last_save.elapsed() >= interval {
            let begun = Instant::now();
            save(results)?;
            last_save = Instant::now();
            interval = CHECKPOINT_INTERVAL.max(SAVING_SHARE * begun.elapsed());
            unsaved = false;
        }
    }
    // What follows (tables, figures) can fail, too: the next attempt then starts from complete cells.
    if unsaved { Ok(save(results)?) } else { Ok(()) }
}
