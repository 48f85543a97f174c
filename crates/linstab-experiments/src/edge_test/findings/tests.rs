//! Sentences on numbers that hold, and on numbers that contradict them.

use super::super::config::Judgement;
use super::super::count::Count;
use super::*;

/// Numbers on which every statement holds.
fn verdicts() -> Verdicts {
    let all = Count { num_right: 20, num: 20 };
    Verdicts {
        judgement: Judgement { tight: 0.05, loose: 0.1, share: 0.9 },
        exact: all,
        exact_with_noise: all,
        safe: all,
        tipped: all,
        almost_sure: all,
        misses_between: all,
        ranking: vec![(EXACT.to_owned(), 0.01), (GRADIENT_DESCENT.to_owned(), 30.0)],
        own_loader: all,
        freezing: all,
        finite_loss: all,
    }
}

fn nowhere() -> Provenance {
    Provenance { date: String::new(), processor: String::new(), hours_of_one_core: 0.0 }
}

fn results<'a>(verdicts: &'a Verdicts, provenance: &'a Provenance) -> Results<'a> {
    Results {
        settings: &[],
        errors: &[],
        batches: &[],
        verdicts,
        seeds: &[],
        trainings: &[],
        frameworks: &[],
        provenance,
    }
}

/// What is said is said of numbers that hold, and the other sentence of numbers that do not.
#[test]
fn what_is_said_follows_from_the_numbers() {
    let holds = verdicts();
    assert!(holds.statements().iter().all(|(_, holds)| *holds == Some(true)), "{holds:?}");
    let few = Count { num_right: 17, num: 20 };
    let other = "batch_sharpness".to_owned();
    let fails = Verdicts {
        exact: few,
        safe: few,
        tipped: few,
        almost_sure: few,
        misses_between: few,
        ranking: vec![(other, 0.001), (GRADIENT_DESCENT.to_owned(), 0.01), (EXACT.to_owned(), 0.1)],
        own_loader: few,
        freezing: few,
        finite_loss: few,
        ..holds.clone()
    };
    assert!(fails.statements().iter().all(|(_, holds)| *holds == Some(false)), "{fails:?}");
    let [said, other] = [&holds, &fails].map(|verdicts| findings(&results(verdicts, &nowhere())));
    let begins = |text: &str, start: &str| assert!(text.starts_with(start), "{text}");
    for (index, (first, second)) in [
        ("**Below η* runs decay", "**Not all runs decay"),
        ("**Single runs tip at", "**Single runs do not everywhere tip"),
        ("**They tip at the mean-square", "**The mean square can grow well before"),
        ("**The gap between the two thresholds says", "**The gap between the two thresholds is not"),
        ("**No other predictor is nearer than", "**Another predictor is nearer"),
        ("**The loader matters", "**The loader's own threshold is not always"),
        ("**Freezing predicts", "**Freezing does not predict"),
        ("**Gauss-Newton curvature is enough", "**Gauss-Newton curvature is not enough"),
    ]
    .into_iter()
    .enumerate()
    {
        begins(&said[index], first);
        begins(&other[index], second);
    }
    assert!(
        said[4].contains("a factor of 31") && other[4].contains("batch sharpness 0.10 %"),
        "{said:?} {other:?}"
    );
    assert!(title(&holds).ends_with("predict where training becomes unstable"));
    assert!(title(&fails).starts_with("Exact thresholds do not"));
}

/// Where there is nothing to test, nothing is said.
#[test]
fn nothing_is_said_of_nothing() {
    let none = Count::default();
    let nothing = Verdicts {
        exact: none,
        safe: none,
        tipped: none,
        almost_sure: none,
        misses_between: none,
        ranking: Vec::new(),
        own_loader: none,
        freezing: none,
        finite_loss: none,
        ..verdicts()
    };
    assert_eq!(findings(&results(&nothing, &nowhere())), Vec::<String>::new());
}

#[test]
fn batches_are_judged_by_the_share_of_right_answers() {
    let rows = |num_right| {
        [ALMOST_SURE, EXACT, GRADIENT_DESCENT].map(|predictor| BatchRow {
            scope: Scope::Interpolating.name(),
            predictor: predictor.to_owned(),
            num_groups: 1,
            num_asked: 10,
            num_right,
            num_too_large: 10 - num_right,
            num_too_small: 0,
        })
    };
    assert!(batches_in_words(&rows(9)).unwrap().starts_with("**They predict the smallest stable batch size"));
    assert!(batches_in_words(&rows(8)).unwrap().starts_with("**They do not always predict"));
}

#[test]
fn events_of_trainings_are_told_either_way() {
    let count = |[num_right, num]: [usize; 2]| Count { num_right, num };
    let events = |onsets, spikes, calm, delays| Events {
        onsets: count(onsets),
        spikes: count(spikes),
        calm: count(calm),
        delays: count(delays),
    };
    let all = events([5, 5], [5, 5], [0, 5], [5, 5]);
    let few = events([4, 5], [5, 5], [3, 5], [4, 5]);
    let said = |events| {
        [onsets_in_words(events), spikes_in_words(events), removals_in_words(events)].map(Option::unwrap)
    };
    for (said, begins) in said(all).iter().zip([
        "**A loss begins to rise",
        "**A spike is told",
        "**Without the responsible samples it rises",
    ]) {
        assert!(said.starts_with(begins), "{said}");
    }
    for (said, begins) in said(few).iter().zip([
        "**A loss does not always",
        "**A spike is not told",
        "**Without the responsible samples it does not",
    ]) {
        assert!(said.starts_with(begins), "{said}");
    }
    assert_eq!(spikes_in_words(Events::default()), None);
}

#[test]
fn seeds_that_differ_are_told() {
    let row = |statement: &str, seed: &str, holds| SeedRow {
        statement: statement.to_owned(),
        seed: seed.to_owned(),
        holds,
    };
    let rows = |second| {
        vec![
            row("a", "all", Some(true)),
            row("b", "all", Some(false)),
            row("a", "1", Some(true)),
            row("b", "1", None),
            row("a", "2", second),
            row("b", "2", Some(false)),
        ]
    };
    assert!(
        seeds_in_words(&rows(Some(true)), true).unwrap().starts_with("**2 seeds of everything say the same")
    );
    let of_parts = seeds_in_words(&rows(Some(true)), false).unwrap();
    assert!(of_parts.starts_with("**2 seeds, not of the same settings, say the same"), "{of_parts}");
    let differ = seeds_in_words(&rows(Some(false)), true).unwrap();
    assert!(
        differ.starts_with("**2 seeds of everything do not") && differ.ends_with("about whether a."),
        "{differ}"
    );
    assert_eq!(seeds_in_words(&rows(Some(true))[..4], true), None, "one seed alone");
}
