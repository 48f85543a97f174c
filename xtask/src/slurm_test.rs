//! `cargo xtask test-slurm`: the same files from one process, from shards, and from a cluster of two nodes on this machine: an array with a
//! job that gathers, undisturbed and with kills in the middle.
//!
//! Slurm is the distribution's own: a controller, two daemons and munge, with everything they write in one folder below `target`.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{FAILURE, build, needs, program, root, slurm, target};

const PACKAGES: &[&str] = &["slurmctld", "slurmd", "slurm-client", "munge"];
const PROGRAMS: &[&str] = &["slurmctld", "slurmd", "sbatch", "munged"];
/// Longest wait for any one thing.
const PATIENCE: Duration = Duration::from_mins(4);

type Outcome<T> = Result<T, String>;

/// Runs the test in a fresh folder.
pub(crate) fn test() -> Result<(), u8> {
    if !needs::programs("a Slurm", PROGRAMS, PACKAGES)? {
        return Ok(());
    }
    build()?;
    let begun = Instant::now();
    match run(&target().join("test-slurm")) {
        Ok(()) => {
            eprintln!(
                "the files are the same, whoever computed their cells, {:.0} s",
                begun.elapsed().as_secs_f64()
            );
            Ok(())
        }
        Err(message) => {
            eprintln!("error: {message}; logs: {}", target().join("test-slurm").display());
            Err(FAILURE)
        }
    }
}

fn run(folder: &Path) -> Outcome<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|error| error.to_string())?;
    }
    let configs = configs(folder)?;
    let arguments = ["--only", "stability-map", "--configs", text(&configs)?];
    let whole = folder.join("whole");
    finish(reproduce(&arguments, &whole).arg("--quiet"))?;
    let whole = listing(&whole)?;
    tell(folder, "1 process", &whole)?;
    for (what, rounds) in [
        ("3 shards", &[(0..3, 3)][..]),
        // After a change of mind: what is missing is computed by other shards.
        ("5 of 8 shards, then 3 of 3", &[(0..5, 8), (0..3, 3)]),
    ] {
        same(what, &whole, &in_shards(folder, &arguments, rounds)?)?;
        tell(folder, what, &whole)?;
    }

    let mut cluster = Cluster::start(folder)?;
    for (what, disturbed) in [("8 tasks of an array", false), ("8 tasks, some of them killed", true)] {
        let out = folder.join(if disturbed { "killed" } else { "array" });
        let jobs = cluster.submit(&out, &arguments)?;
        if disturbed {
            cluster.disturb(jobs.first().ok_or("no job was submitted")?, &out)?;
        }
        cluster.wait_for_all()?;
        same(what, &whole, &listing(&out.join("results"))?)?;
        tell(folder, what, &whole)?;
    }
    Ok(())
}

fn reproduce(arguments: &[&str], out: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg("reproduce").args(arguments).arg("--out").arg(out);
    command
}

/// The files that these shards give, each of a round beside the others.
fn in_shards(folder: &Path, arguments: &[&str], rounds: &[(Range<u32>, u32)]) -> Outcome<String> {
    let [shards, results] = ["shards", "gathered"].map(|name| folder.join(name));
    for earlier in [&shards, &results].into_iter().filter(|folder| folder.exists()) {
        std::fs::remove_dir_all(earlier).map_err(|error| error.to_string())?;
    }
    for (indices, count) in rounds {
        let start = |index| {
            let mut shard = reproduce(arguments, &shards);
            shard.args(["--quiet", "--threads", "1", "--shard", &format!("{index}/{count}")]);
            shard.spawn().map_err(|error| error.to_string())
        };
        let running: Vec<Child> = indices.clone().map(start).collect::<Outcome<_>>()?;
        for mut shard in running {
            if !shard.wait().is_ok_and(|status| status.success()) {
                return Err(format!("a shard of {count} failed"));
            }
        }
    }
    finish(Command::new(program()).arg("gather").arg(&shards).args(["--quiet", "--out"]).arg(&results))?;
    listing(&results)
}

/// The map of SGD alone: some ten seconds on a core, and no part of it so short that nothing can happen to it.
fn configs(folder: &Path) -> Outcome<PathBuf> {
    let configs = folder.join("configs");
    let path = root().join("data/configs/stability-map.toml");
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let all = r#"["sgd", "random-perturbation", "sam"]"#;
    if !text.contains(all) {
        return Err(format!("the configuration no longer holds `{all}`"));
    }
    let fewer = text.replacen(all, r#"["sgd"]"#, 1);
    std::fs::create_dir_all(&configs)
        .and_then(|()| std::fs::write(configs.join("stability-map.toml"), fewer))
        .map_err(|error| error.to_string())?;
    Ok(configs)
}

/// The digests of all files below a folder but manifests, which hold times, a line each.
fn listing(folder: &Path) -> Outcome<String> {
    let each = "cd \"$0\" && find . -type f ! -name manifest.json -exec sha256sum {} + | LC_ALL=C sort -k 2";
    output(Command::new("sh").args(["-c", each]).arg(folder))
}

/// An error that names the files that differ, unless there are none.
fn same(what: &str, whole: &str, other: &str) -> Outcome<()> {
    let here = |text: &str, line: &str| text.lines().any(|other| other == line);
    let different = whole.lines().filter(|line| !here(other, line));
    let different: Vec<&str> = different.chain(other.lines().filter(|line| !here(whole, line))).collect();
    if whole.lines().count() >= 10 && different.is_empty() {
        Ok(())
    } else {
        let count = whole.lines().count();
        Err(format!("{what}: not the {count} files of one process, different: {}", different.join(", ")))
    }
}

/// Says how many files there are, and a digest of all of them.
fn tell(folder: &Path, what: &str, listing: &str) -> Outcome<()> {
    let path = folder.join("files.sha256");
    std::fs::write(&path, listing).map_err(|error| error.to_string())?;
    let digest = output(Command::new("sha256sum").arg(&path))?;
    let digest = digest.split_whitespace().next().unwrap_or_default();
    println!("{what:<30}{} files  {digest}", listing.lines().count());
    Ok(())
}

/// Munge, the controller, the two nodes; they end with it.
struct Cluster {
    folder: PathBuf,
    daemons: Vec<Child>,
    nodes: [Option<Child>; 2],
}

impl Cluster {
    fn start(folder: &Path) -> Outcome<Self> {
        for name in ["state", "spool"] {
            std::fs::create_dir_all(folder.join(name)).map_err(|error| error.to_string())?;
        }
        let mut cluster = Self { folder: folder.to_path_buf(), daemons: Vec::new(), nodes: [None, None] };
        let path = |name: &str| cluster.folder.join(name).display().to_string();
        finish(Command::new("sh").args([
            "-c",
            "umask 077; head -c 128 /dev/urandom > \"$0\"",
            &path("munge.key"),
        ]))?;
        let munge = ["socket", "key-file", "log-file", "pid-file", "seed-file"].map(|flag| {
            format!("--{flag}={}", path(&format!("munge.{}", flag.split('-').next().unwrap_or(flag))))
        });
        std::fs::write(path("slurm.conf"), cluster.configuration()?).map_err(|error| error.to_string())?;
        let mut munged = Command::new("munged");
        munged.args(["--force", "--foreground"]).args(munge);
        let munged = cluster.daemon(munged, "munged")?;
        cluster.daemons.push(munged);
        let socket = cluster.folder.join("munge.socket");
        wait_until("munge is there", || socket.exists())?;
        let mut controller = Command::new("slurmctld");
        controller.arg("-D");
        let controller = cluster.daemon(controller, "slurmctld")?;
        cluster.daemons.push(controller);
        (0..2).try_for_each(|node| cluster.start_node(node))?;
        let idle = || {
            cluster.command("sinfo", &["--noheader", "--format=%t %D"]).is_ok_and(|state| state == "idle 2")
        };
        wait_until("both nodes are idle", idle)?;
        Ok(cluster)
    }

    /// Credentials run out after five seconds, the least that Slurm takes: a job that is sent back waits for as long, by default two minutes.
    fn configuration(&self) -> Outcome<String> {
        let host = output(&mut Command::new("hostname"))?;
        let user = output(Command::new("id").arg("-un"))?;
        let at = self.folder.display();
        let node = |number: u32| {
            format!("NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port=1781{number} CPUs=4\n")
        };
        Ok(format!(
            "ClusterName=linstab\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort=17810\nSlurmUser={user}\nSlurmdUser={user}\n\
             AuthType=auth/munge\nAuthInfo=socket={at}/munge.socket,cred_expire=5\nProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\nSelectType=select/cons_tres\nSelectTypeParameters=CR_Core\n\
             SlurmdParameters=config_overrides\nStateSaveLocation={at}/state\nSlurmdSpoolDir={at}/spool/%n\n\
             SlurmctldPidFile={at}/slurmctld.pid\nSlurmdPidFile={at}/%n.pid\nReturnToService=2\nMpiDefault=none\n\
             SwitchType=switch/none\n{}{}PartitionName=main Nodes=n1,n2 Default=YES MaxTime=10 State=UP\n",
            node(1),
            node(2)
        ))
    }

    fn daemon(&self, mut command: Command, log: &str) -> Outcome<Child> {
        let log = File::options().create(true).append(true).open(self.folder.join(format!("{log}.log")));
        let log = log.map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        self.with_environment(&mut command).stdin(Stdio::null()).stdout(log).stderr(errors);
        command.spawn().map_err(|error| format!("cannot run {}: {error}", command.get_program().display()))
    }

    fn with_environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("SLURM_CONF", self.folder.join("slurm.conf")).env("PATH", needs::path())
    }

    fn start_node(&mut self, node: usize) -> Outcome<()> {
        let name = format!("n{}", node + 1);
        let mut command = Command::new("slurmd");
        command.args(["-D", "-N", &name]);
        self.nodes[node] = Some(self.daemon(command, &name)?);
        Ok(())
    }

    fn kill_node(&mut self, node: usize) -> Outcome<()> {
        let Some(mut daemon) = self.nodes[node].take() else { return Ok(()) };
        daemon.kill().and_then(|()| daemon.wait().map(drop)).map_err(|error| error.to_string())
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Outcome<String> {
        output(self.with_environment(Command::new(program).args(arguments)))
    }

    /// One task is sent back to the queue, one killed without a warning, and so is the daemon of a node, which comes back.
    fn disturb(&mut self, array: &str, out: &Path) -> Outcome<()> {
        let cells = out.join("shards/cells");
        wait_until("four tasks have saved cells", || {
            listing(&cells).is_ok_and(|files| files.lines().count() >= 4)
        })?;
        self.command("scontrol", &["requeue", &format!("{array}_0")])?;
        self.command("scancel", &["--batch", "--signal=KILL", &format!("{array}_1")])?;
        self.kill_node(1)?;
        sleep(Duration::from_secs(2));
        self.start_node(1)?;
        self.wait_for_all()?;
        // That it was disturbed at all.
        for (task, state) in [(0, "Restarts=1"), (1, "JobState=FAILED")] {
            let shown = self.command("scontrol", &["show", "job", &format!("{array}_{task}")])?;
            if !shown.contains(state) {
                return Err(format!("task {task} is not {state}: it ended before it was disturbed"));
            }
        }
        Ok(())
    }

    fn wait_for_all(&self) -> Outcome<()> {
        wait_until("no job is left", || {
            self.command("squeue", &["--noheader"]).is_ok_and(|jobs| jobs.is_empty())
        })
    }

    /// Submits the run as a user does; returns the numbers of the jobs.
    fn submit(&self, out: &Path, arguments: &[&str]) -> Outcome<Vec<String>> {
        let arguments = [&["--slurm", "--array", "8", "--out", text(out)?], arguments].concat();
        let configuration = self.folder.join("slurm.conf");
        slurm::submit(&arguments, &[("SLURM_CONF", text(&configuration)?)])
            .map_err(|_| "not submitted".to_owned())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.command("scancel", &["--state=RUNNING,PENDING", "--quiet"]);
        for daemon in self.nodes.iter_mut().flatten().chain(self.daemons.iter_mut().rev()) {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Outcome<()> {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("waited in vain until {what}"));
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn finish(command: &mut Command) -> Outcome<()> {
    output(command).map(drop)
}

/// Standard output of a command that succeeds.
fn output(command: &mut Command) -> Outcome<String> {
    let name = command.get_program().display().to_string();
    let run = command.output().map_err(|error| format!("cannot run {name}: {error}"))?;
    if run.status.success() {
        return Ok(String::from_utf8_lossy(&run.stdout).trim().to_owned());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&run.stderr).trim()))
}

fn text(path: &Path) -> Outcome<&str> {
    path.to_str().ok_or_else(|| format!("{} is no text", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_differ_are_named() {
        let lines: Vec<String> = (0..10).map(|at| format!("{at}{at}  ./{at}.csv\n")).collect();
        let whole = lines.concat();
        assert_eq!(same("shards", &whole, &whole), Ok(()));
        let told = same("shards", &whole, &whole.replace("33  ", "34  ")).unwrap_err();
        assert!(told.contains("33  ./3.csv, 34  ./3.csv"), "{told}");
        assert!(same("shards", &whole, "").is_err() && same("shards", "", "").is_err());
        assert!(same("shards", &whole, &format!("{whole}1  ./more.csv")).is_err());
    }
}
