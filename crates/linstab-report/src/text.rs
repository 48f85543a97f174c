//! Numbers in sentences.

/// A share of a whole in percent.
pub fn percent(part: usize, whole: usize) -> String {
    if whole == 0 { "none".to_owned() } else { format!("{:.1} %", 100.0 * part as f64 / whole as f64) }
}

/// A list of words in a sentence: `a, b and c`.
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A number with so many significant digits, without an exponent where that is readable; infinities and NaN as words.
pub fn significant(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return "-".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    let scientific = format!("{value:.*e}", digits.saturating_sub(1));
    let exponent = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok());
    match exponent {
        Some(exponent @ -4..=5) => {
            let decimals = i32::try_from(digits).unwrap_or(0) - 1 - exponent;
            format!("{value:.*}", usize::try_from(decimals).unwrap_or(0))
        }
        _ => scientific,
    }
}

/// Smallest and largest of some numbers as `a` or `a to b`, each as `show` shows it.
pub fn range(values: impl IntoIterator<Item = f64>, show: impl Fn(f64) -> String) -> String {
    let (low, high) = values
        .into_iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return "-".to_owned();
    }
    let (low, high) = (show(low), show(high));
    if low == high { low } else { format!("{low} to {high}") }
}

/// A number for titles and file names, short whatever its magnitude.
pub fn short(value: f64) -> String {
    let plain = !value.is_finite() || value.abs() <= 0.0 || (1e-4..1e6).contains(&value.abs());
    if plain { value.to_string() } else { format!("{value:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_counted_from_the_first() {
        let shown = [0.055_665, 12_740.3, 0.5, 1e-9, 0.0, 99.96].map(|value| significant(value, 3));
        assert_eq!(shown, ["0.0557", "12740", "0.500", "1.00e-9", "0.00", "100"]);
        assert_eq!([f64::NAN, f64::INFINITY].map(|value| significant(value, 3)), ["-", "∞"]);
    }

    #[test]
    fn words_read_like_a_sentence() {
        let words = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([list(&words), list(&words[..1]), list(&[])], ["a, b and c", "a", ""]);
        assert_eq!(range([2.0, 1.0], |x| x.to_string()), "1 to 2");
        assert_eq!(range([1.0, 1.0], |x| x.to_string()), "1");
        assert_eq!([percent(1, 3), percent(0, 0)], ["33.3 %", "none"]);
    }
}
