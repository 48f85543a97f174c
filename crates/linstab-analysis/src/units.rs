//! Quantities as people write them.

const UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// So many things, of which one has a name.
///
/// # Examples
/// ```
/// assert_eq!([1, 2].map(|n| linstab_analysis::units::counted(n, "sample")), ["1 sample", "2 samples"]);
/// ```
pub fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Bytes in the largest unit of which there is one, `1.5 GiB`.
///
/// # Examples
/// ```
/// assert_eq!(linstab_analysis::units::bytes(3 << 29), "1.5 GiB");
/// assert_eq!(linstab_analysis::units::bytes(17), "17 B");
/// ```
pub fn bytes(count: u64) -> String {
    in_units(count, f64::round)
}

/// As [`bytes`], rounded up: a limit of so much is enough.
///
/// # Examples
/// ```
/// assert_eq!(linstab_analysis::units::bytes_at_least((10 << 20) + 1), "10.1 MiB");
/// ```
pub fn bytes_at_least(count: u64) -> String {
    in_units(count, f64::ceil)
}

/// As [`bytes`], rounded down.
///
/// # Examples
/// ```
/// assert_eq!(linstab_analysis::units::bytes_at_most((2 << 20) - 1), "1.9 MiB");
/// ```
pub fn bytes_at_most(count: u64) -> String {
    in_units(count, f64::floor)
}

fn in_units(count: u64, round: fn(f64) -> f64) -> String {
    let (name, unit) = UNITS.into_iter().find(|(_, unit)| count >= *unit).unwrap_or(("B", 1));
    let value = round(10.0 * count as f64 / unit as f64) / 10.0;
    let text = if unit == 1 { format!("{value}") } else { format!("{value:.1}") };
    format!("{} {name}", text.trim_end_matches(".0"))
}

/// The bytes that a text like `512MiB`, `1.5 GB` or `1000` means.
///
/// # Errors
/// What is allowed, for any other text.
/// # Examples
/// ```
/// use linstab_analysis::units::parse_bytes;
/// assert_eq!(parse_bytes("512MiB"), Ok(512 << 20));
/// assert_eq!(parse_bytes("1.5 GB"), Ok(1_500_000_000));
/// assert!(parse_bytes("-1").is_err() && parse_bytes("1 pound").is_err());
/// ```
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to lie between 1 and 1e18"
)]
pub fn parse_bytes(text: &str) -> Result<usize, String> {
    const DECIMAL: [(&str, u64); 4] =
        [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000)];
    let allowed = || "a number of bytes with an optional unit: 512MiB, 1.5GB, 1000".to_owned();
    let text = text.trim();
    let upper = text.to_ascii_uppercase();
    let known = DECIMAL.iter().chain(&UNITS).find(|(name, _)| upper.ends_with(&name.to_ascii_uppercase()));
    let (digits, unit) = known.map_or((text, 1), |(name, unit)| (&text[..text.len() - name.len()], *unit));
    let number: f64 = digits.trim().parse().map_err(|_| allowed())?;
    let count = number * unit as f64;
    if (1.0..=1e18).contains(&count) { Ok(count as usize) } else { Err(allowed()) }
}
