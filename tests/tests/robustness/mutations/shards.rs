//! The folder that shards share, with a damaged file in it.

use std::path::{Path, PathBuf};

use linstab_driver::manifest::Provenance;
use linstab_driver::progress::Silent;
use linstab_driver::shards::{GatherOptions, compute_shard, gather};
use linstab_driver::{Options, Shard};

use super::{Input, Kind, Reader, Verdict, refused};
use crate::experiment::{ALL, NEW_SEED};
use linstab_tests::contents;

pub(super) fn readers() -> Vec<Reader> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let stage = Stage::new(folder.path());
    let originals = stage.files.iter().map(|path| std::fs::read(path).expect("what was written")).collect();
    vec![Reader {
        name: "folders of shards",
        weight: 1,
        kind: Kind::Text,
        originals,
        repair: |bytes| bytes,
        read: Box::new(damaged),
    }]
}

fn damaged(input: &Input<'_>) -> Verdict {
    thread_local! {
        static STAGE: (tempfile::TempDir, Stage) = {
            let memory = Path::new("/dev/shm");
            let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
            let folder = folder.expect("a temporary folder");
            let stage = Stage::new(folder.path());
            (folder, stage)
        };
    }
    STAGE.with(|(_, stage)| stage.damaged(input))
}

type Files = std::collections::BTreeMap<String, Vec<u8>>;

struct Stage {
    root: PathBuf,
    /// Records and cells of the shards, in order.
    files: Vec<PathBuf>,
    whole: Files,
}

impl Stage {
    fn new(root: &Path) -> Self {
        let options = Options {
            only: Vec::new(),
            configs: PathBuf::from("configs"),
            out: root.join("shards"),
            quick: false,
            seed: Some(NEW_SEED),
            num_threads: 1,
            restart: false,
            force: false,
            provenance: provenance(),
        };
        for index in [0, 1, 0, 1] {
            let shard = Shard::new(index, 2).expect("one of two");
            compute_shard(&ALL, &options, shard, &Silent).expect("nothing is in the way");
        }
        let relative = contents(&root.join("shards")).into_keys();
        let meant = |path: &String| [".json", ".checkpoint"].iter().any(|end| path.ends_with(end));
        let files = relative.filter(meant).map(|path| root.join("shards").join(path)).collect();
        let mut stage = Self { root: root.to_owned(), files, whole: Files::new() };
        stage.gather().expect("all shards are there");
        stage.whole = contents(&root.join("results"));
        stage
    }

    fn gather(&self) -> linstab_driver::Result<()> {
        let (folder, out) = (self.root.join("shards"), self.root.join("results"));
        let _ = std::fs::remove_dir_all(&out);
        let configs = Some(PathBuf::from("configs"));
        let options = GatherOptions { folder, out, configs, num_threads: 1, provenance: provenance() };
        gather(&ALL, &options, &Silent).map(drop)
    }

    fn damaged(&self, input: &Input<'_>) -> Verdict {
        let file = &self.files[input.original];
        let original = std::fs::read(file).map_err(|error| error.to_string())?;
        std::fs::write(file, input.bytes).map_err(|error| error.to_string())?;
        let gathered = self.gather();
        std::fs::write(file, original).map_err(|error| error.to_string())?;
        let out = self.root.join("results");
        match gathered {
            Ok(()) if contents(&out) == self.whole => Ok(true),
            Ok(()) => Err("other results are gathered".to_owned()),
            Err(_) if out.exists() => Err("refused, but results are written".to_owned()),
            Err(error) => refused(error.with_causes()),
        }
    }
}

fn provenance() -> Provenance {
    Provenance { program_sha256: "program".to_owned(), ..Provenance::default() }
}
