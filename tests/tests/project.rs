//! The project keeps its own rules: layers, documents, commands of the README.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;

use linstab_tests::{cargo, linstab, output, root, stderr};

fn manifest(path: &str) -> toml::Table {
    std::fs::read_to_string(root().join(path)).unwrap().parse().unwrap()
}

/// Who may depend on whom, tests aside: the table of ARCHITECTURE.md.
#[test]
fn layers_are_kept() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("linstab-linalg", &[][..]),
        ("linstab-dynamics", &["linstab-linalg"]),
        ("linstab-coherence", &["linstab-linalg", "linstab-dynamics"]),
        ("linstab-relu", &["linstab-linalg", "linstab-dynamics"]),
        ("linstab-report", &[]),
        ("linstab-driver", &["linstab-report"]),
        (
            "linstab-experiments",
            &[
                "linstab-linalg",
                "linstab-dynamics",
                "linstab-coherence",
                "linstab-relu",
                "linstab-report",
                "linstab-driver",
            ],
        ),
        (
            "linstab-claims",
            &[
                "linstab-linalg",
                "linstab-dynamics",
                "linstab-coherence",
                "linstab-relu",
                "linstab-report",
                "linstab-driver",
                "linstab-experiments",
            ],
        ),
        ("linstab-analysis", &["linstab-linalg", "linstab-dynamics", "linstab-coherence", "linstab-report"]),
        ("linstab-python", &["linstab-analysis", "linstab-driver"]),
        ("linstab-cli", &["linstab-driver", "linstab-experiments", "linstab-claims", "linstab-analysis"]),
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
            assert!(dependency != "pulp" || name == "linstab-linalg", "{name} must not call pulp itself");
            assert!(dependency != "bincode" || name == "linstab-driver", "{name} must not call bincode");
        }
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{name} inherits the lints");
        num_crates += 1;
    }
    assert_eq!(num_crates, allowed.len());
    assert!(!manifest("xtask/Cargo.toml").contains_key("dependencies"), "xtask builds in seconds");
}

/// Every command in the README does what it says, and what it says of results is what they are. Output folders are replaced by
/// temporary ones.
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
            [
                "cargo",
                "xtask",
                "test" | "python" | "test-torch" | "python-docs" | "test-slurm" | "test-processors"
                | "release" | "evidence",
                ..,
            ]
            | ["pip" | "cd", ..]
            | ["git", "clone", ..] => continue,
            ["cargo", "xtask", "reproduce", ..] => {
                let out = folder.path().join("results");
                let words: Vec<&str> =
                    words[1..].iter().copied().filter(|word| !word.starts_with("target/")).collect();
                let words: Vec<&str> = words.into_iter().filter(|&word| word != "--out").collect();
                let full = words == ["xtask", "reproduce"];
                let check: &[&str] = if full { &["--check-readme"] } else { &[] };
                let run = output(cargo(&[&words[..], check, &["--out", out.to_str().unwrap()]].concat()));
                if full {
                    assert!(run.status.success(), "{}{}", stdout(&run), stderr(&run));
                    an_edited_readme_is_caught_and_put_right(&readme, &out);
                    let page = std::fs::read_to_string(out.join("report/index.html")).unwrap();
                    assert!(page.len() < 8_000_000, "the page of a full run has {} bytes", page.len());
                    assert!(!page.contains("left-out\">"), "nothing of it is left out for its size");
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

fn stdout(run: &Output) -> String {
    String::from_utf8_lossy(&run.stdout).into_owned()
}

/// Negative control of `--check-readme`, on a copy, with the results that are there: a digit of a table, one of the prose, a picture.
fn an_edited_readme_is_caught_and_put_right(readme: &str, out: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let (copy, pictures) = (folder.path().join("README.md"), folder.path().join("data/readme"));
    std::fs::create_dir_all(&pictures).unwrap();
    for entry in std::fs::read_dir(root().join("data/readme")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), pictures.join(entry.file_name())).unwrap();
    }
    let run = |flag: &str| {
        let paths = ["--out", out.to_str().unwrap(), "--readme", copy.to_str().unwrap()];
        output(linstab(&[&["reproduce", flag], &paths[..]].concat()))
    };
    let edited =
        readme.replacen("| SGD | 0.5 | 2228 |", "| SGD | 0.5 | 2229 |", 1).replacen("0.318", "0.319", 1);
    assert_ne!(edited, readme, "the README no longer holds these numbers");
    std::fs::write(&copy, edited).unwrap();
    std::fs::copy(pictures.join("digits.png"), pictures.join("edge.png")).unwrap();
    let checked = run("--check-readme");
    assert_eq!(checked.status.code(), Some(3), "{}", stderr(&checked));
    let drifts = stdout(&checked);
    assert!(drifts.contains("\n0 run, "), "{drifts}");
    for part in [
        "map-table:\n- | SGD | 0.5 | 2229 |",
        "\n+ | SGD | 0.5 | 2228 |",
        "\n- 0.319",
        "data/readme/edge.png: ",
    ] {
        assert!(drifts.contains(part), "`{part}` is not in:\n{drifts}");
    }
    for part in ["digits-sgd:", "data/readme/digits.png", "table-1:"] {
        assert!(!drifts.contains(part), "`{part}` has not drifted:\n{drifts}");
    }

    let updated = run("--update-readme");
    assert!(updated.status.success(), "{}", stderr(&updated));
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), readme, "every number is put right");
    assert!(run("--check-readme").status.success(), "and the picture is the right one again");
}

#[test]
fn help_says_units_defaults_and_examples() {
    let help = output(linstab(&["reproduce", "--help"]));
    // Lines are wrapped at eighty columns.
    let text = String::from_utf8_lossy(&help.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "--only <ID>",
        "target/reproduce-only",
        "--force",
        "--check-readme",
        "Examples:",
        "Exit codes:",
        "one a core",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

/// The programs to start from run, and what they claim holds: they assert it.
#[test]
fn the_examples_run() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("examples/src/bin")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let run = output(cargo(&["run", "--release", "--quiet", "-p", "linstab-examples", "--bin", &name]));
        assert!(run.status.success() && !run.stdout.is_empty(), "{name}: {}", stderr(&run));
        let readme = std::fs::read_to_string(root().join("examples/README.md")).unwrap();
        assert!(readme.contains(&format!("`{name}`")), "the README of the examples names {name}");
        names.push(name);
    }
    assert!(names.len() >= 5, "{names:?}");
}
