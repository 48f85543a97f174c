//! Maps of a loader by epochs beside those of batches drawn afresh: whose boundaries tell how its runs end?

use linstab_dynamics::SamplingScheme;
use linstab_dynamics::sampling::Loader;
use linstab_report::conclusion::conclude;
use linstab_report::text::percent;

use super::cells::Row;
use super::summary::{Boundary, MapKey};

const AFRESH: Loader = Loader::Independent(SamplingScheme::WithoutReplacement);
const PREDICTIONS: [Boundary; 2] = [Boundary::MeanSquare, Boundary::Lyapunov];

/// What is compared of the maps of loaders, and of those beside which they stand.
#[derive(Debug, Default)]
pub(super) struct Loaders(Vec<(MapKey, Vec<Ending>)>);

/// Whether a cell diverged, and whether each of the [`PREDICTIONS`] says so.
#[derive(Clone, Copy, Debug)]
struct Ending {
    diverged: bool,
    predicted: [bool; 2],
}

impl Loaders {
    /// Adds a map, in any order.
    pub(super) fn push(&mut self, map: &[Row]) {
        let key = MapKey::of(&map[0]);
        let ending = |row: &Row| Ending {
            diverged: row.diverged,
            predicted: PREDICTIONS.map(|boundary| boundary.predicts_divergence(row)),
        };
        if key.sampling == AFRESH || matches!(key.sampling, Loader::Epochs(_)) {
            self.0.push((key, map.iter().map(ending).collect()));
        }
    }

    /// For each map of a loader: who tells its cells better, its own boundaries or those of batches drawn afresh.
    pub(super) fn findings(&self) -> Vec<String> {
        let of_loaders = self.0.iter().filter(|(key, _)| matches!(key.sampling, Loader::Epochs(_)));
        let finding = |(key, map): &(MapKey, Vec<Ending>)| {
            let beside = MapKey { sampling: AFRESH, ..*key };
            let (_, afresh) = self.0.iter().find(|(other, _)| *other == beside)?;
            let ends_otherwise = afresh.iter().zip(map).filter(|(a, b)| a.diverged != b.diverged).count();
            let right = |predictions: &[Ending], at: usize| {
                predictions.iter().zip(map).filter(|(one, run)| one.predicted[at] == run.diverged).count()
            };
            let counts = [0, 1].map(|at| [right(map, at), right(afresh, at)]);
            Some(sentence(&key.title(), map.len(), ends_otherwise, counts))
        };
        of_loaders.filter_map(finding).collect()
    }
}

/// `counts`: cells told rightly, by its own boundary and by that of batches drawn afresh, for the mean square and for the exponent.
fn sentence(title: &str, num_cells: usize, ends_otherwise: usize, counts: [[usize; 2]; 2]) -> String {
    let [[mean_square, mean_square_afresh], [exponent, exponent_afresh]] = counts;
    let share = |count| percent(count, num_cells);
    let told = format!(
        "**{title}:** {ends_otherwise} of {num_cells} cells end otherwise than with batches drawn afresh. Its own mean-square boundary predicts {} \
         of the cells, that of batches drawn afresh {}; the exponents {} and {}.",
        share(mean_square),
        share(mean_square_afresh),
        share(exponent),
        share(exponent_afresh)
    );
    conclude(
        mean_square > mean_square_afresh && exponent >= exponent_afresh,
        format!("{told} The theory has to know the loader."),
        format!("{told} Here the theory need not know the loader."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_follows_from_the_numbers() {
        let own = sentence("SGD", 100, 7, [[90, 80], [95, 85]]);
        assert!(own.contains("7 of 100 cells") && own.ends_with("has to know the loader."), "{own}");
        assert!(sentence("SGD", 100, 0, [[90, 90], [95, 95]]).ends_with("need not know the loader."));
    }
}
