//! Packed matrices by groups of columns, in parallel.

use linstab_linalg::packed;
use rayon::prelude::*;

/// Entries that are worked on at a time, at least; the partition is fixed, so that bits are.
pub(super) const CHUNK: usize = 4096;

/// Groups of the first columns of a packed matrix, of some thousands of entries each.
pub(super) fn column_chunks(rank: usize, num_columns: usize) -> Vec<std::ops::Range<usize>> {
    let (mut chunks, mut start, mut size) = (Vec::new(), 0, 0);
    for column in 0..num_columns {
        size += rank - column;
        if size >= CHUNK || column + 1 == num_columns {
            chunks.push(start..column + 1);
            (start, size) = (column + 1, 0);
        }
    }
    chunks
}

/// Where columns stand in a packed matrix.
pub(super) fn packed_entries(rank: usize, columns: &std::ops::Range<usize>) -> std::ops::Range<usize> {
    let start = |column: usize| packed::packed_len(rank) - packed::packed_len(rank - column);
    start(columns.start)..start(columns.end)
}

/// What each column of a packed matrix, or of its first ones if it ends there, has to say, in order; in parallel.
pub(super) fn map_columns<T: Send>(
    rank: usize,
    packed: &[f64],
    say: impl Fn(usize, &[f64]) -> T + Sync,
) -> Vec<T> {
    let num_columns = packed::num_columns(rank, packed.len()).unwrap_or(rank);
    let of_column = |column| say(column, &packed[packed_entries(rank, &(column..column + 1))]);
    let of_chunk = |columns: std::ops::Range<usize>| columns.map(of_column).collect::<Vec<T>>();
    column_chunks(rank, num_columns).into_par_iter().flat_map_iter(of_chunk).collect()
}

/// Visits the columns of a packed matrix, or its first ones if it ends there, in parallel, and returns what each has to say, in order.
pub(super) fn for_columns<T: Send>(
    rank: usize,
    packed: &mut [f64],
    visit: impl Fn(usize, &mut [f64]) -> T + Sync,
) -> Vec<T> {
    let mut rest = packed;
    let mut chunks = Vec::new();
    let num_columns = packed::num_columns(rank, rest.len()).unwrap_or(rank);
    for columns in column_chunks(rank, num_columns) {
        let (chunk, tail) = rest.split_at_mut(packed_entries(rank, &columns).len());
        chunks.push((columns, chunk));
        rest = tail;
    }
    let per_chunk: Vec<Vec<T>> = chunks
        .into_par_iter()
        .map(|(columns, mut chunk)| {
            let mut said = Vec::with_capacity(columns.len());
            for column in columns {
                let (entries, tail) = chunk.split_at_mut(rank - column);
                said.push(visit(column, entries));
                chunk = tail;
            }
            said
        })
        .collect();
    per_chunk.into_iter().flatten().collect()
}
