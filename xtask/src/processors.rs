//! `cargo xtask test-processors`: the same program on other processors, and which of its tables are the same there, bit by bit.
//!
//! faer cannot be told at run time to leave vector instructions alone. An emulator can do it: it shows the program a processor that has none. What
//! it computes is exact, every operation of IEEE 754 is. It is slow; for all experiments a debugger forces the width (`forced`).

mod forced;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{FAILURE, USAGE, build, finish, needs, program, root, target};

/// Processors without 512-bit vectors, and without fused multiplication and 256-bit vectors, too.
const PROCESSORS: [&str; 2] = ["Haswell", "Nehalem"];

/// Tables that are made without a matrix, by operations of IEEE 754 and logarithms: the same everywhere in quick runs. (In a full run other
/// logarithms of the C library move a few numbers of the map by a unit in the last place.) All others go through faer, whose sums are as
/// long as a vector is wide.
const INDEPENDENT: [&str; 3] = ["stability-map", "stability-map-summary", "local-convergence"];

/// What a run of a minute under emulation holds: all tables that are promised, and one that is not.
const EXPERIMENTS: [&str; 4] = ["--only", "stability-map", "--only", "local-convergence"];

/// Compares quick runs: of some experiments under the emulator, or of `--all` with the width forced, half a minute each.
pub(crate) fn test(arguments: &[&str]) -> Result<(), u8> {
    let (all, experiments): (bool, &[&str]) = match arguments {
        [] => (false, &EXPERIMENTS),
        ["--all"] => (true, &[]),
        _ => {
            eprintln!("error: allowed: no argument, or --all");
            return Err(USAGE);
        }
    };
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        println!("LEFT OUT: the emulator of other processors is that of Linux on x86-64");
        return Ok(());
    }
    let there = if all {
        needs::programs("a debugger", &["gdb"], &["gdb"])?
    } else {
        needs::programs("an emulator of other processors", &["qemu-x86_64"], &["qemu-user"])?
    };
    if !there {
        return Ok(());
    }
    build()?;
    let folder = target().join("test-processors");
    let _ = std::fs::remove_dir_all(&folder);
    let here = folder.join("here");
    let arguments = [&["reproduce", "--quick", "--quiet"], experiments].concat();
    finish(Command::new(program()).args(&arguments).arg("--out").arg(&here).current_dir(root()))?;
    let place = |processor: &str| folder.join(processor.replace(' ', "-"));
    let others: Vec<(&str, Command)> = if all {
        let run = |width: &'static forced::Width| {
            width.command(&arguments, &place(width.name)).map(|command| (width.name, command))
        };
        forced::widths().iter().map(run).collect::<Result<_, u8>>()?
    } else {
        PROCESSORS.map(|processor| (processor, emulated(processor, &arguments, &place(processor)))).into()
    };
    let running: Vec<(&str, Child)> = others
        .into_iter()
        .map(|(processor, command)| start(command).map(|child| (processor, child)))
        .collect::<Result<_, u8>>()?;
    let mut kept = true;
    for (processor, child) in running {
        let out = place(processor);
        if !child.wait_with_output().is_ok_and(|output| output.status.success()) {
            eprintln!("error: on {processor} the run failed");
            return Err(FAILURE);
        }
        kept &= compare(processor, &here.join("tables"), &out.join("tables"))?;
        kept &= same_findings(processor, &here, &out)?;
    }
    if kept { Ok(()) } else { Err(FAILURE) }
}

/// The program under the emulator.
fn emulated(processor: &str, arguments: &[&str], out: &Path) -> Command {
    let mut command = Command::new("qemu-x86_64");
    command.args(["-cpu", processor]).arg(program()).args(arguments);
    command.args(["--threads", "1", "--out"]).arg(out);
    command
}

/// Starts it without what it says: the emulator names the features that it leaves out, the debugger each thread.
fn start(mut command: Command) -> Result<Child, u8> {
    command.current_dir(root()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map_err(|error| {
        eprintln!("error: cannot run {}: {error}", command.get_program().display());
        FAILURE
    })
}

/// Whether what is concluded is the same there: the headlines of all experiments, the verdicts of the ledger, the findings of the edge test.
fn same_findings(processor: &str, here: &Path, there: &Path) -> Result<bool, u8> {
    let (ours, theirs) = (findings(here)?, findings(there)?);
    let different: Vec<_> = ours.iter().zip(&theirs).filter(|(a, b)| a != b).collect();
    for (a, b) in &different {
        eprintln!("error: on {processor} another finding:\n- {a}\n+ {b}");
    }
    let same = different.is_empty() && ours.len() == theirs.len() && !ours.is_empty();
    println!("{processor:<9}{} findings, {} differ", ours.len(), different.len());
    Ok(same)
}

fn findings(results: &Path) -> Result<Vec<String>, u8> {
    let manifest = results.join("manifest.json");
    let text = std::fs::read_to_string(&manifest).map_err(|error| {
        eprintln!("error: {}: {error}", manifest.display());
        FAILURE
    })?;
    let headlines = text.lines().map(str::trim).filter(|line| line.starts_with("\"headline\":"));
    let mut found: Vec<String> = headlines.map(str::to_owned).collect();
    let table = |name: &str| std::fs::read_to_string(results.join("tables").join(name)).unwrap_or_default();
    // Without the evidence, which names roundings.
    let verdict = |line: &str| line.splitn(3, ',').take(2).collect::<Vec<_>>().join(": ");
    found.extend(table("claims.csv").lines().map(verdict));
    found.extend(table("edge-test-findings.csv").lines().map(str::to_owned));
    Ok(found)
}

/// Says of each table how far it is from that of this processor. Whether it is as promised: those that are independent the same, and not
/// all of the others, or it was no other processor.
fn compare(processor: &str, here: &Path, there: &Path) -> Result<bool, u8> {
    let mut others = Vec::new();
    let mut kept = true;
    for (name, text) in tables(here)? {
        let other = std::fs::read_to_string(there.join(format!("{name}.csv"))).unwrap_or_default();
        let independent = INDEPENDENT.contains(&name.as_str());
        let told = if text == other { "the same".to_owned() } else { difference(&text, &other) };
        println!("{processor:<9}{name:<28}{told}");
        if independent && text != other {
            eprintln!("error: {name} is promised to be the same on every processor");
            kept = false;
        }
        if !independent {
            others.push(text == other);
        }
    }
    if others.iter().all(|same| *same) {
        eprintln!(
            "error: no table differs on {processor}: it was no other processor, or the promise is too small"
        );
        kept = false;
    }
    Ok(kept)
}

/// The tables of a folder by name.
fn tables(folder: &Path) -> Result<Vec<(String, String)>, u8> {
    let paths = std::fs::read_dir(folder).map_err(|error| {
        eprintln!("error: {}: {error}", folder.display());
        FAILURE
    })?;
    let mut paths: Vec<PathBuf> = paths.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "csv"));
    paths.sort_unstable();
    let named = |path: &PathBuf| {
        Some((path.file_stem()?.to_string_lossy().into_owned(), std::fs::read_to_string(path).ok()?))
    };
    Ok(paths.iter().filter_map(named).collect())
}

/// In words: how many fields differ, and by how much the worst of those that are numbers, relative to the larger.
fn difference(text: &str, other: &str) -> String {
    let fields = |text: &str| -> Vec<String> { text.split(['\n', ',']).map(str::to_owned).collect() };
    let (ours, theirs) = (fields(text), fields(other));
    if ours.len() != theirs.len() {
        return "other rows".to_owned();
    }
    let different: Vec<_> = ours.iter().zip(&theirs).filter(|(a, b)| a != b).collect();
    let relative = |(a, b): &(&String, &String)| -> Option<f64> {
        let (a, b): (f64, f64) = (a.parse().ok()?, b.parse().ok()?);
        Some((a - b).abs() / a.abs().max(b.abs()))
    };
    let numbers: Vec<f64> = different.iter().filter_map(relative).collect();
    let (num_texts, worst) = (different.len() - numbers.len(), numbers.iter().copied().fold(0.0, f64::max));
    format!(
        "{} of {} fields differ, numbers by up to {worst:.0e}, {num_texts} are no numbers",
        different.len(),
        ours.len()
    )
}

#[cfg(test)]
mod tests {
    use super::{compare, difference, same_findings};

    /// Another verdict or headline is seen; another rounding in the evidence is none.
    #[test]
    fn findings_must_be_the_same() {
        let folder = std::env::temp_dir().join(format!("linstab-findings-{}", std::process::id()));
        let write = |place: &str, headline: &str, claims: &str| {
            let place = folder.join(place);
            std::fs::create_dir_all(place.join("tables")).unwrap();
            std::fs::write(place.join("manifest.json"), format!("{{\n  \"headline\": \"{headline}\",\n}}"))
                .unwrap();
            std::fs::write(place.join("tables/claims.csv"), claims).unwrap();
            place
        };
        let here = write("here", "it holds", "id,verdict,evidence\neq6,holds,1e-16\n");
        for (headline, claim, same) in [
            ("it holds", "eq6,holds,2e-16", true),
            ("it holds", "eq6,refuted,1e-16", false),
            ("it does not", "eq6,holds,1e-16", false),
        ] {
            let there = write("there", headline, &format!("id,verdict,evidence\n{claim}\n"));
            assert_eq!(same_findings("forced", &here, &there), Ok(same), "{headline}: {claim}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    /// A promise that is broken is seen, and so is an emulator that shows the same processor again.
    #[test]
    fn promised_tables_must_be_the_same_and_not_all_others() {
        let folder = std::env::temp_dir().join(format!("linstab-processors-{}", std::process::id()));
        let write = |place: &str, map: &str, other: &str| {
            let place = folder.join(place);
            std::fs::create_dir_all(&place).unwrap();
            std::fs::write(place.join("stability-map.csv"), map).unwrap();
            std::fs::write(place.join("solutions.csv"), other).unwrap();
            place
        };
        let here = write("here", "growth\n1.0\n", "sigma\n2.0\n");
        for (map, other, kept) in [
            ("growth\n1.0\n", "sigma\n2.1\n", true),
            ("growth\n1.1\n", "sigma\n2.1\n", false),
            ("growth\n1.0\n", "sigma\n2.0\n", false),
        ] {
            let there = write("there", map, other);
            assert_eq!(compare("emulated", &here, &there), Ok(kept), "{map:?}, {other:?}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn differences_are_counted_and_measured() {
        assert_eq!(
            difference("a,b\n1,x\n", "a,b\n2,y\n"),
            "2 of 5 fields differ, numbers by up to 5e-1, 1 are no numbers"
        );
        assert_eq!(difference("a\n1\n", "a\n"), "other rows");
    }
}
