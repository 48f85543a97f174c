//! The pictures of a README: copies of figures.

use std::path::{Path, PathBuf};

use resvg::tiny_skia::Pixmap;

use super::Drift;
use linstab_driver::DriverError;
use linstab_driver::Result;
use linstab_driver::files::write_atomically;

/// Each picture, relative to the README, and the figure that it is a copy of, relative to the results.
const PICTURES: [(&str, &str); 4] = [
    ("data/readme/edge-test.png", "figures/edge-test.png"),
    ("data/readme/figure-1a.png", "figures/figure-1a.png"),
    ("data/readme/digits.png", "figures/digits.png"),
    ("data/readme/edge.png", "figures/coherence-dynamics-edge.png"),
];

/// A pixel is another one if a channel differs by more than this, of 255: other processors round the edges of shapes otherwise.
const ROUNDING: u8 = 16;

/// A picture is another one if more than one pixel in so many is. A cell of the map is one pixel in 4000.
const FEW: usize = 20_000;

/// The pictures that are not the figures, pixel by pixel.
pub(super) fn compare(readme: &Path, results: &Path) -> Result<Vec<Drift>> {
    let mut drifts = Vec::new();
    for (path, figure) in PICTURES {
        let (picture, figure) = (decode(&beside(readme, path)), decode(&results.join(figure)));
        let figure = figure?;
        let problem = match picture {
            Ok(picture) => difference(&picture, &figure),
            Err(error) => Some(error.with_causes()),
        };
        drifts.extend(problem.map(|problem| Drift::Picture { path, problem }));
    }
    Ok(drifts)
}

/// Copies the figure of a picture.
pub(super) fn copy(path: &str, readme: &Path, results: &Path) -> Result<()> {
    for (_, figure) in PICTURES.iter().filter(|(picture, _)| *picture == path) {
        let figure = results.join(figure);
        let bytes = std::fs::read(&figure).map_err(DriverError::io("read", &figure))?;
        let picture = beside(readme, path);
        if let Some(folder) = picture.parent() {
            std::fs::create_dir_all(folder).map_err(DriverError::io("create folder", folder))?;
        }
        write_atomically(&picture, &bytes)?;
    }
    Ok(())
}

fn beside(readme: &Path, path: &str) -> PathBuf {
    readme.parent().unwrap_or(Path::new("")).join(path)
}

fn decode(path: &Path) -> Result<Pixmap> {
    let bytes = std::fs::read(path).map_err(DriverError::io("read", path))?;
    let problem = |error: String| DriverError::DataFile { path: path.to_path_buf(), problem: error };
    Pixmap::decode_png(&bytes).map_err(|error| problem(error.to_string()))
}

/// What distinguishes two pictures, beyond rounding.
fn difference(found: &Pixmap, expected: &Pixmap) -> Option<String> {
    let size = |picture: &Pixmap| (picture.width(), picture.height());
    if size(found) != size(expected) {
        return Some(format!("is of {:?} pixels, the figure of {:?}", size(found), size(expected)));
    }
    let (found, expected) = (found.data().chunks_exact(4), expected.data().chunks_exact(4));
    let num_pixels = found.len();
    let differ = |(a, b): &(&[u8], &[u8])| a.iter().zip(*b).any(|(a, b)| a.abs_diff(*b) > ROUNDING);
    let count = found.zip(expected).filter(differ).count();
    (count * FEW > num_pixels).then(|| format!("{count} of {num_pixels} pixels are not those of the figure"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 400 x 300 grey pixels, so many of them lighter by so much.
    fn picture(num_lighter: usize, by: u8) -> Pixmap {
        let mut picture = Pixmap::new(400, 300).unwrap();
        for (index, pixel) in picture.data_mut().chunks_exact_mut(4).enumerate() {
            let grey = if index < num_lighter { 100 + by } else { 100 };
            pixel.copy_from_slice(&[grey, grey, grey, 255]);
        }
        picture
    }

    #[test]
    fn rounding_is_no_difference_and_a_spot_is_one() {
        let plain = picture(0, 0);
        for (num_lighter, by) in [(0, 0), (120_000, ROUNDING), (6, 100)] {
            assert_eq!(difference(&picture(num_lighter, by), &plain), None, "{num_lighter} by {by}");
        }
        for (num_lighter, by) in [(7, 100), (120_000, ROUNDING + 1)] {
            assert!(difference(&picture(num_lighter, by), &plain).is_some(), "{num_lighter} by {by}");
        }
        let smaller = Pixmap::new(400, 299).unwrap();
        assert!(difference(&smaller, &plain).is_some_and(|text| text.contains("(400, 299)")), "by its size");
    }
}
