//! The parallel engine: independent cells, a checkpoint twice a second, results in the order of the cells.
//!
//! A cell's result depends on nothing but the cell (and the seed its work holds), so neither the number of threads nor
//! an interruption can change a bit of it. A killed run loses what was done since the last checkpoint.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checkpoint::{self, Identity};
use crate::{Context, DriverError, Result};

/// Time between checkpoints: a kill loses at most this, the writing of one, and the cells under way.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);

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

/// Computes all cells that the checkpoint does not hold yet and returns all of them in order. The checkpoint lies at
/// [`Identity::path`] of `checkpoint`.
///
/// # Errors
/// The first error of a cell, [`DriverError::Checkpoint`] if an existing checkpoint is not of this computation,
/// [`DriverError::Io`] if the checkpoint cannot be written.
/// # Panics
/// If computing a cell does.
pub fn run<C: Cells>(
    cells: &C,
    context: &Context<'_>,
    checkpoint: &Path,
) -> std::result::Result<Vec<C::Output>, C::Error> {
    let identity = cells.identity();
    let checkpoint = &identity.path(checkpoint);
    let stored: Option<Vec<Option<C::Output>>> = checkpoint::read(checkpoint, identity)?;
    let mut results = stored.unwrap_or_else(|| (0..cells.num_cells()).map(|_| None).collect());
    let pending: Vec<usize> =
        results.iter().enumerate().filter(|(_, result)| result.is_none()).map(|(i, _)| i).collect();
    let num_done = results.len() - pending.len();
    tracing::info!(experiment = cells.experiment(), num_done, num_cells = results.len(), "cells");
    context.progress.start(cells.experiment(), num_done, results.len());

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
        let collected = collect(&receiver, &mut results, num_done, context, |results| {
            checkpoint::write(checkpoint, identity, results)
        });
        stop.store(true, Ordering::Relaxed);
        collected
    })?;
    context.progress.finish();
    Ok(results.into_iter().map(|result| result.expect("every cell was pending or stored")).collect())
}

type Message<T, E> = (usize, std::result::Result<T, E>);

fn collect<T, E: From<DriverError>>(
    receiver: &Receiver<Message<T, E>>,
    results: &mut Vec<Option<T>>,
    mut num_done: usize,
    context: &Context<'_>,
    save: impl Fn(&Vec<Option<T>>) -> Result<()>,
) -> std::result::Result<(), E> {
    let mut last_save = Instant::now();
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
        if unsaved && last_save.elapsed() >= CHECKPOINT_INTERVAL {
            save(results)?;
            last_save = Instant::now();
            unsaved = false;
        }
    }
    // What follows (tables, figures) can fail, too: the next attempt then starts from complete cells.
    if unsaved { Ok(save(results)?) } else { Ok(()) }
}
