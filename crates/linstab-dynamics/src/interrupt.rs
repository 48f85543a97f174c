//! Stopping a computation from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{DynamicsError, Result};

/// A flag that long computations look at between their steps; clones share it.
///
/// # Examples
/// ```
/// use linstab_dynamics::Interrupt;
/// let (interrupt, held_by_the_work) = { let raised = Interrupt::new(); (raised.clone(), raised) };
/// assert!(held_by_the_work.check().is_ok());
/// interrupt.raise();
/// assert!(held_by_the_work.check().is_err());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// One that nobody has raised yet.
    ///
    /// # Examples
    /// ```
    /// assert!(linstab_dynamics::Interrupt::new().check().is_ok());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for a stop; it stays asked for.
    ///
    /// # Examples
    /// ```
    /// let interrupt = linstab_dynamics::Interrupt::new();
    /// interrupt.raise();
    /// assert!(interrupt.check().is_err());
    /// ```
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Looks at it.
    ///
    /// # Errors
    /// [`DynamicsError::Interrupted`] once it has been raised.
    /// # Examples
    /// ```
    /// assert!(linstab_dynamics::Interrupt::new().check().is_ok());
    /// ```
    pub fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(DynamicsError::Interrupted) } else { Ok(()) }
    }
}
