//! Counts, and how they are said.

use linstab_report::text::significant;

/// How often a prediction is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) num_right: usize,
    pub(super) num: usize,
}

impl Count {
    pub(super) fn add(&mut self, holds: bool) {
        self.num += 1;
        self.num_right += usize::from(holds);
    }

    pub(super) fn of(all: impl Iterator<Item = bool>) -> Self {
        let mut count = Self::default();
        all.for_each(|holds| count.add(holds));
        count
    }

    /// Of the same things, the others.
    pub(super) fn complement(self) -> Self {
        Self { num_right: self.num - self.num_right, num: self.num }
    }

    /// None if there is nothing to count.
    pub(super) fn share(self) -> Option<f64> {
        (self.num > 0).then(|| self.num_right as f64 / self.num as f64)
    }

    /// None if there is nothing to count.
    pub(super) fn reaches(self, share: f64) -> Option<bool> {
        // Nine of ten are 90 %, whatever rounding says.
        self.share().map(|found| found >= share - 1e-12)
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.num_right, self.num)
    }
}

/// A tolerance in percent.
pub(super) fn tolerance(value: f64) -> String {
    format!("{} %", significant(100.0 * value, 3).trim_end_matches('0').trim_end_matches('.'))
}
