//! The data of the map to explore, in a small form: what a cell has several of stands in columns, numbers have four digits, and
//! columns that maps share are there once.

use serde::Serialize;

/// Maps over the same grid.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MapData {
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// Runs a cell.
    pub num_runs: usize,
    /// What a reader chooses between.
    pub choices: Vec<String>,
    /// The lines across the maps, each of which predicts something of every cell.
    pub boundaries: Vec<Boundary>,
    /// What the columns hold: the first the number of runs that diverged.
    pub columns: Vec<String>,
    /// The columns, each a list of numbers with spaces between, by x and within it by y.
    pub pool: Vec<String>,
    /// The maps.
    pub maps: Vec<Map>,
}

/// An axis.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Axis {
    /// What it shows.
    pub label: String,
    /// Its symbol.
    pub symbol: String,
    /// The values of the grid.
    pub values: Vec<usize>,
}

/// A line across the maps.
#[derive(Clone, Debug, Serialize)]
pub struct Boundary {
    /// Its name.
    pub name: String,
    /// The column of the number that decides.
    pub column: usize,
    /// Its symbol.
    pub symbol: String,
    /// How that number decides.
    pub rule: String,
    /// Colour, as style sheets have it.
    pub colour: String,
    /// Width in points.
    pub width: f64,
    /// Lengths of dashes and gaps; empty for a solid line.
    pub dashes: String,
}

/// One map.
#[derive(Clone, Debug, Serialize)]
pub struct Map {
    /// Its name.
    pub name: String,
    /// In words.
    pub title: String,
    /// The value of each choice.
    pub choice: Vec<String>,
    /// Where each column is in the pool.
    pub columns: Vec<usize>,
    /// A digit to base 32 for each cell, see [`flags`].
    pub flags: String,
    /// Cells that did not diverge.
    pub num_stable: usize,
    /// How many cells each boundary predicts as they were simulated.
    pub right: Vec<usize>,
    /// For each boundary its curves, as `x,y x,y ..` on the axes.
    pub lines: Vec<Vec<String>>,
}

impl Map {
    /// A map without columns.
    pub fn new(name: String, title: String, choice: Vec<String>) -> Self {
        let (columns, right, lines) = (Vec::new(), Vec::new(), Vec::new());
        Self { name, title, choice, columns, flags: String::new(), num_stable: 0, right, lines }
    }
}

impl MapData {
    /// Appends a map with its columns.
    pub fn push(&mut self, mut map: Map, columns: impl IntoIterator<Item = Vec<f64>>) {
        for column in columns {
            let text = column.into_iter().map(rounded).collect::<Vec<_>>().join(" ");
            let place = self.pool.iter().position(|other| *other == text).unwrap_or_else(|| {
                self.pool.push(text);
                self.pool.len() - 1
            });
            map.columns.push(place);
        }
        self.maps.push(map);
    }
}

/// What there is to say about a cell with yes or no: whether it diverged, then for each of up to four boundaries whether it says so.
pub fn flags(diverged: bool, predicted: impl IntoIterator<Item = bool>) -> char {
    let bits = std::iter::once(diverged).chain(predicted).zip(0..5);
    let number = bits.fold(0, |sum, (bit, place)| sum | u32::from(bit) << place);
    char::from_digit(number, 32).unwrap_or('0')
}

/// A curve in grid coordinates, to hundredths.
pub fn curve(points: &[(f64, f64)]) -> String {
    let hundredths = |value: f64| (value * 100.0).round() / 100.0;
    points.iter().map(|&(x, y)| format!("{},{}", hundredths(x), hundredths(y))).collect::<Vec<_>>().join(" ")
}

/// Four significant digits, in as few characters as can be; empty for a number that is not there.
fn rounded(value: f64) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    if !value.is_finite() {
        return value.to_string();
    }
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    let (plain, scientific) = (rounded.to_string(), format!("{rounded:e}"));
    if plain.len() <= scientific.len() { plain } else { scientific }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_right_to_four_digits() {
        let numbers = [0.5, 1_234_567.0, 0.000_123_456, f64::NAN, f64::NEG_INFINITY, 10.0];
        assert_eq!(numbers.map(rounded), ["0.5", "1235000", "1.235e-4", "-", "-inf", "10"]);
    }

    #[test]
    fn flags_are_one_digit() {
        assert_eq!(flags(false, [false; 4]), '0');
        assert_eq!(flags(true, [false, false, false, true]), 'h', "1 + 16 = 17");
        assert_eq!(flags(true, [true; 4]), 'v');
    }

    #[test]
    fn equal_columns_are_stored_once() {
        let mut data = MapData::default();
        for (name, growth) in [("a", 1.0), ("b", 2.0)] {
            let map = Map::new(name.to_owned(), String::new(), Vec::new());
            data.push(map, [vec![growth, 3.0], vec![0.5, 0.6]]);
        }
        assert_eq!(data.pool, ["1 3", "0.5 0.6", "2 3"]);
        assert_eq!(data.maps[1].columns, [2, 1]);
    }
}
