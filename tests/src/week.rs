//! The date: seeds of the tests change with the week, so that in time they see much, and a failure can be had again.

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_A_DAY: u64 = 86_400;

/// Days since 1970-01-01, which was a Thursday.
pub fn today() -> i64 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    i64::try_from(seconds / SECONDS_A_DAY).unwrap_or_default()
}

/// Year, month and day of the month in the proleptic Gregorian calendar.
///
/// Source: H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
pub fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// ISO 8601 year and week: a week belongs to the year of its Thursday.
pub fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - (days + 3).rem_euclid(7) + 3;
    let (year, _, _) = date(thursday);
    let first = (0..54).map(|back| thursday - 7 * back).find(|&earlier| date(earlier - 7).0 < year);
    (year, 1 + (thursday - first.unwrap_or(thursday)) / 7)
}

/// The seed of a week.
pub fn seed(days: i64) -> u64 {
    let (year, week) = iso_week(days);
    u64::try_from(100 * year + week).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (days, expected) in [
            (0, ((1970, 1, 1), (1970, 1))),
            (11_016, ((2000, 2, 29), (2000, 9))),
            (20_786, ((2026, 11, 29), (2026, 48))),
            (20_787, ((2026, 11, 30), (2026, 49))),
            (20_819, ((2027, 1, 1), (2026, 53))),
            (20_822, ((2027, 1, 4), (2027, 1))),
        ] {
            assert_eq!((date(days), iso_week(days)), expected, "{days}");
        }
        assert_eq!(seed(20_786), 202_648);
    }
}
