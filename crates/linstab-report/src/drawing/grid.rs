//! Figures of several panels, at the width of two columns of a paper or of one.

use super::chart::{Series, legend};
use super::panel::{Panel, Scale};
use super::svg::{Anchor, Svg, Text};
use super::{ONE_COLUMN, TWO_COLUMNS, colour};

/// How wide a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// One column of a paper, [`ONE_COLUMN`].
    One,
    /// Two columns, [`TWO_COLUMNS`].
    Two,
}

impl Columns {
    /// The width in points.
    pub fn width(self) -> f64 {
        self.choose(ONE_COLUMN, TWO_COLUMNS)
    }

    /// The first in one column, the second across two.
    pub fn choose<T>(self, one: T, two: T) -> T {
        match self {
            Self::One => one,
            Self::Two => two,
        }
    }
}

/// Panels of one size, row by row, above a legend and notes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Width of the figure.
    pub columns: Columns,
    /// How many panels there are.
    pub num_panels: usize,
    /// How many stand side by side.
    pub per_row: usize,
    /// Height of a panel.
    pub height: f64,
    /// Between panels side by side: room for ticks and label.
    pub gap: f64,
}

/// Left edge of the panels, and of what is below them.
pub const LEFT: f64 = 42.0;
const TOP: f64 = 22.0;
const RIGHT: f64 = 14.0;
/// Below a panel: ticks, label, and the title of the next.
const BELOW: f64 = 52.0;
const NOTE_LINE: f64 = 11.0;
const NOTE_SIZE: f64 = 7.5;

impl Grid {
    /// The place of a panel.
    pub fn panel(&self, index: usize, x: Scale, y: Scale) -> Panel {
        let per_row = self.per_row.max(1);
        let gaps = self.gap * (per_row - 1) as f64;
        let width = (self.columns.width() - LEFT - RIGHT - gaps) / per_row as f64;
        let (column, row) = ((index % per_row) as f64, (index / per_row) as f64);
        let (left, top) = (LEFT + (width + self.gap) * column, TOP + (self.height + BELOW) * row);
        Panel { left, top, width, height: self.height, x, y }
    }

    /// Whether a panel is the first of its row.
    pub fn is_first(&self, index: usize) -> bool {
        index.is_multiple_of(self.per_row.max(1))
    }

    /// An empty figure.
    pub fn figure(&self, title: &str) -> Svg {
        Svg::new(self.columns.width(), 0.0, title)
    }

    /// Ends a figure with legends, each on lines of its own, and notes, broken into lines; returns where it ends.
    pub fn finish(&self, figure: &mut Svg, legends: &[&[Series]], notes: &[&str]) -> f64 {
        let num_rows = self.num_panels.div_ceil(self.per_row.max(1));
        let mut top = TOP + (self.height + BELOW) * num_rows as f64 - 6.0;
        let room = self.columns.width() - LEFT - 4.0;
        for series in legends {
            top += legend(figure, (LEFT, top), series, room);
        }
        for note in notes {
            for line in broken(note, room) {
                let text = Text { colour: colour::GREY, ..Text::new(&line, NOTE_SIZE, Anchor::Start) };
                figure.text(LEFT, top + 4.0, text);
                top += NOTE_LINE;
            }
        }
        figure.end_at(top + 2.0);
        top
    }
}

/// A text in lines that fit, in any common typeface.
fn broken(text: &str, room: f64) -> Vec<String> {
    let fits = |line: &str| 0.52 * NOTE_SIZE * line.chars().count() as f64 <= room;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if fits(&format!("{line} {word}")) => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_stay_inside_and_apart() {
        for (columns, per_row) in [(Columns::One, 1), (Columns::One, 2), (Columns::Two, 3)] {
            let grid = Grid { columns, num_panels: 6, per_row, height: 100.0, gap: 40.0 };
            let axis = || Scale::linear([0.0, 1.0], "");
            let panels: Vec<Panel> = (0..6).map(|index| grid.panel(index, axis(), axis())).collect();
            for (index, panel) in panels.iter().enumerate() {
                assert!(panel.width > 40.0 && panel.left + panel.width < columns.width(), "{panel:?}");
                assert_eq!(grid.is_first(index), index % per_row == 0);
            }
            let apart = |a: &Panel, b: &Panel| a.left + a.width < b.left || a.top + a.height < b.top;
            assert!(panels.windows(2).all(|pair| apart(&pair[0], &pair[1])), "{panels:?}");
        }
    }

    #[test]
    fn notes_are_broken_between_words() {
        let lines = broken("bands: standard deviation over five data sets", 100.0);
        assert!(
            lines.len() > 1 && lines.join(" ") == "bands: standard deviation over five data sets",
            "{lines:?}"
        );
    }
}
