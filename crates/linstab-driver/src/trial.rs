//! What a computation will take, from some of its cells.

use std::fs;
use std::time::{Duration, Instant};

use crate::checkpoint;
use crate::engine::Cells;
use crate::statistics::{mean, standard_deviation};

/// Some cells of a computation, computed one after the other, and what that took.
#[derive(Clone, Debug)]
pub struct Trial<T> {
    /// The cells by index, and what they yield.
    pub results: Vec<(usize, T)>,
    /// Bytes that a cell takes in the files of shards, on average.
    pub stored_bytes: f64,
    /// Seconds that each cell kept a core busy.
    seconds: Vec<f64>,
}

/// No cell is begun after this time, but for the first.
const LONGEST: Duration = Duration::from_secs(30);

/// Computes up to `most` cells on this thread, for half a minute or so: fewer cells then, from all over the grid.
///
/// # Errors
/// The first error of a cell; [`crate::DriverError::Encode`].
pub fn trial<C: Cells>(cells: &C, most: usize) -> Result<Trial<C::Output>, C::Error> {
    let (begun, busy) = (Instant::now(), busy_seconds());
    let (mut results, mut seconds) = (Vec::new(), Vec::new());
    let chosen = spread(cells.num_cells(), most);
    for place in shuffled(chosen.len()) {
        let (cell, begun_cell) = (chosen[place], Instant::now());
        results.push((cell, cells.compute(cell)?));
        seconds.push(begun_cell.elapsed().as_secs_f64());
        if begun.elapsed() > LONGEST {
            break;
        }
    }
    results.sort_by_key(|(cell, _)| *cell);
    // Others may have used the core meanwhile: their part of the time is taken off all cells alike.
    let share = match (busy, busy_seconds()) {
        (Some(before), Some(after)) => ((after - before) / begun.elapsed().as_secs_f64()).min(1.0),
        _ => 1.0,
    };
    for seconds in &mut seconds {
        *seconds *= share;
    }
    let mut stored = Vec::new();
    checkpoint::encode(&results, &mut stored)?;
    let stored_bytes = stored.len() as f64 / results.len().max(1) as f64;
    Ok(Trial { results, stored_bytes, seconds })
}

/// Some of the numbers below `num_cells`, one out of each of `most` stretches of equal length, at places in them that follow no pattern of the
/// grid that the cells may lie on (multiples of the golden ratio).
fn spread(num_cells: usize, most: usize) -> Vec<usize> {
    const LENGTH: usize = 1_000_000;
    const GOLDEN: usize = 618_034;
    let num = most.min(num_cells);
    let place = |at: usize| (at * LENGTH + at * GOLDEN % LENGTH) * num_cells / (num * LENGTH);
    let mut cells: Vec<usize> = (0..num).map(place).collect();
    cells.dedup();
    cells
}

/// The numbers below `num` in an order of which every beginning is spread over all of them (bits reversed, van der Corput).
fn shuffled(num: usize) -> impl Iterator<Item = usize> {
    let bits = num.next_power_of_two().trailing_zeros();
    let reversed = move |at: usize| if bits == 0 { at } else { at.reverse_bits() >> (usize::BITS - bits) };
    (0..1_usize << bits).map(reversed).filter(move |&at| at < num)
}

impl<T> Trial<T> {
    /// Seconds that a cell keeps a core busy, on average.
    pub fn mean_secs(&self) -> f64 {
        mean(&self.seconds)
    }

    /// Standard error of [`Self::mean_secs`].
    pub fn standard_error_secs(&self) -> f64 {
        standard_deviation(&self.seconds) / (self.seconds.len() as f64).sqrt()
    }

    /// The same of the costliest cell.
    pub fn longest_secs(&self) -> f64 {
        self.seconds.iter().copied().fold(0.0, f64::max)
    }
}

/// Seconds that this thread has been on a processor, where the system says so.
fn busy_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds * 1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_beginning_of_the_order_is_spread() {
        for num in [0, 1, 2, 7, 64, 100] {
            let mut order: Vec<usize> = shuffled(num).collect();
            for quarter in 0..4 {
                let first = order.iter().take(num / 4).filter(|&&at| at * 4 / num.max(1) == quarter).count();
                assert!(num < 64 || first.abs_diff(num / 16) <= 2, "{num}: {first} in {quarter}");
            }
            order.sort_unstable();
            assert!(order.into_iter().eq(0..num));
        }
    }

    #[test]
    fn cells_are_taken_from_everywhere_and_none_twice() {
        for (num_cells, most) in [(0, 5), (1, 5), (7, 5), (7, 100), (1000, 30), (1_000_000, 2000)] {
            let cells = spread(num_cells, most);
            assert!(cells.len() <= most && cells.len() >= most.min(num_cells).div_ceil(2), "{cells:?}");
            assert!(cells.is_sorted_by(|a, b| a < b), "{num_cells} {most}: {cells:?}");
            assert!(cells.iter().all(|&cell| cell < num_cells));
        }
        // Of a grid with rows of 100 every column is met alike.
        let columns: Vec<usize> = spread(1_000_000, 2000).iter().map(|cell| cell % 100 / 25).collect();
        for quarter in 0..4 {
            let num = columns.iter().filter(|&&column| column == quarter).count();
            assert!((450..550).contains(&num), "{num} of 2000 in quarter {quarter}");
        }
    }
}
