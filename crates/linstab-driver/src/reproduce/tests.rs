//! Two experiments that count how often they are run, and can be made to fail.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use linstab_report::Section;

use super::*;
use crate::experiment::{DataDigest, Inputs};
use crate::progress::{Cause, Plan};

/// An experiment whose result is its configuration, a number.
#[derive(Debug)]
struct Counted {
    id: &'static str,
    config: AtomicU64,
    data: AtomicU64,
    num_runs: AtomicUsize,
    mood: Mutex<Mood>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Good,
    Failing,
    Panicking,
    Misconfigured,
    /// Its configuration is edited while it runs.
    Edited,
}

impl Counted {
    fn new(id: &'static str) -> &'static Self {
        let number = AtomicU64::new(1);
        let mood = Mutex::new(Mood::Good);
        Box::leak(Box::new(Self {
            id,
            config: number,
            data: AtomicU64::new(1),
            num_runs: AtomicUsize::new(0),
            mood,
        }))
    }

    fn mood(&self) -> Mood {
        *self.mood.lock().expect("nobody panics while holding it")
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().expect("nobody panics while holding it") = mood;
    }

    fn num_runs(&self) -> usize {
        self.num_runs.load(Relaxed)
    }
}

impl Experiment for Counted {
    fn id(&self) -> &'static str {
        self.id
    }

    fn core_seconds(&self, quick: bool) -> f64 {
        if quick { 10.0 } else { 100.0 }
    }

    fn inputs(&self, context: &Context<'_>) -> Result<Inputs> {
        if self.mood() == Mood::Misconfigured {
            return Err(DriverError::ConfigSyntax { path: "x".into(), line: 1, message: "bad".to_owned() });
        }
        let data = DataDigest { path: "data".to_owned(), sha256: self.data.load(Relaxed).to_string() };
        let inputs = Inputs::new(&self.config.load(Relaxed), context.seed.unwrap_or(7))?;
        Ok(Inputs { data: vec![data], ..inputs })
    }

    fn run(&self, context: &Context<'_>, results: &ResultsFolder) -> Result<Finding> {
        self.num_runs.fetch_add(1, Relaxed);
        if self.mood() == Mood::Edited {
            self.config.fetch_add(1, Relaxed);
        }
        let Inputs { seed, config, data } = self.inputs(context)?;
        let text = format!("{} {seed} {config} {data:?} {}", self.id, context.quick);
        results.write(&format!("tables/{}.csv", self.id), text.as_bytes())?;
        std::fs::write(results.checkpoint(self.id).base(), "cells").expect("the work folder is there");
        std::fs::write(results.checkpoint(&format!("{}-more", self.id)).base(), "cells")
            .expect("and writable");
        match self.mood() {
            Mood::Failing => {
                return Err(DriverError::Threads { num_threads: 3, message: "none".to_owned() });
            }
            Mood::Panicking => panic!("on purpose"),
            Mood::Good | Mood::Misconfigured | Mood::Edited => {}
        }
        results.write(&format!("figures/{0}/{0}.svg", self.id), b"<svg/>")?;
        let section = Section { title: self.id.to_owned(), ..Section::default() };
        Ok(Finding { config, seed, summary: format!("{text}\nand more\n"), section })
    }
}

/// Remembers the plan.
#[derive(Default)]
struct Listener(Mutex<Option<Plan>>);

impl Progress for Listener {
    fn start(&self, _experiment: &str, _num_done: usize, _num_cells: usize) {}
    fn advance(&self, _num_done: usize) {}
    fn finish(&self) {}
    fn plan(&self, plan: &Plan) {
        *self.0.lock().expect("nobody panics while holding it") = Some(plan.clone());
    }
}

struct Stage {
    folder: tempfile::TempDir,
    one: &'static Counted,
    two: &'static Counted,
    options: Options,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            only: Vec::new(),
            configs: PathBuf::new(),
            out: folder.path().join("results"),
            quick: false,
            seed: None,
            num_threads: 1,
            restart: false,
            force: false,
            provenance: Provenance {
                git_revision: String::new(),
                program_sha256: "program".to_owned(),
                toolchain: String::new(),
                dependencies: Vec::new(),
                cpu: String::new(),
                platform: String::new(),
            },
        };
        Self { folder, one: Counted::new("one"), two: Counted::new("two"), options }
    }

    fn try_run(&self, options: &Options) -> Result<(Report, Plan)> {
        let listener = Listener::default();
        let report = reproduce(&[self.one, self.two], options, &listener)?;
        let plan = listener.0.into_inner().unwrap().unwrap();
        Ok((report, plan))
    }

    fn run(&self) -> (Report, Plan) {
        self.try_run(&self.options).unwrap()
    }

    /// Why the two are run, if they are.
    fn cause(&self) -> Option<Cause> {
        let (report, plan) = self.run();
        assert!(report.complete && report.failures().next().is_none(), "{report:?}");
        for outcome in &report.outcomes {
            assert_eq!(plan.cause.is_none(), outcome.ending == Ending::Unchanged, "{outcome:?}");
        }
        plan.cause
    }

    fn num_runs(&self) -> [usize; 2] {
        [self.one.num_runs(), self.two.num_runs()]
    }

    fn manifest(&self) -> Manifest {
        Manifest::read(&self.options.out).unwrap()
    }

    /// All files but the manifest, which holds times.
    fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        contents(&self.options.out)
    }
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let below = contents(&path);
            assert!(!below.is_empty(), "{} is empty", path.display());
            let name = PathBuf::from(path.file_name().unwrap());
            files.extend(below.into_iter().map(|(relative, bytes)| (name.join(relative), bytes)));
        } else if !path.ends_with(MANIFEST) {
            files.insert(path.file_name().unwrap().into(), std::fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn what_is_unchanged_is_not_run_and_not_touched() {
    let mut stage = Stage::new();
    assert_eq!(stage.cause(), Some(Cause::New));
    let (first, fresh) = (stage.manifest(), stage.contents());
    assert_eq!(fresh.len(), 2 * 2 + 2, "a table and a figure each, a summary and a page: {:?}", fresh.keys());
    let writers: Vec<_> = first.files.iter().filter_map(|file| file.experiment.as_deref()).collect();
    assert_eq!(writers, ["one", "two", "one", "two"], "by path: figures, then tables");
    assert_eq!(stage.cause(), None);
    assert_eq!((stage.num_runs(), stage.contents(), stage.manifest()), ([1, 1], fresh.clone(), first));

    stage.options.force = true;
    assert_eq!(stage.cause(), Some(Cause::Forced));
    assert_eq!((stage.num_runs(), stage.contents()), ([2, 2], fresh), "the bytes are those of a fresh run");
    assert_eq!(std::fs::read_dir(stage.folder.path()).unwrap().count(), 1, "nothing is left beside");
}

#[test]
fn what_has_changed_is_run_again_for_that_reason() {
    let mut stage = Stage::new();
    stage.run();
    let mut expect = |change: &dyn Fn(&mut Stage), cause: Cause| {
        change(&mut stage);
        assert_eq!(stage.cause(), Some(cause));
        assert_eq!(stage.cause(), None, "and then it is current");
    };
    let id = |id: &str| id.to_owned();
    expect(&|stage| stage.one.config.store(2, Relaxed), Cause::Configuration(id("one")));
    expect(&|stage| stage.two.data.store(2, Relaxed), Cause::Data(id("two")));
    expect(&|stage| stage.options.seed = Some(8), Cause::Seed);
    expect(&|stage| stage.options.quick = true, Cause::Sizes);
    expect(&|stage| stage.options.provenance.program_sha256.push('2'), Cause::Program);
    expect(&|stage| stage.options.only = vec!["one".to_owned()], Cause::Selection);
    assert_eq!(stage.contents().len(), 2 + 2, "the results are those of what was asked for");
    assert_eq!(stage.num_runs(), [7, 6]);
    // Neither changes a result.
    stage.options.num_threads = 2;
    stage.options.provenance.git_revision.push('2');
    assert_eq!(stage.cause(), None);
}

#[test]
fn a_file_that_is_not_what_was_written_makes_a_new_run() {
    let stage = Stage::new();
    stage.run();
    let fresh = stage.contents();
    for (file, contents) in [
        ("tables/one.csv", Some("one 7 1 edited")),
        ("figures/one/one.svg", None),
        ("report/index.html", Some("{}")),
    ] {
        let path = stage.options.out.join(file);
        match contents {
            Some(contents) => std::fs::write(path, contents).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        assert_eq!(stage.cause(), Some(Cause::File(file.to_owned())));
        assert_eq!(stage.contents(), fresh, "{file}");
    }
    assert_eq!(stage.num_runs(), [4, 4]);
}

#[test]
fn results_of_an_older_schema_are_not_used() {
    let stage = Stage::new();
    stage.run();
    let path = stage.options.out.join(MANIFEST);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(r#""schema": 3"#), "the manifest no longer holds its schema");
    std::fs::write(&path, text.replacen(r#""schema": 3"#, r#""schema": 2"#, 1)).unwrap();
    assert_eq!(stage.cause(), Some(Cause::New));
}

#[test]
fn a_bad_configuration_is_an_error_before_anything_happens() {
    let mut stage = Stage::new();
    stage.run();
    stage.two.set(Mood::Misconfigured);
    stage.options.force = true;
    let before = (stage.contents(), stage.num_runs());
    assert!(stage.try_run(&stage.options).unwrap_err().is_usage(), "a usage error");
    assert_eq!((stage.contents(), stage.num_runs()), before);
}

#[test]
fn a_failed_experiment_does_not_lose_the_others() {
    let mut stage = Stage::new();
    for (mood, message) in [
        (Mood::Failing, "cannot start 3 worker threads: none"),
        (Mood::Panicking, "it panicked: on purpose"),
        (Mood::Edited, "its configuration was changed meanwhile: run again"),
    ] {
        stage.one.set(mood);
        stage.options.force = true;
        let (report, _) = stage.run();
        assert!(report.complete, "{report:?}");
        assert_eq!(report.failures().collect::<Vec<_>>(), [("one", message)]);
        let files: Vec<PathBuf> = stage.contents().into_keys().collect();
        let expected = ["figures/two/two.svg", "report/index.html", "summary.txt", "tables/two.csv"];
        assert_eq!(files, expected.map(PathBuf::from), "nothing of the failed one is left");
        let Manifest { experiments, failures, .. } = stage.manifest();
        assert_eq!((experiments.len(), experiments[0].id.as_str()), (1, "two"));
        assert_eq!((failures.len(), failures[0].error.as_str()), (1, message));
        let kept = contents(&stage.folder.path().join(".results.linstab-work/checkpoints"));
        let expected = ["one-more.checkpoint", "one.checkpoint", "two-more.checkpoint", "two.checkpoint"];
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), expected.map(PathBuf::from), "of all experiments");

        stage.one.set(Mood::Good);
        stage.options.force = false;
        assert_eq!(stage.cause(), Some(Cause::Failed("one".to_owned())), "the next try runs");
        assert_eq!(stage.contents().len(), 6);
        assert_eq!(std::fs::read_dir(stage.folder.path()).unwrap().count(), 1, "nothing is left beside");
    }
}

#[test]
fn if_all_fail_the_earlier_results_stay() {
    let mut stage = Stage::new();
    stage.run();
    let before = (stage.contents(), stage.manifest());
    stage.one.set(Mood::Failing);
    stage.two.set(Mood::Panicking);
    stage.options.force = true;
    let (report, _) = stage.run();
    assert!(!report.complete && report.failures().count() == 2, "{report:?}");
    assert_eq!((stage.contents(), stage.manifest()), before);
    assert!(stage.folder.path().join(".results.linstab-work/checkpoints/one.checkpoint").exists(), "kept");
}

#[test]
fn the_forecast_is_the_last_time_or_the_constant() {
    let mut stage = Stage::new();
    let (_, plan) = stage.run();
    assert!((plan.seconds() - 200.0).abs() < 1e-9, "{plan:?}");
    stage.options.force = true;
    let (_, plan) = stage.run();
    assert!(plan.seconds() < 10.0, "measured by now: {plan:?}");
    stage.options.quick = true;
    let (_, plan) = stage.run();
    assert!((plan.seconds() - 20.0).abs() < 1e-9, "measured for other sizes: {plan:?}");
}

#[test]
fn a_page_shows_no_absolute_path() {
    let shown = |path: &str, here: &str| shown(Path::new(path), Some(Path::new(here)));
    assert_eq!(shown("/home/somebody/linstab/data/configs", "/home/somebody/linstab"), "data/configs");
    assert_eq!(shown("/home/somebody/linstab/data/configs", "/elsewhere"), "data/configs");
    assert_eq!(shown("/mine.toml", "/elsewhere"), "mine.toml");
    assert_eq!(shown("mine.toml", "/elsewhere"), "mine.toml");
    let mut stage = Stage::new();
    stage.options.configs = stage.folder.path().join("configurations");
    stage.run();
    let page = std::fs::read_to_string(stage.options.out.join("report/index.html")).unwrap();
    let folder = stage.folder.path().to_str().unwrap();
    assert!(page.contains("configurations") && !page.contains(folder), "{folder} is on the page");
}
