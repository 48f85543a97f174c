//! What goes wrong with a change to the file system, and the shim that sees to it.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use linstab_driver::disk::{Change, Shim};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The disk is full from here on: what is created or written fails.
    Full,
    /// The file system can only be read from here on.
    ReadOnly,
    /// This change fails, as one over a network may, and no other.
    Once,
    /// What is worked in is removed by somebody else.
    WorkVanishes,
    /// Everything is removed by somebody else.
    AllVanishes,
    /// It takes its time.
    Slow,
}

pub(super) const FAULTS: [Fault; 6] =
    [Fault::Full, Fault::ReadOnly, Fault::Once, Fault::WorkVanishes, Fault::AllVanishes, Fault::Slow];

/// The changes that were made.
pub(super) type Seen = Rc<RefCell<Vec<(Change, PathBuf)>>>;

/// Lets changes pass up to one, and is at fault there.
pub(super) struct Faulty {
    /// `None` counts.
    pub(super) fault: Option<(Fault, usize)>,
    pub(super) work: PathBuf,
    pub(super) all: PathBuf,
    pub(super) seen: Seen,
}

impl Shim for Faulty {
    fn before(&mut self, change: Change, path: &Path) -> io::Result<()> {
        let at = self.seen.borrow().len();
        self.seen.borrow_mut().push((change, path.to_owned()));
        let Some((fault, first)) = self.fault.filter(|(_, first)| at >= *first) else { return Ok(()) };
        let takes_room =
            matches!(change, Change::CreateFolder | Change::Create | Change::Write | Change::Sync);
        match fault {
            Fault::Full if takes_room => Err(io::ErrorKind::StorageFull.into()),
            Fault::ReadOnly => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Fault::Once if at == first => Err(io::Error::other("input/output error")),
            Fault::WorkVanishes if at == first => std::fs::remove_dir_all(&self.work).or_else(missing),
            Fault::AllVanishes if at == first => std::fs::remove_dir_all(&self.all).or_else(missing),
            Fault::Slow if at == first => {
                std::thread::sleep(Duration::from_millis(3));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
