//! Conclusions: sentences that are chosen by a test on the numbers.
//!
//! A sentence that says what was found has another one beside it, for the case that it was not. What cannot come out otherwise is a
//! caption, and is no conclusion.

/// The first sentence if the test holds, else the second.
///
/// # Examples
/// ```
/// use linstab_report::conclusion::{conclude, falls};
/// let losses = [3.0, 2.0, 2.5];
/// let said = conclude(falls(&losses), "**The loss falls.**", "**The loss does not fall throughout.**");
/// assert_eq!(said, "**The loss does not fall throughout.**");
/// ```
pub fn conclude(holds: bool, if_it_holds: impl Into<String>, if_not: impl Into<String>) -> String {
    if holds { if_it_holds.into() } else { if_not.into() }
}

/// Whether the values, of which there are at least two, fall from each to the next.
///
/// # Examples
/// ```
/// use linstab_report::conclusion::falls;
/// assert!(falls(&[2.0, 1.0]) && !falls(&[1.0, 1.0]) && !falls(&[1.0]) && !falls(&[f64::NAN, 1.0]));
/// ```
pub fn falls(values: &[f64]) -> bool {
    values.len() > 1 && values.windows(2).all(|pair| pair[1] < pair[0])
}

/// Whether the values, of which there are at least two, rise from each to the next.
///
/// # Examples
/// ```
/// use linstab_report::conclusion::rises;
/// assert!(rises(&[1.0, 2.0]) && !rises(&[1.0, 2.0, 2.0]));
/// ```
pub fn rises(values: &[f64]) -> bool {
    values.len() > 1 && values.windows(2).all(|pair| pair[1] > pair[0])
}
