//! The page of the results: its map, its curves and its tables hold the numbers of the CSV files beside it.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

#[expect(dead_code, reason = "other tests need more of it")]
mod common;
#[path = "common/page.rs"]
mod page;

use std::sync::LazyLock;

use common::{Row, Run, find, number, run};
use page::{Page, blocks, text_of, values};
use serde_json::Value;
use tempfile::TempDir;

/// What the runs of this file choose from.
const EXPERIMENTS: &[&dyn linstab_driver::Experiment] = linstab_experiments::ALL;

static MAP: LazyLock<(Run, TempDir)> = LazyLock::new(|| run("stability-map", 2));
static TRAINING: LazyLock<(Run, TempDir)> = LazyLock::new(|| run("coherence-dynamics", 2));

fn page_of(run: &'static LazyLock<(Run, TempDir)>) -> Page {
    Page::of(&run.1.path().join("results"))
}

#[test]
fn the_pages_stand_alone() {
    for page in [page_of(&MAP), page_of(&TRAINING)] {
        page.check();
        let (num_checked, num_controlled) = page.check_numbers();
        assert!(num_checked > 40, "{num_checked} numbers");
        assert!(2 * num_controlled > num_checked, "{num_controlled} of {num_checked} are controlled");
        let text = text_of(&page.html);
        assert!(text.contains("Reduced sizes.") && text.contains("Not in this run"), "a quick run of a part");
    }
}

#[test]
fn what_the_paper_names_is_found_by_name() {
    for (page, names) in [
        (page_of(&MAP), &["Figure 1 (a)", "Figure 1 (b)", "Figure 1 (c)"][..]),
        (page_of(&TRAINING), &["Figure 2", "Figure 3", "Figure 4", "Table 1", "Table 2"]),
    ] {
        let contents = blocks(&page.html, "<nav", "</nav>").next().unwrap();
        for name in names {
            assert!(contents.contains(&format!("\">{name}</a>")), "{name} is not among the contents");
        }
    }
}

/// Where the map of the page differs from the table: cells whose numbers are another to four digits, or whose verdicts are.
fn differences(map: &Value, rows: &[Row]) -> Vec<String> {
    const COLUMNS: [&str; 9] = [
        "num_diverged",
        "num_converged",
        "mean_divergence_step",
        "criterion_divergence",
        "criterion_theorem_3_3",
        "max_learning_rate",
        "mean_square_growth",
        "lyapunov_exponent",
        "gradient_descent_limit",
    ];
    let columns: Vec<Vec<&str>> = map["pool"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap().split(' ').collect())
        .collect();
    let of = |axis: &str| map[axis]["values"].as_array().unwrap().iter().map(|x| x.as_u64().unwrap());
    let grid: Vec<(u64, u64)> = of("x").flat_map(|x| of("y").map(move |y| (x, y))).collect();
    let mut differences = Vec::new();
    let mut rows = rows.iter();
    for map in map["maps"].as_array().unwrap() {
        let flags = map["flags"].as_str().unwrap().chars();
        for ((at, (x, y)), flag) in grid.iter().enumerate().zip(flags) {
            let row = rows.next().unwrap();
            let here = [&row["batch_size"], &row["sigma"]];
            assert_eq!(here, [&x.to_string(), &y.to_string()], "rows are in the order of the grid");
            for (name, column) in COLUMNS.iter().zip(map["columns"].as_array().unwrap()) {
                let shown = columns[usize::try_from(column.as_u64().unwrap()).unwrap()][at];
                if !agree(shown, &row[*name]) {
                    differences.push(format!("{name} of {} at {x}, {y}: {shown}", map["name"]));
                }
            }
            if flag.to_digit(32) != Some(verdicts(row)) {
                differences.push(format!("verdicts of {} at {x}, {y}", map["name"]));
            }
        }
    }
    assert!(rows.next().is_none(), "every row is on the map");
    differences
}

/// Whether a text of four digits is that of a number of the table.
fn agree(shown: &str, exact: &str) -> bool {
    match (shown.parse::<f64>(), exact.parse::<f64>()) {
        (Ok(shown), Ok(exact)) if exact.is_finite() => {
            // Half a unit of the fourth digit is at most 5e-4 of the number.
            (shown - exact).abs() <= 5.000_001e-4 * exact.abs()
        }
        (Ok(shown), Ok(exact)) => shown.to_bits() == exact.to_bits(),
        _ => shown == "-" && exact.is_empty(),
    }
}

/// The simulated verdict and the four predictions, by the definitions: a rate up to the threshold is stable, up to rounding.
fn verdicts(row: &Row) -> u32 {
    let rate = number(row, "learning_rate");
    let above = |column: &str| (rate / number(row, column)).ln() > 1e-12;
    let says = [
        row["diverged"] == "true",
        above("criterion_divergence"),
        above("criterion_theorem_3_3"),
        if row["max_learning_rate"].is_empty() {
            number(row, "mean_square_growth").ln() > 1e-12
        } else {
            above("max_learning_rate")
        },
        number(row, "lyapunov_exponent") > 1e-12,
    ];
    says.iter().rev().fold(0, |bits, &says| 2 * bits + u32::from(says))
}

#[test]
fn the_map_holds_the_numbers_of_its_table() {
    let rows = MAP.0.table("stability-map");
    let page = page_of(&MAP);
    let data = blocks(&page.html, "id=\"map-data\">", "</script>").next().unwrap();
    let mut map: Value = serde_json::from_str(data.trim_start_matches("id=\"map-data\">")).unwrap();
    let cells: usize =
        map["maps"].as_array().unwrap().iter().map(|map| map["flags"].as_str().unwrap().len()).sum();
    assert_eq!(cells, rows.len());
    assert_eq!(differences(&map, &rows), Vec::<String>::new());
    // Negative controls: a wrong digit, and a wrong verdict.
    let growth = usize::try_from(map["maps"][0]["columns"][6].as_u64().unwrap()).unwrap();
    let text = map["pool"][growth].as_str().unwrap().to_owned();
    let (first, rest) = text.split_once(' ').unwrap();
    let wrong = 1.002 * first.parse::<f64>().unwrap();
    map["pool"][growth] = Value::from(format!("{wrong} {rest}"));
    // SGD and random perturbation may have that column in common.
    assert!(!differences(&map, &rows).is_empty(), "a number that is 0.2 % off is noticed");
    map["pool"][growth] = Value::from(text);
    let flags = map["maps"][3]["flags"].as_str().unwrap();
    let flipped = char::from_digit(flags.chars().next().unwrap().to_digit(32).unwrap() ^ 8, 32).unwrap();
    map["maps"][3]["flags"] = Value::from(format!("{flipped}{}", &flags[1..]));
    assert_eq!(differences(&map, &rows).len(), 1, "a wrong verdict is noticed");
}

#[test]
fn shares_of_the_map_are_those_of_its_summary() {
    let summary = MAP.0.table("stability-map-summary");
    let table =
        page_of(&MAP).tables().into_iter().find(|table| table.data.ends_with("map-summary.csv")).unwrap();
    assert_eq!(table.rows.len(), summary.len());
    for (shown, row) in table.rows.iter().zip(&summary) {
        assert_eq!(shown[1..3], [row["num_stable"].clone(), row["num_cells"].clone()]);
        let columns =
            ["right_divergence_criterion", "right_theorem_3_3", "right_mean_square", "right_lyapunov"];
        for (cell, column) in shown[3..].iter().zip(columns) {
            let share = 100.0 * number(row, column) / number(row, "num_cells");
            assert_eq!(*cell, format!("{share:.1} %"), "{}: {column}", shown[0]);
        }
    }
    // The first screen has the map that the paper drew first.
    let headline = text_of(blocks(&page_of(&MAP).html, "<article", "</article>").next().unwrap());
    let sgd = find(
        &summary,
        &[("optimizer", "sgd"), ("sampling", "without-replacement"), ("learning_rate", "0.5")],
    );
    for column in ["right_lyapunov", "right_theorem_3_3", "right_mean_square"] {
        let share = format!("{:.1} %", 100.0 * number(sgd, column) / number(sgd, "num_cells"));
        assert!(headline.contains(&share), "{column}: {share} is not in {headline}");
    }
}

#[test]
fn table_1_is_that_of_the_csv() {
    let csv = TRAINING.0.table("table-1");
    let page = page_of(&TRAINING);
    let table = page.tables().into_iter().find(|table| table.title.starts_with("Table 1")).unwrap();
    let symbols = [("lambda_max_s", "λmax(S)"), ("max_sample_sharpness", "max λmax(Hᵢ)"), ("trace", "tr H")];
    for (metric, symbol) in symbols {
        for row in csv.iter().filter(|row| row["metric"] == metric) {
            let rho = number(row, "rho");
            let optimizer = if rho > 0.0 { format!("SAM {rho}") } else { "SGD".to_owned() };
            let shown = table.rows.iter().find(|shown| shown[0] == symbol && shown[1] == optimizer).unwrap();
            let (mean, sd) = (number(row, "mean"), number(row, "sd"));
            assert_eq!(shown[2], format!("{mean:.1} ± {sd:.1}"));
            let (reported, column) = (&row["reported_mean"], if row["source"] == "paper" { 4 } else { 3 });
            assert!(shown[column].starts_with(reported.trim_end_matches(".0")), "{reported}: {shown:?}");
        }
    }
}

/// The values that a reader sees when pointing at a curve are those of the table, to four digits.
#[test]
fn curves_hold_the_numbers_of_their_table() {
    let rows = TRAINING.0.table("coherence-dynamics");
    let page = page_of(&TRAINING);
    let figure = blocks(&page.html, "data-figure=\"figures/figure-3\"", "</figure>").next().unwrap();
    let panel = blocks(figure, "data-title=\"λmax(S)\"", "class=\"ticks").next().unwrap();
    let curves: Vec<&str> =
        values(panel, "data-series=\"SAM ρ = 0.05\" data-xy=\"").filter(|xy| !xy.is_empty()).collect();
    assert_eq!(curves.len(), 1, "one curve beside its band");
    let points: Vec<(&str, &str)> =
        curves[0].split(' ').map(|point| point.split_once(',').unwrap()).collect();
    assert_eq!(points.len(), 21, "the start and 20 epochs");
    for (epoch, mean) in points {
        let here =
            [("rho", "0.05"), ("contrastive_weight", "0.0"), ("learning_rate", "0.1"), ("epoch", epoch)];
        let row = find(&rows, &[&here[..], &[("metric", "lambda_max_s")]].concat());
        assert!(agree(mean, &row["mean"]), "epoch {epoch}: {mean}, not {}", row["mean"]);
    }
}
