//! The palette, by day and by night.
//!
//! Categories have the colours of Okabe and Ito, which stay distinct under colour blindness. Files are drawn for white paper; a page that
//! is dark shows the same drawings in the colours beside theirs in `PALETTE`.

use std::fmt::Write;

/// Text and frames.
pub const INK: &str = "#1a1a1a";
/// Secondary text, ticks.
pub const GREY: &str = "#5f6368";
/// Grid lines.
pub const FAINT: &str = "#dadce0";
/// What figures stand on.
pub const GROUND: &str = "#ffffff";
/// Blue of Okabe and Ito.
pub const BLUE: &str = "#0072b2";
/// Vermilion of Okabe and Ito.
pub const VERMILION: &str = "#d55e00";
/// Green of Okabe and Ito.
pub const GREEN: &str = "#009e73";
/// Purple of Okabe and Ito.
pub const PURPLE: &str = "#cc79a7";
/// Orange of Okabe and Ito.
pub const ORANGE: &str = "#e69f00";
/// Sky blue of Okabe and Ito.
pub const SKY: &str = "#56b4e9";
/// Distinct colours for unordered series (without yellow, which is too pale for a line).
pub const SERIES: [&str; 7] = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK];
/// Light to dark, for an ordered parameter.
pub const ORDERED: [&str; 6] = ["#9a9a9a", "#e8a33d", "#d9713c", "#b5404f", "#7b2a63", "#35184f"];

/// Each colour on white and its counterpart on a dark ground.
const PALETTE: [(&str, &str); 16] = [
    (INK, "#e9e7e4"),
    (GREY, "#a6abb1"),
    (FAINT, "#3b3f45"),
    (GROUND, "#1d2024"),
    (BLUE, "#4fb0e8"),
    (VERMILION, "#f58b45"),
    (GREEN, "#34c79b"),
    (PURPLE, "#e39fc6"),
    (ORANGE, "#f2b632"),
    (SKY, "#8ad0f5"),
    (ORDERED[0], "#8d9298"),
    (ORDERED[1], "#f0b65c"),
    (ORDERED[2], "#ee8a58"),
    (ORDERED[3], "#e56a7c"),
    (ORDERED[4], "#c97fc0"),
    (ORDERED[5], "#a593e6"),
];

/// Steps of the scale of [`diverged`].
const STEPS: u8 = 10;

/// From pale blue (0: no run diverged) to pale orange (1: all did), in tenths.
pub fn diverged(fraction: f64) -> String {
    between(fraction, [214.0, 230.0, 244.0], [250.0, 198.0, 152.0])
}

/// The counterpart of [`diverged`] on a dark ground.
fn diverged_in_the_dark(fraction: f64) -> String {
    between(fraction, [31.0, 55.0, 79.0], [132.0, 70.0, 24.0])
}

fn between(fraction: f64, from: [f64; 3], to: [f64; 3]) -> String {
    let share = (fraction.clamp(0.0, 1.0) * f64::from(STEPS)).round() / f64::from(STEPS);
    let [red, green, blue] = [0, 1, 2].map(|index| (from[index] + share * (to[index] - from[index])).round());
    format!("rgb({red},{green},{blue})")
}

/// The name of a colour of the palette as a property of style sheets.
fn property(colour: &str) -> String {
    format!("--c-{}", colour.trim_start_matches('#'))
}

/// A colour of a figure as a style sheet names it: the palette's, by day and by night.
pub fn in_styles(colour: &str) -> String {
    format!("var({},{colour})", property(colour))
}

/// A style sheet that draws figures inside of a page in the colours of its theme: `data-theme` of the root element, or else the
/// reader's preference; on paper always the colours of the files.
pub(crate) fn stylesheet() -> String {
    let steps = || (0..=STEPS).map(|step| (step, f64::from(step) / f64::from(STEPS)));
    let declarations = |dark: bool| {
        let named = PALETTE
            .iter()
            .map(|(light, night)| format!("{}:{}", property(light), if dark { night } else { light }));
        let scale = steps().map(|(step, share)| {
            format!("--d-{step}:{}", if dark { diverged_in_the_dark(share) } else { diverged(share) })
        });
        named.chain(scale).collect::<Vec<_>>().join(";")
    };
    let (light, dark) = (declarations(false), declarations(true));
    let mut css = format!(
        ":root{{{light}}}\n@media screen{{:root[data-theme=dark]{{{dark}}}}}\n\
         @media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n"
    );
    for (colour, _) in PALETTE {
        for what in ["fill", "stroke"] {
            let _ = writeln!(css, ".drawing [{what}=\"{colour}\"]{{{what}:var({})}}", property(colour));
        }
    }
    for (step, share) in steps() {
        let _ = writeln!(css, ".drawing [fill=\"{}\"]{{fill:var(--d-{step})}}", diverged(share));
    }
    css
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_has_a_counterpart() {
        for colour in SERIES.iter().chain(&ORDERED) {
            assert!(PALETTE.iter().any(|(light, _)| light == colour), "{colour}");
        }
        let css = stylesheet();
        assert!(css.contains("[fill=\"#1a1a1a\"]") && css.contains("--d-10:rgb(250,198,152)"), "{css}");
    }

    /// Lines and texts stand out from their ground: a contrast of 3 is what WCAG asks of graphics, 4.5 of text.
    #[test]
    fn contrasts_are_sufficient() {
        let ground = |dark: bool| if dark { PALETTE[3].1 } else { PALETTE[3].0 };
        for (light, night) in PALETTE.iter().filter(|(light, _)| ![FAINT, GROUND].contains(light)) {
            let text = [INK, GREY].contains(light);
            assert!(contrast(night, ground(true)) > if text { 4.5 } else { 3.0 }, "{night}");
            // Pale lines on white are for ordered series, whose others are dark, and for areas.
            let pale = [ORANGE, SKY, PURPLE, ORDERED[0], ORDERED[1]].contains(light);
            let least = if text {
                4.5
            } else if pale {
                2.0
            } else {
                3.0
            };
            assert!(contrast(light, ground(false)) > least, "{light}: {}", contrast(light, ground(false)));
        }
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let luminance = |colour: &str| {
            let channel = |at: usize| {
                let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
                if value <= 0.039_28 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }
}
