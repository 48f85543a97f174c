//! Shares of the work: of N shards each has its cells.

use std::fmt;
use std::str::FromStr;

use crate::{DriverError, Result};

/// One of `count` shards, counted from 0. As text `index/count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    count: u32,
    index: u32,
}

impl Shard {
    /// The largest number of shards, more than any computation has cells.
    pub const MOST: u32 = 10_000_000;

    /// The shard `index` of `count`.
    ///
    /// # Errors
    /// [`DriverError::Shard`] unless `index` is below `count`, and that at most [`Self::MOST`].
    pub fn new(index: u32, count: u32) -> Result<Self> {
        let allowed = || match count.checked_sub(1) {
            Some(last) if count <= Self::MOST => format!("0/{count} to {last}/{count}"),
            Some(_) => format!("at most {} shards", Self::MOST),
            None => "at least one shard".to_owned(),
        };
        if index < count && count <= Self::MOST {
            Ok(Self { count, index })
        } else {
            Err(DriverError::Shard { text: format!("{index}/{count}"), allowed: allowed() })
        }
    }

    /// The shard of a task of a job array whose `count` tasks are numbered `first`, `first + step`, and so on.
    ///
    /// # Errors
    /// [`DriverError::Shard`] if there is no such task.
    pub fn of_task(task: u32, count: u32, first: u32, step: u32) -> Result<Self> {
        let index = task.checked_sub(first).filter(|above| step > 0 && above % step == 0);
        let index = index.map(|above| above / step).filter(|&index| index < count);
        let index = index.ok_or_else(|| DriverError::Shard {
            text: format!("of task {task} of {count}"),
            allowed: format!("tasks that are numbered {first} + {step} k without a gap; else name the shard"),
        })?;
        Self::new(index, count)
    }

    /// Number of shards.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Whether a cell is one of this shard.
    pub fn holds(self, cell: usize) -> bool {
        Self::of_cell(cell, self.count) == self
    }

    /// Its cells of so many.
    pub(crate) fn cells(self, num_cells: usize) -> impl Iterator<Item = usize> {
        (self.index as usize..num_cells).step_by(self.count as usize)
    }

    /// The shard of a cell among `count`, which is at least 1.
    ///
    /// Cells are dealt in turn. Neighbours in the grid of an experiment cost alike, and what they cost is seldom known beforehand: of the
    /// stability map, whose cells cost from 20 us to 0.5 s, the slowest of 8 shards takes 5 % longer than the mean, of 32 7 %. Permutations
    /// and hashes are no better; with blocks of neighbours it takes twice as long.
    pub(crate) fn of_cell(cell: usize, count: u32) -> Self {
        Self { count, index: u32::try_from(cell % count as usize).unwrap_or_default() }
    }

    /// The shards after this one, once around.
    pub(crate) fn others(self) -> impl Iterator<Item = Self> {
        let Self { count, index } = self;
        (index + 1..count).chain(0..index).map(move |index| Self { count, index })
    }

    /// Name of its files, without the ending.
    pub(crate) fn file_stem(self) -> String {
        format!("{}-of-{}", self.index, self.count)
    }

    /// The shard whose file this is.
    pub(crate) fn of_file(name: &str, ending: &str) -> Option<Self> {
        let (index, count) = name.strip_suffix(ending)?.split_once("-of-")?;
        let shard = Self::new(index.parse().ok()?, count.parse().ok()?).ok()?;
        // Only as we write it: no signs, no leading zeros.
        (format!("{}{ending}", shard.file_stem()) == name).then_some(shard)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = DriverError;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || DriverError::Shard {
            text: text.to_owned(),
            allowed: "I/N with I from 0 to N - 1, as 0/8".to_owned(),
        };
        let (index, count) = text.split_once('/').ok_or_else(bad)?;
        let number = |text: &str| match text.parse::<u64>() {
            // What is too large is refused as such.
            Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
            Err(_) => Err(bad()),
        };
        let (index, count) = (number(index)?, number(count)?);
        Self::new(index, count).map_err(|error| match error {
            DriverError::Shard { allowed, .. } => DriverError::Shard { text: text.to_owned(), allowed },
            other => other,
        })
    }
}

/// Shards as a list, the first of many.
pub(crate) fn listed(shards: &[Shard]) -> String {
    const MOST: usize = 8;
    let shown: Vec<String> = shards.iter().take(MOST).map(Shard::to_string).collect();
    let more = shards.len().saturating_sub(MOST);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_of_one_shard() {
        for count in [1, 2, 3, 7, 64] {
            let shards: Vec<Shard> = (0..count).map(|index| Shard::new(index, count).unwrap()).collect();
            for cell in 0..1000 {
                assert_eq!(shards.iter().filter(|shard| shard.holds(cell)).count(), 1, "{cell} of {count}");
            }
            for shard in &shards {
                assert!(shard.cells(1000).eq((0..1000).filter(|&cell| shard.holds(cell))), "{shard}");
            }
            let mut around: Vec<Shard> = shards[0].others().chain([shards[0]]).collect();
            around.sort_unstable();
            assert_eq!(around, shards);
        }
    }

    #[test]
    fn texts_and_tasks_name_shards_or_are_refused() {
        let shard = Shard::new(3, 8).unwrap();
        assert_eq!(("3/8".parse::<Shard>().unwrap(), shard.to_string().as_str()), (shard, "3/8"));
        assert_eq!(Shard::of_file("3-of-8.json", ".json"), Some(shard));
        for name in ["3-of-8", "03-of-8.json", "8-of-8.json", "+3-of-8.json", ".linstab-3-of-8.json"] {
            assert_eq!(Shard::of_file(name, ".json"), None, "{name}");
        }
        for (text, allowed) in [
            ("3/3", "allowed: 0/3 to 2/3"),
            ("0/0", "allowed: at least one shard"),
            ("-1/3", "as 0/8"),
            ("3", "as 0/8"),
            ("a/b", "as 0/8"),
            ("1/4294967295", "at most 10000000 shards"),
            ("1/99999999999", "at most 10000000 shards"),
        ] {
            let refused = text.parse::<Shard>().unwrap_err().to_string();
            assert!(refused.contains(text) && refused.contains(allowed), "{refused}");
        }
        assert_eq!(Shard::of_task(4, 8, 1, 1).unwrap(), shard);
        assert_eq!(Shard::of_task(16, 8, 4, 4).unwrap(), shard);
        for (task, count, first, step) in
            [(9, 8, 1, 1), (0, 8, 1, 1), (5, 2, 0, 4), (8, 2, 0, 4), (1, 2, 1, 0)]
        {
            assert!(Shard::of_task(task, count, first, step).is_err(), "{task} {count} {first} {step}");
        }
    }
}
