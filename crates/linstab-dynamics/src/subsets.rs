//! Subsets, counted and listed.

/// `n` choose `b`, saturating.
pub(crate) fn num_subsets(n: usize, b: usize) -> usize {
    (0..b.min(n - b))
        .try_fold(1_usize, |count, i| count.checked_mul(n - i).map(|count| count / (i + 1)))
        .unwrap_or(usize::MAX)
}

/// Every subset of so many elements, with the elements that are left.
pub(crate) fn subsets(elements: &[usize], size: usize) -> Vec<(Vec<usize>, Vec<usize>)> {
    let n = elements.len();
    let mut chosen: Vec<usize> = (0..size).collect();
    let mut all = Vec::new();
    loop {
        let left = (0..n).filter(|at| !chosen.contains(at)).map(|at| elements[at]).collect();
        all.push((chosen.iter().map(|&at| elements[at]).collect(), left));
        // The next subset in lexicographic order: advance the last index that can be.
        let Some(at) = (0..size).rev().find(|&at| chosen[at] < n - size + at) else { return all };
        chosen[at] += 1;
        for later in at + 1..size {
            chosen[later] = chosen[later - 1] + 1;
        }
    }
}
