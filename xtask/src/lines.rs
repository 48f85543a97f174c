//! Lines of source code by crate: without tests, comments and blanks.

use std::path::{Path, PathBuf};

use crate::FAILURE;

/// Prints the lines of each crate's `src`, the largest first, and their sum.
pub(crate) fn print(root: &Path) -> Result<(), u8> {
    let mut crates: Vec<(String, usize)> = Vec::new();
    for folder in ["crates", "."] {
        for entry in std::fs::read_dir(root.join(folder)).map_err(|_| FAILURE)?.flatten() {
            if entry.path().join("Cargo.toml").is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                crates.push((name, count(&entry.path().join("src"))));
            }
        }
    }
    crates.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let total: usize = crates.iter().map(|(_, lines)| lines).sum();
    for (name, lines) in &crates {
        println!("{name:<22}{lines:>7}  {:>3.0} %", 100.0 * *lines as f64 / total as f64);
    }
    println!("{:<22}{total:>7}", "total");
    Ok(())
}

fn count(folder: &Path) -> usize {
    files(folder).iter().filter_map(|path| std::fs::read_to_string(path).ok()).map(|text| code(&text)).sum()
}

/// All Rust files below a folder but those that hold tests alone.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let of = |path: PathBuf| {
        let tests = path.ends_with("tests.rs") || path.ends_with("testing.rs");
        let source = path.extension().is_some_and(|ending| ending == "rs");
        match (path.is_dir(), source && !tests) {
            (true, _) => files(&path),
            (false, true) => vec![path],
            (false, false) => Vec::new(),
        }
    };
    entries.flatten().flat_map(|entry| of(entry.path())).collect()
}

/// Lines that are neither blank nor a comment, up to the tests at the end of the file.
fn code(text: &str) -> usize {
    let source = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let counts = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    source.lines().filter(counts).count()
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn neither_comments_nor_blanks_nor_tests_count() {
        let text =
            "//! Doc.\n\nfn f() {\n    // why\n    g();\n}\n\n#[cfg(test)]\nmod tests {\n    fn t() {}\n}\n";
        assert_eq!(code(text), 3);
    }
}
