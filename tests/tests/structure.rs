//! The house stays in order: arrows between modules run downwards, files stay readable, no room holds everything.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use linstab_tests::root;

/// A file is read as a whole; longer ones are not.
const MOST_LINES: usize = 400;

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files.sort_unstable();
    files
}

/// The modules of a crate that a file names, as paths from the root of the crate; `own` is the file's own module.
fn named(text: &str, own: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    // Tests at the end of a file may look anywhere.
    let source = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (keyword, above) in [("crate::", None), ("super::", Some(1)), ("super::super::", Some(2))] {
            for (at, _) in line.match_indices(keyword) {
                let before = line[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                    continue;
                }
                let base: Vec<String> = match above {
                    None => Vec::new(),
                    Some(levels) => own[..own.len().saturating_sub(levels)].to_vec(),
                };
                let rest = &line[at + keyword.len()..];
                for path in expanded(rest) {
                    found.push([base.clone(), path].concat());
                }
            }
        }
    }
    found
}

/// `a::b::C` and the first level of `{a::b, c}` as lists of names.
fn expanded(text: &str) -> Vec<Vec<String>> {
    let words = |text: &str| -> Vec<String> {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
        text[..end].split("::").filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    match text.strip_prefix('{') {
        Some(list) => list
            .split(['}', ';'])
            .next()
            .unwrap_or_default()
            .split(',')
            .map(|item| words(item.trim()))
            .collect(),
        None => vec![words(text)],
    }
}

/// A circle among the modules that stand side by side somewhere in a crate, given as (path of the module, text); `None` if there is none.
fn circle(files: &[(Vec<String>, String)]) -> Option<Vec<String>> {
    let modules: BTreeSet<Vec<String>> =
        files.iter().flat_map(|(own, _)| (1..=own.len()).map(|len| own[..len].to_vec())).collect();
    let mut arrows: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (own, text) in files {
        for target in named(text, own) {
            // The two modules that part ways stand side by side.
            let shared = own.iter().zip(&target).take_while(|(a, b)| a == b).count();
            if shared < own.len() && shared < target.len() {
                let (from, to) = (own[..=shared].to_vec(), target[..=shared].to_vec());
                if modules.contains(&to) {
                    arrows.entry(from).or_default().insert(to);
                }
            }
        }
    }
    // Modules that point at nothing that is left, or that nothing left points at, are taken away until only circles are left.
    loop {
        let targets: BTreeSet<&Vec<String>> = arrows.values().flatten().collect();
        let open: Vec<Vec<String>> = arrows
            .iter()
            .filter(|(from, to)| {
                !targets.contains(from) || to.iter().all(|target| !arrows.contains_key(target))
            })
            .map(|(from, _)| from.clone())
            .collect();
        if open.is_empty() {
            break;
        }
        for module in open {
            arrows.remove(&module);
        }
    }
    (!arrows.is_empty()).then(|| arrows.keys().map(|module| module.join("::")).collect())
}

fn modules_of(source: &Path) -> Vec<(Vec<String>, String)> {
    let module = |path: &Path| -> Vec<String> {
        let relative = path.strip_prefix(source).unwrap().with_extension("");
        let names: Vec<String> =
            relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        match names.last().map(String::as_str) {
            Some("lib" | "main" | "mod") => names[..names.len() - 1].to_vec(),
            _ => names,
        }
    };
    let of = |path: &PathBuf| (module(path), std::fs::read_to_string(path).unwrap());
    rust_files(source).iter().filter(|path| !path.ends_with("tests.rs")).map(of).collect()
}

#[test]
fn arrows_between_modules_run_downwards() {
    let mut circles = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        if let Some(found) = circle(&modules_of(&path.join("src"))) {
            circles.insert(path.file_name().unwrap().to_owned(), found);
        }
    }
    assert!(circles.is_empty(), "modules import one another in a circle: {circles:#?}");
}

/// Negative control, and what is no circle.
#[test]
fn a_circle_is_found() {
    let tree = |files: &[(&str, &str)]| -> Vec<(Vec<String>, String)> {
        let module = |name: &str| name.split("::").map(str::to_owned).collect();
        files.iter().map(|(name, text)| (module(name), (*text).to_owned())).collect()
    };
    let circular = tree(&[
        ("a", "use crate::b::X;"),
        ("b", "use super::{c::Y, z};"),
        ("c", "crate::a::f();"),
        ("d", "use crate::a;"),
    ]);
    assert_eq!(circle(&circular), Some(["a", "b", "c"].map(str::to_owned).to_vec()));
    let nested = tree(&[("a::x", "use super::y::Z;"), ("a::y", "use crate::a::x::W;")]);
    assert!(circle(&nested).is_some(), "within a folder, too");
    let fine = tree(&[
        ("a", "use crate::b::X;\n// crate::c\n"),
        ("b", "use crate::c::Y;"),
        ("c", "fn f() {}\n#[cfg(test)]\nmod tests { use crate::a; }"),
        ("c::inner", "use super::f;"),
    ]);
    assert_eq!(circle(&fine), None, "comments, tests and a child that uses its parent are no circle");
}

#[test]
fn files_can_be_read_as_a_whole() {
    for folder in ["crates", "tests", "xtask", "examples"] {
        for path in rust_files(&root().join(folder)) {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= MOST_LINES, "{} has {lines} lines, allowed: {MOST_LINES}", path.display());
        }
    }
}

#[test]
fn no_crate_holds_a_third_of_the_source() {
    let mut sizes = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        let lines = |path: &PathBuf| std::fs::read_to_string(path).unwrap().lines().count();
        let size: usize = rust_files(&path.join("src")).iter().map(lines).sum();
        sizes.push((size, path));
    }
    let total: usize = sizes.iter().map(|(size, _)| size).sum();
    let (largest, path) = sizes.into_iter().max().unwrap();
    assert!(3 * largest < total, "{} has {largest} of {total} lines", path.display());
}
