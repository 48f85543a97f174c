//! The ledger: complete, every verdict the expected one, each negative control turns its verdict, the same for any number of threads.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../../linstab-experiments/tests/common/mod.rs"]
mod common;
#[path = "../../linstab-experiments/tests/common/page.rs"]
mod page;

use std::collections::BTreeSet;
use std::path::Path;

use common::{configs, options};
use linstab_claims::{Claim, ClaimCells, Config, Judgement, RatioCells, Runs, ledger};
use linstab_driver::engine::Cells as _;
use linstab_driver::progress::Silent;
use linstab_driver::{CellStore, Context, reproduce};
use page::{Page, blocks, text_of};
use rayon::prelude::*;

/// What the runs of this file choose from.
const EXPERIMENTS: &[&dyn linstab_driver::Experiment] = &[&linstab_claims::Claims];

/// The statements of the paper's appendix, one id each; several can share one claim.
const IDS: &str = "\
    eq6 eq7 eq8 C.1-text eq9 eq68 C.1-norm C.3-setup eq10 eq33 lemC1 lemC2 lemC3 lemC4 lemC5 lemC6 eq14 eq15 eq16 eq17 eq21 eq18 C.7.1 \
    eq19 eq20 eq22 eq23 C.7.2 eq24 eq25 C.7.3 eq27 eq28 eq32 eq34 eq35 eq36 C.8.1 eq37 eq38 eq38-first-step eq39 eq40 eq29 C.8.2 eq41 \
    eq42 eq43 eq30 C.8.3 eq44 eq31 C.8.4 eq46 eq51 C.9.1 eq47 eq50 eq52 eq62 eq48 eq67 C.9.2 eq49 C.9.3 eq54 eq55 eq56 eq57 eq58 eq59 \
    eq60 eq61 eq63 eq64 eq65 eq66 eq69 eq70 thm3.4-forward thm3.4-reverse eq71 eq72 eq73 eq75 eq74 thm3.5 eq76 eq77 eq78 thm3.6 eq79 \
    eq80 eq81 eq82 eq83 eq84 eq85 eq86 eq87 thm3.3 eq88 eq89 eq90 eq91 F1 F2 F3 transformed-sharper \
    maps-coincide-0.5 maps-coincide-0.8 sam-region-smaller rho-shrinks-region boundary-is-theorems smaller-C-faster smaller-C-faster-50-epochs sam-faster \
    sam-lowers-sample-sharpness sam-lowers-coherence-eigenvalue figure-4-regression contrastive-shifts-along-line \
    contrastive-shifts-line simpler-more-stable \
    redundancy-blunts sam-favours-coherence reshuffled-not-below \
    divergence-criterion-predicts sam-smaller-threshold training-ends-stable";

fn context(configs: &Path) -> Context<'_> {
    Context { configs, quick: true, seed: None, num_threads: 2, program: "test", progress: &Silent }
}

/// The quick sizes of the shipped configuration.
fn config() -> Config {
    Config::load(&context(&configs())).unwrap()
}

/// Claims that need no runs of their own: all but those on maps and trainings.
fn needs_no_runs(claim: &Claim) -> bool {
    !["stability map", "small networks"].iter().any(|words| claim.assumptions.contains(words))
}

#[test]
fn every_statement_is_there_once() {
    let found: Vec<&str> = ledger().iter().flat_map(|claim| claim.ids).copied().collect();
    let distinct: BTreeSet<&str> = found.iter().copied().collect();
    assert_eq!(found.len(), distinct.len(), "an id occurs twice");
    assert_eq!(distinct, IDS.split_whitespace().collect::<BTreeSet<_>>());
    for claim in ledger() {
        assert!(!claim.statement.is_empty() && claim.statement.ends_with('.'), "{}", claim.id());
        let corrected = !claim.correction.is_empty();
        let named = ["holds-after-correction", "bound-only", "refuted"].contains(&claim.expected.name());
        assert!(corrected || !named, "{} needs a correction", claim.id());
    }
}

/// Everything through the front door: the verdicts, the tables, the list for the report.
#[test]
fn every_verdict_is_the_expected_one() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("results");
    let report = reproduce(&[&linstab_claims::Claims], &options("claims", 2, out.clone()), &Silent).unwrap();
    assert_eq!(report.failures().next(), None, "the experiment is completed");
    let summary = &report.outcomes[0].summary;
    assert!(summary.contains("every verdict is the expected one"), "{summary}");
    let list: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(out.join("claims.json")).unwrap()).unwrap();
    assert_eq!(list.len(), IDS.split_whitespace().count());
    for entry in &list {
        assert_eq!(entry["verdict"], entry["expected_verdict"], "{entry}");
        for key in ["id", "verdict", "expected_verdict", "statement", "correction", "evidence"] {
            assert!(entry[key].is_string(), "{key} of {entry}");
        }
        assert!(entry["evidence"].as_str().unwrap().len() > 5, "{entry}");
    }
    for file in [
        "tables/claims.csv",
        "tables/claims-ratios.csv",
        "figures/claims-verdicts.svg",
        "figures/claims-ratios.png",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    check_page(&Page::of(&out), &list);
}

/// The entries of the page's ledger: number, statement, verdict.
fn entries(html: &str) -> Vec<[String; 3]> {
    let part = |entry: &str, class: &str| {
        text_of(blocks(entry, &format!("<span class=\"{class}\""), "</span>").next().unwrap())
    };
    let entry = |entry: &str| ["number", "statement", "verdict"].map(|class| part(entry, class));
    blocks(html, "<li class=\"entry\"", "</li>").map(entry).collect()
}

/// The page has every statement with its verdict, escaped, and counts them rightly.
fn check_page(page: &Page, list: &[serde_json::Value]) {
    page.check();
    assert!(page.check_numbers().0 > 30, "the table of ratios is there");
    let text_of_entry = |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let keys = ["id", "statement", "verdict"];
    let expected: Vec<[String; 3]> =
        list.iter().map(|entry| keys.map(|key| text_of_entry(entry, key))).collect();
    assert_eq!(entries(&page.html), expected, "the entries are those of the list");
    let text = text_of(&page.html);
    for entry in list {
        for key in ["evidence", "correction"] {
            assert!(text.contains(&text_of_entry(entry, key)), "{key} of {}", entry["id"]);
        }
    }
    let ledger = blocks(&page.html, "<ol class=\"entries\">", "</ol>").next().unwrap();
    assert!(ledger.contains(" &lt; ") && !ledger.contains("< "), "some texts need escaping, and are escaped");
    // The counts of the first screen and of the filter.
    let numbers = |html: &str, from: &str, to: &str| -> Vec<usize> {
        blocks(html, from, to).map(|block| text_of(block).parse().unwrap()).collect()
    };
    let headline = blocks(&page.html, "<article", "</article>").next().unwrap();
    let verdicts = ["holds", "holds-after-correction", "bound-only", "refuted", "supported", "not-supported"];
    let counts = verdicts.map(|verdict| list.iter().filter(|entry| entry["verdict"] == verdict).count());
    assert_eq!(numbers(headline, "<dd>", "</dd>"), counts, "the first screen counts rightly");
    let chips = numbers(&page.html, "<span class=\"count\">", "</span>");
    assert_eq!(chips, counts, "the filter counts rightly");
    let wrong = page.html.replacen(">refuted</span>", ">holds</span>", 1);
    assert_ne!(entries(&wrong), expected, "negative control: another verdict is noticed");
}

/// Every negative control, those of the empirical claims on the runs of the quick configuration.
#[test]
fn a_wrong_constant_turns_the_verdict() {
    let (config, configs) = (config(), configs());
    let folder = tempfile::tempdir().unwrap();
    let runs =
        Runs::make(&config, &context(&configs), |name| CellStore::at(&folder.path().join(name))).unwrap();
    let cells = ClaimCells::new(&config, &runs, "test");
    let controls: Vec<(&Claim, f64)> =
        ledger().into_iter().filter_map(|claim| Some((claim, claim.wrong_constant?))).collect();
    assert!(controls.len() >= 80, "{} negative controls", controls.len());
    controls.par_iter().for_each(|&(claim, wrong)| {
        let judgement = cells.judge(claim, wrong).unwrap();
        assert_ne!(judgement.verdict, claim.expected, "{} with {wrong}: {}", claim.id(), judgement.evidence);
    });
}

#[test]
fn neither_threads_nor_order_change_a_verdict() {
    let (config, runs) = (config(), Runs::default());
    let cells = ClaimCells::new(&config, &runs, "test");
    let indices: Vec<usize> =
        (0..cells.num_cells()).filter(|&at| needs_no_runs(cells.claims()[at])).collect();
    let judge = |num_threads: usize| -> Vec<Judgement> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(num_threads).build().unwrap();
        pool.install(|| indices.par_iter().map(|&at| cells.compute(at).unwrap()).collect())
    };
    let two = judge(2);
    assert_eq!(two, judge(3));
    let mut other = config.clone();
    other.seed += 1;
    let cells = ClaimCells::new(&other, &runs, "test");
    let changed: Vec<Judgement> = indices.par_iter().map(|&at| cells.compute(at).unwrap()).collect();
    assert_ne!(two, changed, "negative control: another seed");
    let verdicts = |judgements: &[Judgement]| judgements.iter().map(|one| one.verdict).collect::<Vec<_>>();
    assert_eq!(verdicts(&two), verdicts(&changed), "but not the verdicts");
}

#[test]
fn no_criterion_speaks_below_the_exact_threshold() {
    let config = config();
    let cells = RatioCells::new(&config, "test");
    let ratios: Vec<_> =
        (0..cells.num_cells()).into_par_iter().map(|at| cells.compute(at).unwrap()).collect();
    let ratios = ratios.concat();
    assert!(ratios.len() >= 190, "{} ensembles", ratios.len());
    for [divergence, transformed, sample, rayleigh, alone] in ratios {
        let least = divergence.min(transformed).min(sample).min(rayleigh).min(alone);
        assert!(least > 1.0 - 1e-9, "{least}");
        assert!(
            sample <= divergence * (1.0 + 1e-9) && sample <= transformed * (1.0 + 1e-9),
            "the sample is sharpest"
        );
    }
}

#[test]
fn bad_configurations_are_named() {
    let text = std::fs::read_to_string(configs().join("claims.toml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claims.toml");
    for (from, to, expected) in [
        ("num_random = 400", "num_random = 0", "sizes.num_random is 0, allowed: 1 to 1000000"),
        ("batch_size_step = 4", "batch_size_step = 99", "quick.batch_size_step is 99, allowed: 1 to 24"),
        ("thorough = false", "thorough = 1", "invalid type"),
        ("seed = 2026", "sead = 2026", "unknown field `sead`"),
    ] {
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        let error = Config::read(&path).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(expected), "{error}");
    }
}
