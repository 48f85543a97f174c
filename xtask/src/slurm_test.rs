//! `cargo xtask test-slurm`: a cluster of two nodes on this machine, an array with a job that gathers, kills in the middle, the same files.
//!
//! Slurm is the distribution's own: a controller, two daemons and munge, with everything they write in one folder below `target`.

use std::collections::BTreeMap;
use std::fs::File;
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
    needs::programs("a Slurm", PROGRAMS, PACKAGES)?;
    build()?;
    let begun = Instant::now();
    match run(&target().join("test-slurm")) {
        Ok(()) => {
            eprintln!(
                "the files of 8 tasks with kills are those of one machine, {:.0} s",
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
    finish(Command::new(program()).arg("reproduce").args(arguments).args(["--quiet", "--out"]).arg(&whole))?;

    let mut cluster = Cluster::start(folder)?;
    let out = folder.join("run");
    let jobs = cluster.submit(&out, &arguments)?;
    let array = jobs.first().ok_or("no job was submitted")?;
    let cells = out.join("shards/cells");
    let begun = || files(&cells).is_ok_and(|files| files.len() >= 4);
    wait_until("four tasks have saved cells", begun)?;
    // One task is sent back to the queue, one killed without a warning, and so is the daemon of a node, which comes back.
    cluster.command("scontrol", &["requeue", &format!("{array}_0")])?;
    cluster.command("scancel", &["--batch", "--signal=KILL", &format!("{array}_1")])?;
    cluster.kill_node(1)?;
    sleep(Duration::from_secs(2));
    cluster.start_node(1)?;
    wait_until("no job is left", || {
        cluster.command("squeue", &["--noheader"]).is_ok_and(|jobs| jobs.is_empty())
    })?;

    // That it was disturbed at all.
    for (task, state) in [(0, "Restarts=1"), (1, "JobState=FAILED")] {
        let shown = cluster.command("scontrol", &["show", "job", &format!("{array}_{task}")])?;
        if !shown.contains(state) {
            return Err(format!("task {task} is not {state}: it ended before it was disturbed"));
        }
    }
    compare(&whole, &out.join("results"))
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

/// The files are the same but for the manifest, which holds times.
fn compare(whole: &Path, gathered: &Path) -> Outcome<()> {
    let [whole, gathered] = [files(whole)?, files(gathered)?];
    let different = |(path, bytes): &(&PathBuf, &Vec<u8>)| gathered.get(*path) != Some(bytes);
    let different: Vec<String> =
        whole.iter().filter(different).map(|(path, _)| path.display().to_string()).collect();
    if whole.len() < 10 || whole.len() != gathered.len() || !different.is_empty() {
        return Err(format!("{} and {} files, different: {different:?}", whole.len(), gathered.len()));
    }
    Ok(())
}

/// All files below a folder but manifests, by path.
fn files(folder: &Path) -> Outcome<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = PathBuf::from(path.file_name().unwrap_or_default());
        if path.is_dir() {
            found.extend(files(&path)?.into_iter().map(|(below, bytes)| (name.join(below), bytes)));
        } else if !path.ends_with("manifest.json") {
            found.insert(name, std::fs::read(&path).map_err(|error| error.to_string())?);
        }
    }
    Ok(found)
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

    /// Credentials run out after seconds: a job that is sent back waits for as long.
    fn configuration(&self) -> Outcome<String> {
        let host = output(&mut Command::new("hostname"))?;
        let user = output(Command::new("id").arg("-un"))?;
        let at = self.folder.display();
        let node = |number: u32| {
            format!("NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port=1781{number} CPUs=4\n")
        };
        Ok(format!(
            "ClusterName=linstab\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort=17810\nSlurmUser={user}\nSlurmdUser={user}\n\
             AuthType=auth/munge\nAuthInfo=socket={at}/munge.socket,cred_expire=3\nProctrackType=proctrack/linuxproc\n\
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
        command.env("SLURM_CONF", self.folder.join("slurm.conf"))
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
