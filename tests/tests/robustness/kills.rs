//! Runs and shards that are killed (`kill -9`) at random moments and begun again: in the end the files of a run that nobody killed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::parts::{Effort, Line};
use crate::random::Random;
use crate::seeds::experiments;
use linstab_tests::contents;

type Files = BTreeMap<String, Vec<u8>>;

/// Of the paper's experiments, those that are made in shards: cells of one kind, and cells that need the whole of others first.
const SHARDED: [&str; 2] = ["stability-map", "digits"];
const NUM_SHARDS: usize = 3;

pub(crate) fn run(effort: Effort<'_>) -> Vec<Line> {
    let mut targets: Vec<Vec<&str>> = experiments(f64::INFINITY).into_iter().map(|id| vec![id]).collect();
    targets.push(SHARDED.to_vec());
    targets.retain(|ids| effort.wants(&what(ids)));
    // Few kills begin with what takes little time.
    targets.sort_by_key(|ids| !["local-convergence", "solutions"].contains(&ids[0]) || ids.len() > 1);
    let num_targets = targets.len() as u64;
    let lines = targets.par_iter().enumerate().map(|(at, ids)| {
        let share = effort.count / num_targets + u64::from((at as u64) < effort.count % num_targets);
        let kills = Effort { count: share, ..effort };
        Target::new(kills, ids).map_or_else(|problem| failed(ids, problem), |target| target.line(at as u64))
    });
    lines.collect::<Vec<_>>().into_iter().filter(|line| line.count > 0 || !line.failures.is_empty()).collect()
}

fn failed(ids: &[&str], problem: String) -> Line {
    Line { what: what(ids), count: 0, failures: vec![problem], detail: String::new() }
}

fn what(ids: &[&str]) -> String {
    match ids {
        [id] => format!("kills of {id}, resumed"),
        _ => format!("kills of {NUM_SHARDS} shards of {} and of gathering, resumed", ids.join(" and ")),
    }
}

/// Commands that lead to results one after the other.
struct Target<'a> {
    effort: Effort<'a>,
    ids: &'a [&'a str],
    folder: tempfile::TempDir,
    commands: Vec<Vec<String>>,
    /// What nobody killed has made, and how long each command takes at most.
    whole: Files,
    longest: Duration,
}

impl<'a> Target<'a> {
    fn new(effort: Effort<'a>, ids: &'a [&'a str]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let root = folder.path().to_owned();
        let path = |name: &str| root.join(name).display().to_string();
        let reproduce = |out: &str, more: &[&str]| -> Vec<String> {
            let fixed = ["reproduce", "--quick", "--quiet", "--threads", "1", "--configs", "data/configs"];
            let only = ids.iter().flat_map(|id| ["--only", id]);
            let out = path(out);
            let all = fixed.into_iter().chain(only).chain(more.iter().copied()).chain(["--out"]);
            all.map(str::to_owned).chain([out]).collect()
        };
        let commands = if ids.len() == 1 {
            vec![reproduce("results", &["--force"])]
        } else {
            // Twice: what needs the whole of an earlier computation takes a second round.
            let round = (0..2).flat_map(|_| 0..NUM_SHARDS);
            let shards =
                round.map(|index| reproduce("shards", &["--shard", &format!("{index}/{NUM_SHARDS}")]));
            let gather = ["gather", &path("shards"), "--out", &path("results"), "--quiet"].map(str::to_owned);
            shards.chain([gather.to_vec()]).collect()
        };
        let begun = Instant::now();
        let mut target = Self { effort, ids, folder, commands, whole: Files::new(), longest: Duration::ZERO };
        if effort.count > 0 {
            target.succeed(&reproduce("whole", &[]))?;
            target.whole = contents(&target.path("whole"));
            target.longest = begun.elapsed() / if ids.len() == 1 { 1 } else { 2 };
        }
        Ok(target)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[String]) -> Command {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = self.effort.linstab(&arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn succeed(&self, arguments: &[String]) -> Result<(), String> {
        let run = self.command(arguments).output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        if run.status.success() { Ok(()) } else { Err(format!("{}: {}", arguments.join(" "), said.trim())) }
    }

    fn line(self, at: u64) -> Line {
        let mut random = Random::of(self.effort.seed, at);
        let (mut kills, mut completions, mut failures) = (0, 0, Vec::new());
        while kills < self.effort.count && self.effort.goes_on() && failures.is_empty() {
            if let Err(problem) = self.attempt(&mut random, &mut kills) {
                failures.push(format!("{} after {kills} kills: {problem}", self.ids.join("+")));
            }
            completions += 1;
        }
        let detail = format!("compared {completions} times with the files of a run that nobody killed");
        Line { what: what(self.ids), count: kills, failures, detail }
    }

    /// One way to the results, with kills on it.
    fn attempt(&self, random: &mut Random, kills: &mut u64) -> Result<(), String> {
        let most = self.commands.len() as u64 * 4;
        let (mut here, limit) = (0, (self.effort.count - *kills).min(most));
        // The shards anew; results may stay, and are then replaced.
        std::fs::remove_dir_all(self.path("shards")).or_else(ignore_missing)?;
        for command in &self.commands {
            let mut ended = false;
            while !ended && here < limit && random.below(5) > 0 {
                ended = self.ends_by_itself(command, self.longest.mul_f64(random.unit()))?;
                here += u64::from(!ended);
                self.whole_or_absent()?;
            }
            if !ended {
                self.succeed(command)?;
            }
        }
        *kills += here;
        if contents(&self.path("results")) == self.whole {
            self.nothing_beside()
        } else {
            Err("other files than those of a run that nobody killed".to_owned())
        }
    }

    /// Whether a command ends within a time; else it is killed.
    fn ends_by_itself(&self, arguments: &[String], within: Duration) -> Result<bool, String> {
        let mut child = self.command(arguments).spawn().map_err(|error| error.to_string())?;
        let begun = Instant::now();
        while begun.elapsed() < within {
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                return if status.success() { Ok(true) } else { Err(format!("{status}: {arguments:?}")) };
            }
            std::thread::sleep(Duration::from_millis(1).min(within));
        }
        child.kill().map_err(|error| error.to_string())?;
        let status = child.wait().map_err(|error| error.to_string())?;
        Ok(status.success())
    }

    /// Between two renames, results wait in the work folder.
    fn whole_or_absent(&self) -> Result<(), String> {
        let results = self.path("results");
        if !results.exists() || contents(&results) == self.whole {
            Ok(())
        } else {
            Err("half results".to_owned())
        }
    }

    fn nothing_beside(&self) -> Result<(), String> {
        let known = ["results", "shards", "whole"].map(|name| self.path(name));
        let entries = std::fs::read_dir(self.folder.path()).map_err(|error| error.to_string())?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        match paths.into_iter().find(|path| !known.contains(path)) {
            Some(left) => Err(format!("left behind: {}", name(&left))),
            None => Ok(()),
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn ignore_missing(error: std::io::Error) -> Result<(), String> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error.to_string()) }
}
