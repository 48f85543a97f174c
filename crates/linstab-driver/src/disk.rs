//! Every change that the driver makes to the file system, in one place, so that a test can make each of them fail.
//!
//! With the feature `testing` a shim may stand before them, on its thread alone: it is told of each change before it is made, and its
//! error takes the place of the change. A write that fails leaves a part of its bytes, as on a full disk.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Letters, of which each may take four bytes of 255.
const LONGEST_NAME: usize = 50;

/// A kind of change.
#[cfg_attr(
    not(feature = "testing"),
    expect(unreachable_pub, reason = "a shim is told of it, which only tests have")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A folder and those above it are created.
    CreateFolder,
    /// A file is created.
    Create,
    /// Bytes are written to a file.
    Write,
    /// A file is brought to the disk. Network file systems report late here what they could not write.
    Sync,
    /// A file or a folder is moved.
    Rename,
    /// A file or a folder is removed.
    Remove,
    /// A file is locked.
    Lock,
}

pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    before(Change::CreateFolder, path)?;
    fs::create_dir_all(path)
}

/// Creates a folder and those above it up to `root`, which must be there: if somebody has removed it, it is not to come back without
/// what it held.
pub(crate) fn create_folder_below(root: &Path, path: &Path) -> io::Result<()> {
    before(Change::CreateFolder, path)?;
    let mut folder = root.to_path_buf();
    for name in path.strip_prefix(root).unwrap_or(path) {
        folder.push(name);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn create(path: &Path) -> io::Result<File> {
    before(Change::Create, path)?;
    File::create(path)
}

/// What the names of files begin with that are written beside one of this name. Of a name that is nearly too long itself, a part.
pub(crate) fn beside(name: &str) -> String {
    let beginning: String = name.chars().take(LONGEST_NAME).collect();
    format!(".linstab-{beginning}-")
}

/// A new file in the folder of `path`, with a name of its own.
pub(crate) fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    before(Change::Create, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prefix = beside(&path.file_name().unwrap_or_default().to_string_lossy());
    let mut beside = tempfile::Builder::new();
    beside.prefix(&prefix).suffix(".tmp");
    // As readable as any other file, where a temporary one is its owner's alone.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        beside.permissions(Permissions::from_mode(0o666));
    }
    beside.tempfile_in(folder)
}

pub(crate) fn set_permissions(file: &File, path: &Path, permissions: Permissions) -> io::Result<()> {
    before(Change::Write, path)?;
    file.set_permissions(permissions)
}

pub(crate) fn sync(file: &File, path: &Path) -> io::Result<()> {
    before(Change::Sync, path)?;
    file.sync_all()
}

pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    before(Change::Rename, from)?;
    fs::rename(from, to)
}

/// Two folders take each other's place at once, so that none is missing at any moment. Whether they have: not every system can do it.
pub(crate) fn exchange(one: &Path, other: &Path) -> io::Result<bool> {
    match before(Change::Rename, one).and_then(|()| exchanged(one, other)) {
        Ok(()) => Ok(true),
        Err(error) if [io::ErrorKind::Unsupported, io::ErrorKind::InvalidInput].contains(&error.kind()) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

#[cfg(target_os = "linux")]
fn exchanged(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

#[cfg(not(target_os = "linux"))]
fn exchanged(_one: &Path, _other: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Gives a file that was created beside its place that place.
pub(crate) fn persist(file: NamedTempFile, path: &Path) -> io::Result<()> {
    before(Change::Rename, path)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    before(Change::Remove, path)?;
    fs::remove_dir_all(path)
}

pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    before(Change::Remove, path)?;
    fs::remove_file(path)
}

pub(crate) fn try_lock(file: &File, path: &Path) -> Result<(), TryLockError> {
    before(Change::Lock, path).map_err(TryLockError::Error)?;
    file.try_lock()
}

/// Writes to a file that lies, or is going to lie, at `path`.
#[derive(Debug)]
pub(crate) struct Writer<F, P> {
    pub(crate) file: F,
    pub(crate) path: P,
}

impl<F: Write, P: AsRef<Path>> Write for Writer<F, P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match before(Change::Write, self.path.as_ref()) {
            Ok(()) => self.file.write(bytes),
            Err(error) => {
                self.file.write_all(&bytes[..bytes.len() / 2])?;
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(feature = "testing"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature `testing` it may fail")]
fn before(_change: Change, _path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(feature = "testing")]
pub use shim::{Shim, with_shim};

#[cfg(feature = "testing")]
use shim::before;

#[cfg(feature = "testing")]
mod shim {
    use super::{Change, Path, io};
    use std::cell::RefCell;

    /// Stands before the changes of its thread.
    pub trait Shim {
        /// Is told of a change; an error takes its place.
        ///
        /// # Errors
        /// Whatever the file system is to say.
        fn before(&mut self, change: Change, path: &Path) -> io::Result<()>;
    }

    thread_local! {
        static SHIM: RefCell<Option<Box<dyn Shim>>> = const { RefCell::new(None) };
    }

    /// Does something with a shim before all changes of this thread.
    pub fn with_shim<T>(shim: Box<dyn Shim>, run: impl FnOnce() -> T) -> T {
        /// Takes it away, also after a panic.
        struct Guard;
        impl Drop for Guard {
            fn drop(&mut self) {
                SHIM.set(None);
            }
        }
        SHIM.set(Some(shim));
        let _guard = Guard;
        run()
    }

    pub(super) fn before(change: Change, path: &Path) -> io::Result<()> {
        SHIM.with_borrow_mut(|shim| shim.as_mut().map_or(Ok(()), |shim| shim.before(change, path)))
    }
}
