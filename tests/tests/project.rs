//! The project keeps its own rules: layers, documents, commands of the README.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use linstab_tests::{cargo, output, root, stderr};

fn manifest(path: &str) -> toml::Table {
    std::fs::read_to_string(root().join(path)).unwrap().parse().unwrap()
}

/// Who may depend on whom, tests aside: the table of ARCHITECTURE.md.
#[test]
fn layers_are_kept() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("linstab-linalg", &[][..]),
        ("linstab-dynamics", &["linstab-linalg"]),
        ("linstab-coherence", &["linstab-linalg"]),
        ("linstab-relu", &["linstab-linalg"]),
        ("linstab-experiments", &["linstab-linalg", "linstab-dynamics", "linstab-coherence", "linstab-relu"]),
        ("linstab-analysis", &["linstab-linalg", "linstab-dynamics", "linstab-coherence"]),
        ("linstab-cli", &["linstab-experiments", "linstab-analysis"]),
    ]);
    let mut num_crates = 0;
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let allowed =
            allowed.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no place among the layers"));
        let manifest = manifest(&format!("crates/{name}/Cargo.toml"));
        let dependencies = manifest["dependencies"].as_table().unwrap();
        for dependency in dependencies.keys() {
            let ours = dependency.starts_with("linstab-");
            assert!(!ours || allowed.contains(&dependency.as_str()), "{name} must not know {dependency}");
            assert!(dependency != "faer" || name == "linstab-linalg", "{name} must not call faer itself");
            assert!(dependency != "bincode" || name == "linstab-experiments", "{name} must not call bincode");
        }
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{name} inherits the lints");
        num_crates += 1;
    }
    assert_eq!(num_crates, allowed.len());
    assert!(!manifest("xtask/Cargo.toml").contains_key("dependencies"), "xtask builds in seconds");
}

/// Every command in the README does what it says. Output folders are replaced by temporary ones.
#[test]
fn commands_of_the_readme_work() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut commands: Vec<&str> = readme
        .split("```sh\n")
        .skip(1)
        .flat_map(|block| block.split("```").next().unwrap_or_default().lines())
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .collect();
    commands.sort_unstable();
    commands.dedup();
    assert!(commands.contains(&"cargo xtask reproduce"), "{commands:?}");
    let folder = tempfile::tempdir().unwrap();
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let run = match words[..] {
            // This very run; and a step outside of a checkout.
            ["cargo", "xtask", "test"] | ["git", "clone", ..] | ["cd", ..] => continue,
            ["cargo", "xtask", "reproduce", ..] => {
                let out = folder.path().join("results");
                let words: Vec<&str> =
                    words[1..].iter().copied().filter(|word| !word.starts_with("target/")).collect();
                let words: Vec<&str> = words.into_iter().filter(|&word| word != "--out").collect();
                let run = output(cargo(&[&words[..], &["--out", out.to_str().unwrap()]].concat()));
                if words == ["xtask", "reproduce"] {
                    check_numbers_of_the_readme(&readme, &out);
                    check_table_1_of_the_readme(&readme, &out);
                }
                run
            }
            // A benchmark is no timed test; one of them shows that the command works.
            ["cargo", "xtask", "bench"] => {
                output(cargo(&["xtask", "bench", "--only", "sampler/random-word"]))
            }
            ["cargo", ..] => output(cargo(&words[1..])),
            _ => panic!("`{command}`: only cargo commands belong into the README"),
        };
        assert!(run.status.success(), "`{command}`: {}", stderr(&run));
    }
}

/// The README quotes cells of the summary as `optimizer sampling eta: stable / right by each boundary`.
fn check_numbers_of_the_readme(readme: &str, out: &std::path::Path) {
    let mut reader = csv::Reader::from_path(out.join("tables/stability-map-summary.csv")).unwrap();
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(|row| row.unwrap()).collect();
    let mut num_checked = 0;
    for row in &rows {
        let name = match row["optimizer"].as_str() {
            "sam" => format!("SAM {}", row["rho_over_alpha"]),
            "sgd" => "SGD".to_owned(),
            _ => "random perturbation".to_owned(),
        };
        if row["sampling"] != "without-replacement" {
            continue;
        }
        let prefix = format!("| {name} | {} |", row["learning_rate"]);
        if let Some(line) = readme.lines().find(|line| line.starts_with(&prefix)) {
            let percent = |key: &str| {
                let share = row[key].parse::<f64>().unwrap() / row["num_cells"].parse::<f64>().unwrap();
                format!("{:.1} %", 100.0 * share)
            };
            let expected = format!(
                "{prefix} {} | {} | {} | {} | {} |",
                row["num_stable"],
                percent("right_divergence_criterion"),
                percent("right_theorem_3_3"),
                percent("right_mean_square"),
                percent("right_lyapunov")
            );
            assert_eq!(line, expected, "the README has drifted from the results");
            num_checked += 1;
        }
    }
    assert_eq!(num_checked, 12, "every map without replacement stands in the README");
}

/// The README quotes Table 1 beside the released code, and the threshold at the end of training at a large learning rate.
fn check_table_1_of_the_readme(readme: &str, out: &std::path::Path) {
    let table = |name: &str| -> Vec<BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_path(out.join("tables").join(name)).unwrap();
        reader.deserialize().map(|row| row.unwrap()).collect()
    };
    let number = |row: &BTreeMap<String, String>, key: &str| row[key].parse::<f64>().unwrap();
    let mut num_checked = 0;
    for row in table("table-1.csv").iter().filter(|row| row["source"] == "released-code") {
        let metric = match row["metric"].as_str() {
            "lambda_max_s" => "λmax(S)",
            "max_sample_sharpness" => "max λmax(H_i)",
            "sharpness" => "λmax(H)",
            other => panic!("{other} is not in the README"),
        };
        let rho = number(row, "rho");
        let optimizer = if rho > 0.0 { format!("SAM {rho}") } else { "SGD".to_owned() };
        let expected = format!(
            "| {metric} | {optimizer} | {:.1} ± {:.1} | {:.1} ± {:.1} | {:+.1} |",
            number(row, "mean"),
            number(row, "sd"),
            number(row, "reported_mean"),
            number(row, "reported_sd"),
            number(row, "difference_in_standard_errors")
        );
        assert!(readme.contains(&expected), "the README has drifted from `{expected}`");
        num_checked += 1;
    }
    assert_eq!(num_checked, 12, "three metrics of four optimizers");
    let summary = table("coherence-dynamics-summary.csv");
    let wanted = [
        ("metric", "max_learning_rate"),
        ("learning_rate", "0.3"),
        ("rho", "0.0"),
        ("contrastive_weight", "0.0"),
    ];
    let edge = summary.iter().find(|row| wanted.iter().all(|(key, text)| row[*key] == *text)).unwrap();
    let expected = format!("({:.3} ± {:.3} at the end)", number(edge, "mean"), number(edge, "sd"));
    assert!(readme.contains(&expected), "the README has drifted from `{expected}`");
}

#[test]
fn help_says_units_defaults_and_examples() {
    let help = output(linstab_tests::linstab(&["reproduce", "--help"]));
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    for part in ["--only <ID>", "[default: target/reproduce]", "Examples:", "Exit codes:", "one a core"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}
