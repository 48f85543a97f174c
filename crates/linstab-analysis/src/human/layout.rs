//! Text that fits a terminal.

/// Columns of the narrowest terminal that is usual.
const WIDTH: usize = 80;

/// A paragraph in lines that fit, the second and the following ones indented.
pub(crate) fn wrapped(text: &str, indent: &str) -> String {
    lines(text, WIDTH, indent).iter().map(|line| line.clone() + "\n").collect()
}

/// A text in lines of a width, broken at spaces; longer words stand alone.
fn lines(text: &str, width: usize, indent: &str) -> Vec<String> {
    let mut words = text.split(' ');
    let mut lines = vec![words.next().unwrap_or_default().to_owned()];
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(indent.to_owned() + word),
        }
    }
    lines
}

/// Columns aligned on the left, two spaces apart; where they would not fit, the cells of the widest are broken at spaces, heads first.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let length = |cell: &str| cell.chars().count();
    let longest_word = |cell: &str| cell.split(' ').map(length).max().unwrap_or(0);
    let mut widths = widest(rows, length);
    let (body, least) = (widest(rows.get(1..).unwrap_or(&[]), length), widest(rows, longest_word));
    let gaps = 2 * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > WIDTH {
        let can = |at: &usize| widths[*at] > least[*at];
        let is_head = |at: &usize| widths[*at] > body.get(*at).copied().unwrap_or(0);
        let widest_of = |head: bool| {
            let columns = (0..widths.len()).filter(|at| can(at) && (!head || is_head(at)));
            columns.max_by_key(|&at| widths[at])
        };
        let Some(widest) = widest_of(true).or_else(|| widest_of(false)) else { break };
        widths[widest] -= 1;
    }
    rows.iter().map(|row| in_columns(row, &widths)).collect()
}

/// The largest length in each column.
fn widest(rows: &[Vec<String>], length: impl Fn(&str) -> usize) -> Vec<usize> {
    let mut widths = vec![0; rows.iter().map(Vec::len).max().unwrap_or(0)];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(length(cell));
        }
    }
    widths
}

fn in_columns(row: &[String], widths: &[usize]) -> String {
    let cells: Vec<Vec<String>> =
        row.iter().zip(widths).map(|(cell, &width)| lines(cell, width, "")).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let line = |at: usize| {
        let parts = cells.iter().zip(widths).map(|(cell, width)| {
            let part = cell.get(at).map_or("", String::as_str);
            format!("{part:<width$}")
        });
        parts.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    (0..height).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wide_is_broken_at_spaces() {
        let words = "one two three four five six seven eight nine ten ".repeat(4);
        let text = wrapped(words.trim_end(), "  ");
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH) && text.lines().count() == 3,
            "{text}"
        );
        assert_eq!(text.split_whitespace().count(), 40, "no word is lost");
        let rows = [vec!["a".to_owned(), words.trim_end().to_owned()], vec!["b".to_owned(), "c".to_owned()]];
        let text = table(&rows);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.ends_with("\nb  c\n") && text.split_whitespace().count() == 43, "{text}");
        // What has no spaces stays whole.
        assert_eq!(table(&[vec!["x".repeat(100)]]).trim_end().len(), 100);
    }
}
