//! A run in shards, in processes: whoever computes the cells, killed or not, the results are those of one machine.
#![expect(clippy::unwrap_used, reason = "in a test a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use linstab_tests::{ONLY_SGD, configs_with, contents, linstab, output, small_digits, stderr};

/// Two experiments: cells of one kind, and cells that need the whole of others first.
const EXPERIMENTS: [&str; 4] = ["--only", "stability-map", "--only", "digits"];

struct Stage {
    folder: tempfile::TempDir,
    configs: tempfile::TempDir,
}

impl Stage {
    fn new(replacements: &[(&str, &str)]) -> Self {
        let configs = configs_with(replacements);
        small_digits(configs.path(), 100);
        Self { folder: tempfile::tempdir().unwrap(), configs }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `linstab reproduce` with these experiments.
    fn command(&self, experiments: &[&str], out: &str, arguments: &[&str]) -> Command {
        let (configs, out) = (self.configs.path().to_str().unwrap().to_owned(), self.path(out));
        let paths = ["reproduce", "--configs", &configs, "--out", out.to_str().unwrap(), "--threads", "1"];
        linstab(&[&paths, experiments, arguments].concat())
    }

    fn gather(&self, folder: &str, out: &str) -> Output {
        let [folder, out] = [folder, out].map(|name| self.path(name));
        output(linstab(&["gather", folder.to_str().unwrap(), "--out", out.to_str().unwrap(), "--quiet"]))
    }

    /// The results that these shards make.
    fn gathered(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let out = format!("{folder}-gathered");
        let run = self.gather(folder, &out);
        assert!(run.status.success(), "{}", stderr(&run));
        contents(&self.path(&out))
    }

    /// Why nothing is gathered, in a line, and that nothing is left.
    fn refused(&self, folder: &str) -> String {
        let run = self.gather(folder, "refused");
        assert_eq!(run.status.code(), Some(1), "{}", stderr(&run));
        assert_eq!(stderr(&run).lines().count(), 1, "{}", stderr(&run));
        assert!(!self.path("refused").exists(), "nothing is written");
        stderr(&run)
    }
}

fn succeeds(command: Command) {
    let run = output(command);
    assert!(run.status.success(), "{}", stderr(&run));
}

/// Runs commands side by side.
fn all_succeed(commands: impl IntoIterator<Item = Command>) {
    let start = |mut command: Command| command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let running: Vec<_> = commands.into_iter().map(start).collect();
    for process in running {
        let run = process.wait_with_output().unwrap();
        assert!(run.status.success(), "{}", stderr(&run));
    }
}

#[test]
fn any_number_of_shards_gives_the_files_of_one_machine() {
    let stage = Stage::new(&ONLY_SGD);
    succeeds(stage.command(&EXPERIMENTS, "whole", &["--quick", "--quiet"]));
    let whole = contents(&stage.path("whole"));
    assert!(whole.contains_key("tables/stability-map.csv") && whole.contains_key("tables/digits.csv"));
    for count in [1, 2, 3, 7] {
        let folder = format!("shards-{count}");
        // Side by side: at the second round everyone finds what the others left at the first.
        for _ in 0..2 {
            all_succeed((0..count).map(|index| {
                stage.command(&EXPERIMENTS, &folder, &["--quick", "--shard", &format!("{index}/{count}")])
            }));
        }
        assert_eq!(stage.gathered(&folder), whole, "{count} shards");
    }
    // Gathering again changes nothing, and one that computes for itself finds nothing to do.
    assert_eq!(stage.gathered("shards-3"), whole);
    let run = output(stage.command(&EXPERIMENTS, "shards-3-gathered", &["--quick"]));
    assert!(stderr(&run).starts_with("nothing has changed"), "{}", stderr(&run));
    // Negative control: another seed gives other files.
    succeeds(stage.command(&EXPERIMENTS[..2], "other", &["--quick", "--shard", "0/1", "--seed", "3"]));
    let other = stage.gathered("other");
    assert_ne!(other["tables/stability-map.csv"], whole["tables/stability-map.csv"]);
}

/// Replacements that make a run of a few seconds on one thread.
const SLOW: [(&str, &str); 3] = [
    ("coherence = { from = 1, to = 50 }", "coherence = { from = 1, to = 50, step = 4 }"),
    ("batch_size = { from = 1, to = 49 }", "batch_size = { from = 1, to = 49, step = 4 }"),
    (r#"["without-replacement", "bernoulli", "reshuffling"]"#, r#"["with-replacement", "bernoulli"]"#),
];

#[test]
fn killed_shards_resume_and_other_numbers_of_shards_go_on() {
    let (stage, map) = (Stage::new(&SLOW), &EXPERIMENTS[..2]);
    let shard = |shard: &str| stage.command(map, "shards", &["--shard", shard]);
    assert_eq!(stage.gather("shards", "refused").status.code(), Some(2), "no shards yet");
    let mut killed = shard("0/2").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let file = || {
        let cells = std::fs::read_dir(stage.path("shards/cells")).ok()?.next()?.ok()?.path();
        Some(cells.join("0-of-2.checkpoint")).filter(|path| path.exists())
    };
    while killed.try_wait().unwrap().is_none() && file().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(killed.try_wait().unwrap().is_none(), "the shard is still under way");
    killed.kill().unwrap();
    killed.wait().unwrap();

    let missing = stage.refused("shards");
    assert!(missing.contains("cells of stability-map are missing: run shards 0/2, 1/2 again"), "{missing}");
    // Three of three that others could compute, of which one is left out; then the shard that was killed.
    all_succeed([shard("0/3"), shard("2/3")]);
    let missing = stage.refused("shards");
    assert!(missing.contains("run shards 1/3 again"), "{missing}");
    let mut resumed = shard("0/2");
    resumed.env("RUST_LOG", "info");
    let run = output(resumed);
    assert!(run.status.success(), "{}", stderr(&run));
    assert!(stderr(&run).contains("num_done=") && !stderr(&run).contains("num_done=0 "), "{}", stderr(&run));
    let missing = stage.refused("shards");
    assert!(missing.contains("run shards 1/2 again"), "{missing}");
    succeeds(shard("1/3"));

    succeeds(stage.command(map, "whole", &[]));
    assert_eq!(stage.gathered("shards"), contents(&stage.path("whole")));

    // A torn file is refused by name, and its shard can be made again.
    let file = file().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let torn = stage.refused("shards");
    assert!(torn.contains("0-of-2.checkpoint is truncated or damaged: run shard 0/2 again"), "{torn}");
}

#[test]
fn foreign_shards_and_shards_that_are_none_are_named() {
    let (stage, map) = (Stage::new(&ONLY_SGD), &EXPERIMENTS[..2]);
    let quick = |out: &str, arguments: &[&str]| {
        stage.command(map, out, &[&["--quick", "--quiet"], arguments].concat())
    };
    for (index, seed) in [("0/3", "5"), ("1/3", "5")] {
        succeeds(quick("shards", &["--shard", index, "--seed", seed]));
    }
    let run = output(quick("shards", &["--shard", "2/3", "--seed", "6"]));
    assert_eq!(run.status.code(), Some(1));
    assert!(stderr(&run).contains("holds foreign shards: 0/3, 1/3 (of another seed)"), "{}", stderr(&run));
    succeeds(quick("elsewhere", &["--shard", "2/3", "--seed", "6"]));
    let copy = |record: &str| {
        std::fs::copy(stage.path("elsewhere").join(record), stage.path("shards").join(record)).unwrap();
    };
    copy("shards/2-of-3.json");
    let foreign = stage.refused("shards");
    assert!(foreign.contains("holds foreign shards: 2/3 (of another seed)"), "{foreign}");

    for (arguments, expected) in [
        (&["--shard", "3/3"][..], "no shard 3/3, allowed: 0/3 to 2/3"),
        (&["--shard", "0/0"], "no shard 0/0, allowed: at least one shard"),
        (&["--shard"], "no shard of SLURM_ARRAY_TASK_ID, which is not set"),
        (&["--shard-from-env", "NO_SUCH_ID,NO_SUCH_COUNT"], "no shard of NO_SUCH_ID, which is not set"),
        (&["--shard", "0/3", "--check-readme"], "cannot be used with"),
    ] {
        let run = output(stage.command(map, "none", arguments));
        assert_eq!(run.status.code(), Some(2), "{}", stderr(&run));
        assert!(stderr(&run).contains(expected), "{}", stderr(&run));
        assert_eq!(stderr(&run).lines().count(), 1, "{}", stderr(&run));
        assert!(!stage.path("none").exists(), "nothing is begun");
    }
    // A node that does not see the shared folder, or sees something else in its place.
    std::fs::write(stage.path("file"), "precious").unwrap();
    for out in ["file/shards", "not-mounted/shards"] {
        let run = output(quick(out, &["--shard", "0/1"]));
        assert_eq!((run.status.code(), stderr(&run).lines().count()), (Some(1), 1), "{}", stderr(&run));
        assert!(stderr(&run).contains("is it mounted on this node?"), "{}", stderr(&run));
    }
    assert!(!stage.path("not-mounted").exists(), "nothing is created in its place");
}

#[test]
fn tasks_of_an_array_take_their_shard_from_its_variables() {
    let (stage, map) = (Stage::new(&ONLY_SGD), &EXPERIMENTS[..2]);
    let slurm = |id: &str| {
        let mut task = stage.command(map, "shards", &["--quick", "--quiet", "--shard"]);
        task.envs([
            ("SLURM_ARRAY_TASK_ID", id),
            ("SLURM_ARRAY_TASK_COUNT", "3"),
            ("SLURM_ARRAY_TASK_MIN", "1"),
            ("SLURM_ARRAY_TASK_STEP", "1"),
        ]);
        task
    };
    let mut other = stage.command(map, "shards", &["--quick", "--quiet", "--shard-from-env", "ID,TASKS"]);
    other.envs([("ID", "2"), ("TASKS", "3")]);
    all_succeed([slurm("1"), slurm("2"), other]);
    succeeds(stage.command(map, "whole", &["--quick", "--quiet"]));
    assert_eq!(stage.gathered("shards"), contents(&stage.path("whole")));
    let beyond = output(slurm("4"));
    assert!(stderr(&beyond).contains("no shard of task 4 of 3"), "{}", stderr(&beyond));
}

/// Two that gather into one folder: one of them is refused or finds the work done, and the results are whole.
#[test]
fn two_may_gather_at_once() {
    let (stage, map) = (Stage::new(&ONLY_SGD), &EXPERIMENTS[..2]);
    succeeds(stage.command(map, "shards", &["--quick", "--quiet", "--shard", "0/1"]));
    let gather = || {
        let [folder, out] = ["shards", "twice"].map(|name| stage.path(name));
        linstab(&["gather", folder.to_str().unwrap(), "--out", out.to_str().unwrap(), "--quiet"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let runs = [gather(), gather()].map(|process| process.wait_with_output().unwrap());
    assert!(runs.iter().any(|run| run.status.success()), "{}", stderr(&runs[0]));
    for run in runs.iter().filter(|run| !run.status.success()) {
        assert!(stderr(run).contains("another run is writing to"), "{}", stderr(run));
    }
    assert_eq!(contents(&stage.path("twice")), stage.gathered("shards"));
}

/// A map for a cluster is sized beforehand: some of its cells are computed, nothing is written, and what was not measured is called so.
#[test]
fn a_million_cells_are_forecast() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("map");
    let map = ["map", "data/configs/stability-map-large.toml", "--out", out.to_str().unwrap(), "--dry-run"];
    let run = output(linstab(&[&map[..], &["--cores", "100"]].concat()));
    assert!(run.status.success(), "{}", stderr(&run));
    let text = String::from_utf8(run.stdout).unwrap();
    for part in [
        "stability-map-large.toml: 1000000 cells\n",
        "core hours, +- ",
        "PROJECTION  100 cores: ",
        "not measured on so many",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is written");
    for refused in [&["--shard", "0/2"][..], &["--cores", "0"]] {
        let run = output(linstab(&[&map[..], refused].concat()));
        assert_eq!((run.status.code(), stderr(&run).lines().count()), (Some(2), 1), "{}", stderr(&run));
    }
}
