//! The Python package: an environment of its own below the target folder, the wheel built and installed there, and the tests run on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{FAILURE, finish, guide, root, target};

/// The package.
const PACKAGE: &str = "crates/linstab-python";

/// Builds and installs the wheel, and runs the tests on NumPy and JAX, the types and the examples in the documentation.
pub(crate) fn test(arguments: &[&str]) -> Result<(), u8> {
    let environment = Environment::of_tests()?;
    environment.install(&environment.program("maturin"))?;
    if !arguments.is_empty() {
        return environment.pytest(arguments);
    }
    environment.run(&["-m", "mypy"], &package())?;
    environment.run(&["-m", "mypy.stubtest", "linstab._linstab"], &target())?;
    let installed = environment.site_packages()?.join("linstab");
    let installed = installed.to_string_lossy();
    // What needs a framework that is not there is left out.
    environment.pytest(&["--doctest-modules", "--doctest-ignore-import-errors", &installed])?;
    environment.pytest(&["--ignore-glob=*/test_torch_*.py"])
}

/// The tests that need PyTorch: with the caller's, if it can be imported, else with one that is installed for them.
pub(crate) fn test_torch(arguments: &[&str]) -> Result<(), u8> {
    let environment = Environment::of_torch()?;
    let usual = ["-k", "torch or integrations or monitor"];
    environment.pytest(if arguments.is_empty() { &usual } else { arguments })
}

/// The edge test: checkpoints of networks restarted around their thresholds, with the wheel of these sources.
pub(crate) fn evidence(arguments: &[&str]) -> Result<(), u8> {
    let environment = Environment::of_tests()?;
    environment.install(&environment.program("maturin"))?;
    let mut arguments = arguments.to_vec();
    let torch;
    if let Some(place) = arguments.iter().position(|argument| *argument == "--torch") {
        torch = Environment::of_torch()?.program("python").to_string_lossy().into_owned();
        arguments.insert(place + 1, &torch);
    }
    // A folder that is given is the caller's, whose own the working directory has to be.
    let caller = std::env::current_dir().map_err(|error| failed(&error))?;
    let mut python = environment.python(&[&["-m", "evidence"], &arguments[..]].concat(), &caller);
    finish(python.env("PYTHONPATH", package()))
}

/// Builds the guide into `target/guide`: its pages, the reference of the Python package, and the documentation of the crates beside them.
pub(crate) fn docs() -> Result<(), u8> {
    let environment = Environment::ready("python-guide", "docs/requirements.txt")?;
    let guide = target().join("guide");
    let build = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", &guide.to_string_lossy()];
    environment.run(&build, &package())?;
    let pages = guide::pages(&guide).map_err(|error| failed(&error))?;
    for (path, page) in &pages {
        if let Some(address) = guide::loaded(page) {
            eprintln!("error: {} loads {address}: the guide is to work without a network", path.display());
            return Err(FAILURE);
        }
    }
    let document = ["doc", "--workspace", "--no-deps", "--all-features", "--quiet"];
    finish(Command::new("cargo").args(document).current_dir(root()))?;
    guide::copy(&target().join("doc"), &guide.join("rust")).map_err(|error| failed(&error))?;
    println!("{}", guide.join("index.html").display());
    Ok(())
}

pub(crate) fn package() -> PathBuf {
    root().join(PACKAGE)
}

/// A virtual environment.
pub(crate) struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// What the tests of the package need, maturin among it.
    pub(crate) fn of_tests() -> Result<Self, u8> {
        Self::ready("python", "tests/requirements.txt")
    }

    /// The same with PyTorch, and the wheel of these sources.
    fn of_torch() -> Result<Self, u8> {
        let environment = Self { folder: target().join("python-torch") };
        let maturin = Self::of_tests()?.program("maturin");
        eprintln!("== PyTorch for the tests, in {}", environment.folder.display());
        // The caller's Python is asked first: a torch that is there is the one to test with.
        let mut prepare = Command::new(python());
        prepare.arg("tools/torch_for_tests.py").arg(&environment.folder).current_dir(package());
        finish(prepare.stdout(Stdio::null()))?;
        environment.install(&maturin)?;
        Ok(environment)
    }

    /// An environment below the target folder, made anew whenever what it is to hold has changed.
    fn ready(name: &str, requirements: &str) -> Result<Self, u8> {
        let environment = Self { folder: target().join(name) };
        let stamp = environment.folder.join("requirements.txt");
        let wanted = std::fs::read(package().join(requirements)).map_err(|error| failed(&error))?;
        if std::fs::read(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(environment);
        }
        eprintln!("== Python for {requirements}, in {}", environment.folder.display());
        finish(Command::new(python()).args(["-m", "venv", "--clear"]).arg(&environment.folder)).inspect_err(|_| {
            eprintln!("error: the Python package is tested with Python 3.11 or later (`python3`, or named in PYTHON)");
        })?;
        environment.pip(&["install", "--requirement", requirements])?;
        // Last: an interrupted installation is begun again.
        std::fs::write(&stamp, wanted).map_err(|error| failed(&error))?;
        Ok(environment)
    }

    /// Builds the wheel and installs it: what is tested is what is shipped.
    fn install(&self, maturin: &Path) -> Result<(), u8> {
        finish(
            Command::new("cargo")
                .args(["build", "--release", "--quiet", "-p", "linstab-cli"])
                .current_dir(root()),
        )?;
        let wheels = target().join("python-wheels");
        let _ = std::fs::remove_dir_all(&wheels);
        let mut build = Command::new(maturin);
        build.args(["build", "--release", "--quiet", "--out"]).arg(&wheels).current_dir(package());
        finish(build.env("VIRTUAL_ENV", &self.folder).env("CARGO_TARGET_DIR", target()))?;
        let wheel = std::fs::read_dir(&wheels).map_err(|error| failed(&error))?.find_map(Result::ok);
        let wheel = wheel.ok_or(FAILURE)?.path();
        self.pip(&["install", "--force-reinstall", "--no-deps", &wheel.to_string_lossy()])
    }

    fn pip(&self, arguments: &[&str]) -> Result<(), u8> {
        self.pip_in(arguments, &package())
    }

    pub(crate) fn pip_in(&self, arguments: &[&str], folder: &Path) -> Result<(), u8> {
        let quiet = ["-m", "pip", "--quiet", "--disable-pip-version-check"];
        self.run(&[&quiet[..], arguments].concat(), folder)
    }

    fn pytest(&self, arguments: &[&str]) -> Result<(), u8> {
        self.run(&[&["-m", "pytest"], arguments].concat(), &package())
    }

    pub(crate) fn run(&self, arguments: &[&str], folder: &Path) -> Result<(), u8> {
        finish(&mut self.python(arguments, folder))
    }

    /// The environment's Python in a folder; the package's sources are not on its path.
    fn python(&self, arguments: &[&str], folder: &Path) -> Command {
        eprintln!("== python {}", arguments.join(" "));
        let mut python = Command::new(self.program("python"));
        // Without the folder itself on the path, even where `-m` would put it there.
        python.args(arguments).current_dir(folder).env("PYTHONSAFEPATH", "1");
        // An advertisement of a successor, which is not this project's business.
        python.env("NO_MKDOCS_2_WARNING", "1");
        python.env("CARGO_TARGET_DIR", target());
        python
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let programs = if cfg!(windows) { "Scripts" } else { "bin" };
        self.folder.join(programs).join(name)
    }

    fn site_packages(&self) -> Result<PathBuf, u8> {
        let ask = ["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"];
        let output =
            Command::new(self.program("python")).args(ask).output().map_err(|error| failed(&error))?;
        Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    }
}

/// The caller's Python.
pub(crate) fn python() -> String {
    std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

fn failed(error: &std::io::Error) -> u8 {
    eprintln!("error: {error}");
    FAILURE
}
