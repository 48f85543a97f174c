//! What the ledger has to say on the page.

use super::claim::Verdict;
use super::drawing::shade;
use super::tables::{ClaimRow, RatioRow};
use linstab_report::section::{Category, Entry, Figure, Headline, Ledger, Number, Picture, Section, Table};
use linstab_report::text::{list, significant};

/// The section of the ledger.
pub(super) fn section(rows: &[ClaimRow], ratios: &[RatioRow]) -> Section {
    Section {
        title: "The audit: every statement, recomputed".to_owned(),
        short_title: "Claims".to_owned(),
        paper: vec![
            "Theorems 3.1 to 3.6 with their proofs, the numbered equations of the appendix, and what the paper says of its experiments."
                .to_owned(),
        ],
        findings: findings(rows, ratios),
        headline: Some(headline(rows)),
        figures: figures(),
        ledger: Some(ledger(rows)),
        tables: vec![table(ratios)],
        ..Section::default()
    }
}

/// What the letters of the statements mean.
const NOTATION: &str = "**Notation.** H_i is the curvature of sample i, H their mean, H_t that of batch t of B samples, n and d the numbers of samples and parameters; \
    A = I + (rho/alpha) H, J = I - eta H A, N_k = eta^2 (1/(Bn) - 1/n^2) sum_i A H_i N_{k-1} H_i A with N_0 = I, M_k = J^(2k) + N_k; S is the coherence matrix with \
    entries sqrt(tr(H_i H_j)), sigma = lambda_max(S) / max_i lambda_max(H_i), lambda_1 = lambda_max(H), lambda_min the smallest eigenvalue of H; T is the map from \
    one second moment to the next, Phi its part from sampling noise, rho(.) their spectral radius; eta* is the exact mean-square threshold.";

fn count(rows: &[ClaimRow], verdict: Verdict) -> usize {
    rows.iter().filter(|row| row.verdict == verdict).count()
}

fn in_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "hold",
        Verdict::HoldsAfterCorrection => "hold after correction",
        Verdict::BoundOnly => "bound only",
        Verdict::Refuted => "refuted",
        Verdict::Supported => "supported",
        Verdict::NotSupported => "not supported",
    }
}

fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "true as stated: not broken by a search, or checked exactly or on many instances",
        Verdict::HoldsAfterCorrection => "false or meaningless as printed, true as corrected",
        Verdict::BoundOnly => "printed as an equality or a typical value; only a bound to one side is true",
        Verdict::Refuted => "false: there is an explicit counterexample",
        Verdict::Supported => "empirical, and our own runs bear it out",
        Verdict::NotSupported => "empirical, and our own runs do not bear it out",
    }
}

fn counts_in_words(rows: &[ClaimRow]) -> String {
    let counts: Vec<String> = Verdict::ALL
        .iter()
        .map(|&verdict| format!("{} {}", count(rows, verdict), in_words(verdict)))
        .collect();
    list(&counts)
}

fn headline(rows: &[ClaimRow]) -> Headline {
    let total = rows.len();
    Headline {
        title: format!("{total} statements, each judged by recomputation"),
        numbers: Verdict::ALL
            .into_iter()
            .map(|verdict| Number::new(count(rows, verdict).to_string(), in_words(verdict)))
            .collect(),
        sentence: format!(
            "Inequalities that hold have been attacked by a search, identities checked on instances or in fractions; what is refuted has an explicit counterexample; \
             empirical statements are judged on runs of our own. Statements that stand or fall together share a check: there are {} checks.",
            super::ledger::ledger().len()
        ),
        picture: Picture::new(
            "claims-headline",
            format!("Bars for the verdicts on {total} statements: {}.", counts_in_words(rows)),
            "claims",
        ),
    }
}

fn findings(rows: &[ClaimRow], ratios: &[RatioRow]) -> Vec<String> {
    let beside = rows.iter().filter(|row| row.statement.starts_with("Not in the paper")).count();
    let mut findings = vec![
        format!(
            "**Of {} statements** {}. They are judged by {} checks, since numbers for one statement share one; {beside} of them are not in the paper, and say so.",
            rows.len(),
            counts_in_words(rows),
            super::ledger::ledger().len()
        ),
        NOTATION.to_owned(),
    ];
    let moved = rows.iter().filter(|row| row.verdict != row.expected_verdict).count();
    if moved > 0 {
        findings.push(format!(
            "**{moved} verdicts are not the expected ones.** On small samples empirical verdicts can turn; each entry says which was expected."
        ));
    }
    if let Some(best) = ratios.iter().min_by(|a, b| a.median.total_cmp(&b.median))
        && let Some(papers) = ratios.first()
    {
        findings.push(format!(
            "**How late do the criteria speak?** On {} random ensembles the paper's divergence criterion, joined by the limit of gradient descent, begins at {} times \
             the exact threshold in the median and at {} times in the worst case; the sharpest of the others, {}, at {} and {} times.",
            papers.num_ensembles,
            significant(papers.median, 3),
            significant(papers.max, 3),
            best.criterion,
            significant(best.median, 3),
            significant(best.max, 3)
        ));
    }
    findings
}

fn figures() -> Vec<Figure> {
    vec![
        Figure::new(
            "claims-verdicts",
            "Verdicts",
            "How many statements have which verdict.",
            "A bar for each of the six verdicts, with its number of statements.",
            "claims",
        ),
        Figure::new(
            "claims-ratios",
            "How far above the exact threshold do the criteria begin to speak?",
            "The share of random ensembles whose ratio of criterion to exact threshold is below the value on the axis. A perfect criterion is a step at 1.",
            "Cumulative curves over the ratio of each criterion to the exact threshold, from 1 to 20, a curve a criterion.",
            "claims-ratios-curves",
        ),
    ]
}

fn ledger(rows: &[ClaimRow]) -> Ledger {
    let categories = Verdict::ALL.map(|verdict| Category {
        name: verdict.name().to_owned(),
        colour: shade(verdict).to_owned(),
        meaning: meaning(verdict).to_owned(),
    });
    let entry = |row: &ClaimRow| {
        let expected = if row.verdict == row.expected_verdict { "" } else { row.expected_verdict.name() };
        let details = [
            ("Correction", row.correction),
            ("Evidence", row.evidence.as_str()),
            ("Assumptions", row.assumptions),
            ("What would overturn it", row.refuted_by),
            ("Expected verdict", expected),
            ("Command", "cargo xtask reproduce --only claims"),
        ];
        let details = details.into_iter().filter(|(_, text)| !text.is_empty());
        Entry {
            id: row.id.to_owned(),
            category: row.verdict.name().to_owned(),
            statement: row.statement.to_owned(),
            details: details.map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
        }
    };
    Ledger {
        title: "All statements".to_owned(),
        categories: categories.to_vec(),
        entries: rows.iter().map(entry).collect(),
        data: "tables/claims.csv".to_owned(),
    }
}

fn table(ratios: &[RatioRow]) -> Table {
    let columns = [
        "criterion for divergence",
        "ensembles",
        "smallest",
        "10 %",
        "median",
        "90 %",
        "largest",
        "exact to 0.1 %",
    ];
    let mut table =
        Table::new("Learning rate of each criterion over the exact threshold", &columns, "claims-ratios");
    "All but the last are joined by the limit of gradient descent.".clone_into(&mut table.note);
    for row in ratios {
        let numbers = [row.min, row.q10, row.median, row.q90, row.max].map(|ratio| significant(ratio, 4));
        let head = [row.criterion.to_owned(), row.num_ensembles.to_string()];
        table.rows.push(head.into_iter().chain(numbers).chain([row.num_exact.to_string()]).collect());
    }
    table
}
