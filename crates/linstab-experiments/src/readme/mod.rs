//! The numbers and pictures of a README, from the results of a full run.
//!
//! What stands between `<!-- generated: NAME -->` and `<!-- end -->` is text of this module, computed from the tables; the markers
//! may enclose lines, or words within a line. The prose around them is the author's. Pictures are copies of figures.

mod blocks;
mod pictures;

use std::fmt;
use std::path::Path;

use blocks::Tables;
use linstab_driver::DriverError;
use linstab_driver::Result;
use linstab_driver::files::write_atomically;

const BEGIN: &str = "<!-- generated: ";
const BEGIN_ENDS: &str = " -->";
const END: &str = "<!-- end -->";

/// A place where a README is not what the results say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// A generated text.
    Text {
        /// Name of the block.
        block: String,
        /// Lines that stand there and should not.
        found: Vec<String>,
        /// Lines that should stand there and do not.
        expected: Vec<String>,
    },
    /// A picture.
    Picture {
        /// Its path, relative to the README.
        path: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { block, found, expected } => {
                write!(f, "{block}:")?;
                found.iter().try_for_each(|line| write!(f, "\n- {line}"))?;
                expected.iter().try_for_each(|line| write!(f, "\n+ {line}"))
            }
            Self::Picture { path, problem } => write!(f, "{path}: {problem}"),
        }
    }
}

/// Where `readme` is not what the full results in `results` say.
///
/// # Errors
/// [`DriverError::DataFile`] if the README lacks a block, or has one that is unknown or does not end, or if the results are
/// not those of a full run; [`DriverError::Io`] if a file cannot be read.
pub fn check(readme: &Path, results: &Path) -> Result<Vec<Drift>> {
    let (_, mut drifts) = regenerated(readme, results)?;
    drifts.extend(pictures::compare(readme, results)?);
    Ok(drifts)
}

/// Makes `readme` say what the full results in `results` say; returns where it did not.
///
/// # Errors
/// As [`check`], and [`DriverError::Io`] if a file cannot be written.
pub fn update(readme: &Path, results: &Path) -> Result<Vec<Drift>> {
    let (text, mut drifts) = regenerated(readme, results)?;
    if !drifts.is_empty() {
        write_atomically(readme, text.as_bytes())?;
    }
    let pictures = pictures::compare(readme, results)?;
    for drift in &pictures {
        if let Drift::Picture { path, .. } = drift {
            pictures::copy(path, readme, results)?;
        }
    }
    drifts.extend(pictures);
    Ok(drifts)
}

fn regenerated(readme: &Path, results: &Path) -> Result<(String, Vec<Drift>)> {
    let text = std::fs::read_to_string(readme).map_err(DriverError::io("read", readme))?;
    let blocks = blocks::all(&Tables::of(results)?)?;
    replaced(&text, &blocks).map_err(|problem| DriverError::DataFile { path: readme.to_path_buf(), problem })
}

/// The text with these blocks in their places, and where they were others.
fn replaced(
    text: &str,
    blocks: &[(&'static str, String)],
) -> std::result::Result<(String, Vec<Drift>), String> {
    let (mut output, mut rest) = (String::with_capacity(text.len()), text);
    let (mut drifts, mut seen) = (Vec::new(), Vec::new());
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) =
            after.split_once(BEGIN_ENDS).ok_or_else(|| format!("a `{BEGIN}` does not end"))?;
        let (_, expected) = blocks
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| format!("has an unknown block `{name}`"))?;
        let (found, after) = after.split_once(END).ok_or_else(|| format!("block `{name}` does not end"))?;
        if found.contains(BEGIN) {
            return Err(format!("block `{name}` does not end"));
        }
        // A marker at the end of a line encloses lines.
        let expected =
            if found.starts_with('\n') { format!("\n{}\n", expected.trim_end()) } else { expected.clone() };
        if found != expected {
            let only = |of: &str, other: &str| -> Vec<String> {
                let other: Vec<&str> = other.lines().collect();
                of.lines().filter(|line| !other.contains(line)).map(str::to_owned).collect()
            };
            let (only_found, only_expected) = (only(found, &expected), only(&expected, found));
            drifts.push(Drift::Text { block: name.to_owned(), found: only_found, expected: only_expected });
        }
        output.extend([before, BEGIN, name, BEGIN_ENDS, &expected, END]);
        seen.push(name);
        rest = after;
    }
    output.push_str(rest);
    match blocks.iter().find(|(name, _)| !seen.contains(name)) {
        Some((name, _)) => Err(format!("lacks the block `{BEGIN}{name}{BEGIN_ENDS} .. {END}`")),
        None => Ok((output, drifts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks() -> [(&'static str, String); 2] {
        [("count", "123".to_owned()), ("table", "| a |\n|---|\n| 1.5 |\n".to_owned())]
    }

    const README: &str = "We have <!-- generated: count -->123<!-- end --> of them.\n\n<!-- generated: table -->\n| a |\n|---|\n\
                          | 1.5 |\n<!-- end -->\nAnd 123 more.\n";

    #[test]
    fn a_readme_that_says_what_the_results_say_stays_as_it_is() {
        assert_eq!(replaced(README, &blocks()), Ok((README.to_owned(), Vec::new())));
    }

    /// Negative control: each digit within a block counts, and none outside of one.
    #[test]
    fn a_changed_digit_is_found_and_put_right() {
        let mut num_found = 0;
        for (at, digit) in README.char_indices().filter(|(_, c)| c.is_ascii_digit()) {
            let other = if digit == '9' { "8" } else { "9" };
            let edited = format!("{}{other}{}", &README[..at], &README[at + 1..]);
            let (output, drifts) = replaced(&edited, &blocks()).unwrap();
            let within = at < README.len() - "123 more.\n".len();
            assert_eq!(drifts.len(), usize::from(within), "{edited}");
            assert_eq!(output == README, within, "{edited}");
            num_found += drifts.len();
        }
        assert_eq!(num_found, 5);
        let (_, drifts) = replaced(&README.replace("1.5", "1.6"), &blocks()).unwrap();
        assert_eq!(drifts[0].to_string(), "table:\n- | 1.6 |\n+ | 1.5 |");
        let missing = README.replace("| 1.5 |\n", "");
        assert_eq!(replaced(&missing, &blocks()).unwrap().0, README);
    }

    #[test]
    fn markers_that_make_no_sense_are_refused() {
        for (from, to, problem) in [
            ("generated: count", "generated: counts", "has an unknown block `counts`"),
            ("123<!-- end -->", "123", "block `count` does not end"),
            ("1.5 |\n<!-- end -->", "1.5 |", "block `table` does not end"),
            ("<!-- generated: table -->", "", "lacks the block `<!-- generated: table --> .. <!-- end -->`"),
        ] {
            assert_eq!(replaced(&README.replace(from, to), &blocks()), Err(problem.to_owned()));
        }
    }
}
