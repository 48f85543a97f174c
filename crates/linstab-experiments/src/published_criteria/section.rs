//! What the criteria of the literature have to say on the page.

use super::cells::Row;
use super::points::{ENSEMBLES, title};
use super::summary::{Ranked, SummaryRow, factor, ranked, ratio};
use linstab_report::conclusion::conclude;
use linstab_report::section::{Figure, Headline, Number, Picture, Section, Table};
use linstab_report::text::{list, range};

/// A criterion predicts the exact threshold if it is nowhere off by a larger factor.
const PREDICTS: f64 = 1.1;

/// What a bound may be on the wrong side of the exact threshold for rounding.
const ROUNDING: f64 = 1e-9;

/// The section of the criteria.
pub(super) fn section(rows: &[Row], summary: &[SummaryRow]) -> Section {
    let all = ranked(summary);
    Section {
        title: "Published criteria: which of them predicts the exact threshold?".to_owned(),
        short_title: "Published criteria".to_owned(),
        paper: vec![
            "The paper compares its criteria with simulations of constructed curvatures, and with the criterion of Dexter et al. What other criteria and \
             diagnostics of the literature say of the same curvatures, and how far each is from the exact threshold at real networks, is ours."
                .to_owned(),
        ],
        findings: findings(rows, &all),
        headline: headline(&all),
        figures: vec![Figure::new(
            "published-criteria",
            "Learning rates at which criteria switch, over the exact threshold",
            "A row a criterion, the closest one first; a dot a batch size, or for the training an epoch. Necessary conditions lie right of the dashed line, \
             sufficient ones left of it; estimates may lie on either side. Criteria that assume Bernoulli sampling are set against the threshold under it, all others \
             against that of batches without replacement. All curvatures are Gauss-Newton's.",
            "Three panels with a row for each criterion and a dot for each batch size or epoch, at the learning rate of the criterion over the exact threshold, on a \
             logarithmic axis with a dashed line at 1.",
            "published-criteria",
        )],
        tables: vec![table(&all)],
        ..Section::default()
    }
}

/// The closest one of a kind among those that speak of every ensemble.
fn closest<'a, 'b>(all: &'a [Ranked<'b>], claims: &str) -> Option<&'a Ranked<'b>> {
    all.iter().find(|one| one.is_everywhere() && one.claims() == claims)
}

fn named<'a, 'b>(all: &'a [Ranked<'b>], criterion: &str) -> Option<&'a Ranked<'b>> {
    all.iter().find(|one| one.rows[0].criterion == criterion)
}

fn headline(all: &[Ranked<'_>]) -> Option<Headline> {
    let best = all.iter().find(|one| one.is_everywhere())?;
    let told = [closest(all, "necessary"), closest(all, "sufficient"), named(all, "c-8-4")];
    let mut numbers = vec![Number::new(best.range(), best.title())];
    for one in told.into_iter().flatten().filter(|one| one.title() != best.title()) {
        numbers.push(Number::new(one.range(), one.title()));
    }
    let sharpness = named(all, "sharpness").map_or(String::new(), |one| {
        format!(" The sharpness of the full batch, 2 / λ, is off by up to {}.", factor(one.largest_factor))
    });
    Some(Headline {
        title: predicts(best.largest_factor).to_owned(),
        numbers,
        sentence: format!(
            "Of the criteria that speak of all three, {} comes closest to the exact threshold η* at a minimum on digits, at one of a convolutional network and along \
             a training: {} η*.{sharpness}",
            best.title(),
            best.range()
        ),
        picture: Picture::new(
            "published-criteria-headline",
            format!(
                "Learning rates of criteria over the exact threshold, a row a criterion, a dot a batch size or epoch on a logarithmic axis with a dashed line at 1. {} is \
                 on the first row, {} of the exact threshold.",
                best.title(),
                best.range()
            ),
            "published-criteria",
        ),
    })
}

fn predicts(largest_factor: f64) -> &'static str {
    if largest_factor <= PREDICTS {
        "A published criterion predicts the exact threshold"
    } else {
        "No published criterion predicts the exact threshold"
    }
}

fn findings(rows: &[Row], all: &[Ranked<'_>]) -> Vec<String> {
    let mut findings: Vec<String> =
        all.iter().find(|one| one.is_everywhere()).map(which).into_iter().collect();
    let kinds = [("necessary", "Necessary conditions"), ("sufficient", "Sufficient conditions")];
    findings.extend(kinds.into_iter().filter_map(|(claims, word)| of_kind(rows, all, claims, word)));
    findings.extend(against_the_paper(all));
    findings.extend(of_gradients(all));
    findings
}

/// Whether the closest one predicts.
fn which(best: &Ranked<'_>) -> String {
    let where_from: Vec<String> = best
        .rows
        .iter()
        .map(|row| {
            let ratios = range([row.smallest_ratio, row.largest_ratio], ratio);
            format!("{ratios} η* ({})", title(&row.ensemble))
        })
        .collect();
    let (name, places) = (best.title(), list(&where_from));
    conclude(
        best.largest_factor <= PREDICTS,
        format!("**The closest criterion predicts the exact threshold to ten percent:** {name}, {places}."),
        format!(
            "**No criterion is within ten percent of the exact threshold everywhere.** The closest one is {name}, {places}."
        ),
    )
}

/// Whether conditions of a kind are on the side that they claim, and the closest one.
fn of_kind(rows: &[Row], all: &[Ranked<'_>], claims: &str, word: &str) -> Option<String> {
    let ratios = rows.iter().filter(|row| row.claims == claims).filter_map(|row| row.ratio_to_exact);
    let holds = |ratio: f64| {
        if claims == "necessary" { ratio >= 1.0 - ROUNDING } else { ratio <= 1.0 + ROUNDING }
    };
    let (right, count) =
        ratios.fold((0, 0), |(right, count), ratio| (right + usize::from(holds(ratio)), count + 1));
    let best = closest(all, claims)?;
    let said = format!("the closest is {}, {} η*", best.title(), best.range());
    Some(conclude(
        right == count,
        format!("**{word}** hold in all {count} cases; {said}."),
        format!("**{word}** hold in {right} of {count} cases only; {said}."),
    ))
}

/// The paper's criteria beside the sharpness, which everybody has.
fn against_the_paper(all: &[Ranked<'_>]) -> Option<String> {
    let (paper, sharpness) = (named(all, "c-8-4")?, named(all, "sharpness")?);
    let (far, near) = (factor(paper.largest_factor), factor(sharpness.largest_factor));
    Some(conclude(
        paper.largest_factor < sharpness.largest_factor,
        format!(
            "**The paper's divergence criterion** (Theorem C.8) is off by up to {far}, less than 2 / λ of the full batch, {near}."
        ),
        format!(
            "**The paper's divergence criterion** (Theorem C.8) is off by up to {far}, no less than 2 / λ of the full batch, {near}. Its convergence criterion (Theorem \
             C.9) says nothing where there are flat directions."
        ),
    ))
}

/// What needs gradients, which vanish at a minimum that interpolates.
fn of_gradients(all: &[Ranked<'_>]) -> Option<String> {
    let partial: Vec<&Ranked<'_>> = all.iter().filter(|one| !one.is_everywhere()).collect();
    let best = partial.first()?;
    let everywhere = all.iter().filter(|one| one.is_everywhere()).filter_map(|one| {
        one.rows.iter().find(|row| row.ensemble == best.rows[0].ensemble).map(|row| row.largest_factor)
    });
    let closest = everywhere.fold(f64::INFINITY, f64::min);
    let (told, far) = (format!("{}, {} η*", best.title(), best.range()), factor(best.largest_factor));
    Some(format!(
        "Diagnostics of gradients are 0/0 where all gradients vanish, as at both minima. Along the training {}",
        conclude(
            best.largest_factor < closest,
            format!("the closest of them, {told}, is closer than any criterion of curvatures."),
            format!(
                "the closest of them, {told}, is off by up to {far}; the closest criterion of curvatures there by up to {}.",
                factor(closest)
            ),
        )
    ))
}

fn table(all: &[Ranked<'_>]) -> Table {
    let columns: Vec<&str> = ["criterion", "claims"].into_iter().chain(ENSEMBLES).collect();
    let mut table = Table::new(
        "Learning rates at which criteria switch, over the exact threshold",
        &columns,
        "published-criteria-summary",
    );
    "Smallest and largest ratio over batch sizes or epochs; the closest criterion first. Formulas and sources are in the column `source` of the table."
        .clone_into(&mut table.note);
    for one in all {
        let mut claims: Vec<&str> = one.rows.iter().map(|row| row.claims.as_str()).collect();
        claims.dedup();
        let mut cells = vec![one.title().to_owned(), claims.join(" or ")];
        cells.extend(ENSEMBLES.map(|name| {
            let here = one.rows.iter().filter(|row| row.ensemble == name);
            range(here.flat_map(|row| [row.smallest_ratio, row.largest_ratio]), ratio)
        }));
        table.rows.push(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(criterion: &str, claims: &str, ensemble: &str, ratio: f64) -> Row {
        Row {
            ensemble: ensemble.to_owned(),
            epoch: None,
            batch_size: 1,
            criterion: criterion.to_owned(),
            claims: claims.to_owned(),
            sampling: "without-replacement".to_owned(),
            value: None,
            standard_error: None,
            learning_rate: Some(ratio),
            max_learning_rate: 1.0,
            ratio_to_exact: Some(ratio),
        }
    }

    /// Ratios of a criterion on all ensembles.
    fn everywhere(criterion: &str, claims: &str, ratio: f64) -> Vec<Row> {
        ENSEMBLES.iter().map(|name| row(criterion, claims, name, ratio)).collect()
    }

    fn said(rows: &[Row]) -> String {
        let summary = SummaryRow::of_all(rows);
        findings(rows, &ranked(&summary)).join("\n")
    }

    #[test]
    fn what_is_said_follows_from_the_numbers() {
        let mut rows = everywhere("sharpness", "necessary", 1.05);
        rows.extend(everywhere("c-8-4", "necessary", 3.0));
        rows.push(row("batch_sharpness", "estimate", ENSEMBLES[2], 1.5));
        let near = said(&rows);
        for part in
            ["predicts the exact threshold to ten percent", "hold in all 6 cases", "no less than 2 / λ"]
        {
            assert!(near.contains(part), "{part} is not in: {near}");
        }
        assert!(near.contains("is off by up to a factor of 1.50; the closest criterion"), "{near}");
        rows[0].ratio_to_exact = Some(0.2);
        rows.last_mut().unwrap().ratio_to_exact = Some(1.01);
        let far = said(&rows);
        for part in ["No criterion is within ten percent", "hold in 5 of 6 cases only", "less than 2 / λ"] {
            assert!(far.contains(part), "{part} is not in: {far}");
        }
        assert!(far.contains("closer than any criterion of curvatures"), "{far}");
        assert!(predicts(1.0).starts_with("A published") && predicts(1.2).starts_with("No published"));
    }
}
