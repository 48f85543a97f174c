//! `cargo xtask reproduce --slurm`: the run as a job array and a job that gathers, submitted or printed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{FAILURE, USAGE, build, program, root};

/// A computation may need the whole of an earlier one (`digits`, `claims`), and shards do not wait for one another: they run once more.
/// No experiment has more than two such steps.
const ROUNDS: usize = 2;

/// Shards, if not said otherwise.
const SHARDS: u32 = 8;

/// What is asked for.
struct Request {
    shards: u32,
    dry_run: bool,
    /// The folder of everything: scripts, logs, the shards' folder, results.
    folder: PathBuf,
    /// What goes on to `linstab reproduce`.
    arguments: Vec<String>,
}

/// Writes the scripts and submits them; with `--dry-run` prints what it would.
pub(crate) fn reproduce(arguments: &[&str]) -> Result<(), u8> {
    let request = Request::parse(arguments).map_err(|message| {
        eprintln!("error: {message}");
        USAGE
    })?;
    if request.dry_run {
        for (name, text) in request.scripts() {
            println!("# {}\n{text}", request.folder.join(name).display());
        }
        println!("# submitted as\n{}", request.submissions(|earlier| format!("<job {earlier}>")).join("\n"));
        return Ok(());
    }
    build()?;
    let jobs = request.submit(&[])?;
    println!(
        "jobs {}, of which the last gathers; logs: {}, results: {}",
        jobs.join(", "),
        request.folder.join("logs").display(),
        request.folder.join("results").display()
    );
    Ok(())
}

/// Submits the program that is built, with these variables set; returns the numbers of the jobs.
pub(crate) fn submit(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Vec<String>, u8> {
    Request::parse(arguments)
        .map_err(|message| {
            eprintln!("error: {message}");
            USAGE
        })?
        .submit(environment)
}

impl Request {
    fn parse(arguments: &[&str]) -> Result<Self, String> {
        let mut request = Self {
            shards: SHARDS,
            dry_run: false,
            folder: root().join("target/slurm"),
            arguments: Vec::new(),
        };
        let mut rest = arguments.iter();
        while let Some(&argument) = rest.next() {
            let (flag, value) = match argument.split_once('=') {
                Some((flag, value)) => (flag, Some(value)),
                None => (argument, None),
            };
            let mut value = || value.or_else(|| rest.next().copied()).ok_or(format!("{flag} needs a value"));
            match flag {
                "--slurm" => {}
                "--dry-run" => request.dry_run = true,
                "--array" => {
                    let value = value()?;
                    request.shards = value
                        .parse()
                        .ok()
                        .filter(|&shards| shards > 0)
                        .ok_or(format!("--array {value}: a number of shards is allowed, 1 and above"))?;
                }
                "--out" => {
                    let here = std::env::current_dir().map_err(|error| error.to_string())?;
                    request.folder = here.join(value()?);
                }
                "--shard" | "--shard-from-env" | "--update-readme" | "--check-readme" | "--threads"
                | "--force" => {
                    return Err(format!("{flag} makes no sense with --slurm"));
                }
                _ => request.arguments.push(argument.to_owned()),
            }
        }
        Ok(request)
    }

    /// A copy: building again while jobs wait would make another program of it, and its shards foreign.
    fn program(&self) -> PathBuf {
        self.folder.join("linstab")
    }

    fn array(&self) -> String {
        let mut command = vec![quoted(&self.program()), "reproduce".to_owned()];
        if !self.arguments.iter().any(|argument| argument.split('=').next() == Some("--configs")) {
            command.extend(["--configs".to_owned(), quoted(&root().join("data/configs"))]);
        }
        command.extend(self.arguments.iter().map(|argument| quoted(Path::new(argument))));
        // The number of shards is written out: a part of the array that is submitted again still computes its own cells.
        let mut text = self.head("shards", "%A-%a");
        let _ = writeln!(text, "#SBATCH --array=0-{}", self.shards - 1);
        let _ = writeln!(
            text,
            "exec {} --shard \"$SLURM_ARRAY_TASK_ID/{}\" --threads \"${{SLURM_CPUS_PER_TASK:-1}}\" --out {}",
            command.join(" "),
            self.shards,
            quoted(&self.folder.join("shards"))
        );
        text
    }

    fn gather(&self) -> String {
        let mut text = self.head("gather", "%j");
        let [shards, results] = ["shards", "results"].map(|name| quoted(&self.folder.join(name)));
        let _ = writeln!(text, "exec {} gather {shards} --out {results}", quoted(&self.program()));
        text
    }

    /// What jobs have in common: one core a task unless sbatch is told otherwise, started again when a node is lost or taken away.
    fn head(&self, name: &str, log: &str) -> String {
        let log = self.folder.join("logs").join(format!("{name}-{log}.log"));
        format!(
            "#!/bin/sh\n#SBATCH --job-name=linstab-{name}\n#SBATCH --cpus-per-task=1\n#SBATCH --requeue\n\
             #SBATCH --open-mode=append\n#SBATCH --output={}\n",
            log.display()
        )
    }

    /// The commands, each with the job before it, named by its place from 1. A job follows however the one before ended: a shard that
    /// ran out of time goes on in the next round, and what is still missing then is named by the job that gathers.
    fn submissions(&self, job: impl Fn(usize) -> String) -> Vec<String> {
        let script = |name: &str| quoted(&self.folder.join(name));
        let scripts = std::iter::repeat_n(script("shards.sh"), ROUNDS).chain([script("gather.sh")]);
        let submission = |(place, script): (usize, String)| {
            let after =
                if place == 0 { String::new() } else { format!("--dependency=afterany:{} ", job(place)) };
            format!("sbatch --parsable {after}{script}")
        };
        scripts.enumerate().map(submission).collect()
    }

    fn scripts(&self) -> [(&'static str, String); 2] {
        [("shards.sh", self.array()), ("gather.sh", self.gather())]
    }

    fn prepare(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(self.folder.join("logs"))?;
        // A running program cannot be written to, but its name can be given to another one.
        let beside = self.folder.join("linstab.new");
        std::fs::copy(program(), &beside)?;
        std::fs::rename(beside, self.program())?;
        self.scripts().iter().try_for_each(|(name, text)| std::fs::write(self.folder.join(name), text))
    }

    fn submit(&self, environment: &[(&str, &str)]) -> Result<Vec<String>, u8> {
        self.prepare().map_err(|error| {
            eprintln!("error: cannot write to {}: {error}", self.folder.display());
            FAILURE
        })?;
        let mut jobs: Vec<String> = Vec::new();
        for place in 0..=ROUNDS {
            let command =
                &self.submissions(|earlier| jobs.get(earlier - 1).cloned().unwrap_or_default())[place];
            let run = Command::new("sh").args(["-c", command]).envs(environment.iter().copied()).output();
            let run = run.map_err(|error| {
                eprintln!("error: cannot run sh: {error}");
                FAILURE
            })?;
            if !run.status.success() {
                let why = String::from_utf8_lossy(&run.stderr).into_owned();
                let submitted = if jobs.is_empty() { "none".to_owned() } else { jobs.join(", ") };
                eprintln!("error: `{command}`: {} (jobs submitted: {submitted})", why.trim());
                return Err(FAILURE);
            }
            // With several clusters: job;cluster.
            let answer = String::from_utf8_lossy(&run.stdout).into_owned();
            jobs.push(answer.trim().split(';').next().unwrap_or_default().to_owned());
        }
        Ok(jobs)
    }
}

/// A word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_their_shards_and_wait_for_one_another() {
        let request =
            Request::parse(&["--slurm", "--array", "3", "--quick", "--seed=7", "--out", "/a b"]).unwrap();
        let array = request.array();
        assert!(array.contains("#SBATCH --array=0-2\n") && array.contains("--requeue"), "{array}");
        assert!(array.contains("--quick --seed=7 --shard \"$SLURM_ARRAY_TASK_ID/3\""), "{array}");
        assert!(array.contains("exec '/a b/linstab' reproduce --configs "), "{array}");
        let submissions = request.submissions(|earlier| earlier.to_string());
        assert_eq!(
            submissions,
            [
                "sbatch --parsable '/a b/shards.sh'",
                "sbatch --parsable --dependency=afterany:1 '/a b/shards.sh'",
                "sbatch --parsable --dependency=afterany:2 '/a b/gather.sh'",
            ]
        );
        for refused in
            [&["--array", "0"][..], &["--array"], &["--array=x"], &["--shard", "0/3"], &["--threads=2"]]
        {
            assert!(Request::parse(refused).is_err(), "{refused:?}");
        }
        assert_eq!(quoted(Path::new("it's")), r"'it'\''s'");
    }
}
