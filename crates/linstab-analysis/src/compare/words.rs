//! Minima side by side for a person: what moved, and whether that is more than chance.

use std::fmt::Write as _;

use super::{MinimaReport, ThresholdReport};
use crate::human::{short, table, wrapped};

/// Changes of so many standard errors are no accident.
const SIGNIFICANT: f64 = 2.0;

/// Thresholds are known no better than this, relatively.
const KNOWN: f64 = 1e-5;

impl MinimaReport {
    /// The minima for a person: what moved and whether that is more than chance, then tables.
    pub fn describe(&self) -> String {
        let mut text: String = self.sentences().iter().map(|said| wrapped(said, "  ")).collect();
        let mut rows =
            vec![["minimum", "sharpness", "trace", "effective rank", "sigma"].map(str::to_owned).to_vec()];
        for minimum in &self.minima {
            rows.push(vec![
                minimum.name.clone(),
                short(minimum.sharpness),
                short(minimum.trace),
                format!("{:.1}", minimum.effective_rank),
                minimum.sigma.map_or_else(|| "-".to_owned(), |sigma| format!("{sigma:.2}")),
            ]);
        }
        let _ = write!(text, "\n{}", table(&rows));
        let mut rows = vec![vec!["optimizer".to_owned(), "batch size".to_owned()]];
        rows[0].extend(self.minima.iter().map(|minimum| minimum.name.clone()));
        for row in &self.thresholds {
            let mut cells = vec![row.optimizer.label(), row.batch_size.to_string()];
            cells.extend((0..self.minima.len()).map(|at| cell(row, at)));
            rows.push(cells);
        }
        let _ = write!(
            text,
            "\nlargest stable learning rates, and their change with its standard error:\n{}",
            table(&rows)
        );
        text
    }

    /// How each compares with the first, a sentence each.
    pub(crate) fn sentences(&self) -> Vec<String> {
        (1..self.minima.len()).map(|at| self.sentence(at)).collect()
    }

    /// How a minimum compares with the first, chosen by the numbers.
    fn sentence(&self, at: usize) -> String {
        let (first, other) = (&self.minima[0], &self.minima[at]);
        let flatter = other.sharpness / first.sharpness;
        let flat = match flatter {
            _ if first.sharpness <= 0.0 && other.sharpness > 0.0 => {
                "sharper (the other has no curvature)".to_owned()
            }
            ratio if (ratio - 1.0).abs() > 1e-9 => {
                let error = other.standard_error_of_sharpness;
                let (word, side) = if ratio < 1.0 { ("flatter", "lower") } else { ("sharper", "higher") };
                let word = if is_significant(ratio.ln(), error) { word } else { "as sharp within chance" };
                let error =
                    error.map_or_else(String::new, |error| format!(" +- {:.1}", 100.0 * ratio * error));
                format!("{word} (sharpness {:.1}{error} % {side})", 100.0 * (ratio - 1.0).abs())
            }
            _ => "as sharp".to_owned(),
        };
        let significant =
            |row: &&ThresholdReport| is_significant(row.log_ratios[at], row.standard_errors[at]);
        let counted = |sign: f64| {
            self.thresholds.iter().filter(significant).filter(|row| sign * row.log_ratios[at] > 0.0).count()
        };
        let (more, less, all) = (counted(1.0), counted(-1.0), self.thresholds.len());
        let stable = match (more, less) {
            (0, 0) => "no threshold differs by more than chance".to_owned(),
            (more, 0) => format!("more stable at {more} of {all} settings, less at none"),
            (0, less) => format!("less stable at {less} of {all} settings, more at none"),
            (more, less) => format!("more stable at {more} of {all} settings, less at {less}"),
        };
        format!(
            "{} beside {}: {flat}; {stable} (beyond {SIGNIFICANT} standard errors)",
            other.name, first.name
        )
    }
}

/// Whether a change is more than chance, and than what is known of it.
fn is_significant(log_ratio: f64, error: Option<f64>) -> bool {
    error.is_some_and(|error| log_ratio.abs() > SIGNIFICANT * error + KNOWN)
}

fn cell(row: &ThresholdReport, at: usize) -> String {
    let value = short(row.max_learning_rates[at]);
    // Beside a minimum without curvature there is no ratio.
    if at == 0 || !row.log_ratios[at].is_finite() {
        return value;
    }
    // That of the ratio is so many times that of its logarithm.
    let ratio = row.log_ratios[at].exp();
    let error =
        row.standard_errors[at].map_or_else(String::new, |error| format!(" +- {:.1}", 100.0 * ratio * error));
    format!("{value} ({:+.1}{error} %)", 100.0 * (ratio - 1.0))
}

#[cfg(test)]
mod tests {
    use linstab_dynamics::Optimizer;

    use super::super::MinimumReport;
    use super::*;

    fn report(sharpness: f64, log_ratio: f64, error: Option<f64>) -> MinimaReport {
        let minimum = |name: &str, sharpness: f64| MinimumReport {
            name: name.to_owned(),
            sharpness,
            standard_error_of_sharpness: Some(0.2),
            trace: 1.0,
            effective_rank: 1.0,
            sigma: None,
        };
        MinimaReport {
            minima: vec![minimum("a", 1.0), minimum("b", sharpness)],
            thresholds: vec![ThresholdReport {
                optimizer: Optimizer::sgd(),
                batch_size: 1,
                max_learning_rates: vec![1.0, log_ratio.exp()],
                log_ratios: vec![0.0, log_ratio],
                standard_errors: vec![Some(0.0), error],
            }],
            diagnostics: Vec::new(),
        }
    }

    /// Without curvature nothing limits, and no ratio says anything.
    #[test]
    fn a_minimum_without_curvature_has_no_ratio() {
        let mut report = report(1.0, f64::NEG_INFINITY, Some(0.1));
        report.minima[0].sharpness = 0.0;
        assert!(
            report.sentence(1).contains("sharper (the other has no curvature)"),
            "{}",
            report.sentence(1)
        );
        let cells = [f64::NEG_INFINITY, f64::NAN, 0.0].map(|log_ratio| {
            report.thresholds[0].log_ratios[1] = log_ratio;
            cell(&report.thresholds[0], 1)
        });
        assert_eq!(cells.each_ref().map(|cell| cell.contains('%')), [false, false, true], "{cells:?}");
        report.thresholds[0].log_ratios[1] = 2.0_f64.ln();
        assert!(
            cell(&report.thresholds[0], 1).ends_with("(+100.0 +- 20.0 %)"),
            "the error of the ratio itself"
        );
    }

    #[test]
    fn sentences_follow_from_numbers() {
        for (sharpness, log_ratio, error, expected) in [
            (
                0.5,
                0.3,
                Some(0.1),
                "flatter (sharpness 50.0 +- 10.0 % lower); more stable at 1 of 1 settings, less at none",
            ),
            (
                0.5,
                -0.3,
                Some(0.1),
                "flatter (sharpness 50.0 +- 10.0 % lower); less stable at 1 of 1 settings, more at none",
            ),
            (
                2.0,
                0.3,
                Some(0.2),
                "sharper (sharpness 100.0 +- 40.0 % higher); no threshold differs by more than chance",
            ),
            (1.0, 0.3, None, "as sharp; no threshold differs by more than chance"),
            (
                0.8,
                0.3,
                None,
                "as sharp within chance (sharpness 20.0 +- 16.0 % lower); no threshold differs by more than chance",
            ),
        ] {
            let text = report(sharpness, log_ratio, error).sentences().concat();
            assert!(text.starts_with(&format!("b beside a: {expected}")), "{text}");
        }
    }
}
