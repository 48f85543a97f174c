"""An environment with a torch for the tests of this package, on machines that have none.

    python torch_for_tests.py FOLDER

FOLDER is a virtual environment, which is made if it is not there. If torch can be imported in it, or in the Python that runs this or
that it was made from, that torch is used, and only the test tools are added. Else torch's wheel is installed without the CUDA
libraries that it is linked to (five gigabytes, of no use without a GPU), and each library that is missing is replaced by one of the
same name whose functions end the program with a message. That is for tests on the processor and for nothing else: users have their
own torch. An environment that is ready is used again. The path of its Python is the only line on standard output.

Needs Python 3.11 or later, a C compiler (`cc`) and `readelf`, which comes with one. Linux only.
"""

from __future__ import annotations

import collections
import hashlib
import re
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass, field
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "tests" / "requirements-torch.txt"

# A file that tells a torch of ours from another.
OURS = "set-up-by-torch-for-tests"

VERSION = "import sys; print(sys.version_info[:2])"

# Prefixes of functions and the library that has them, for symbols without a version.
OWNERS = {
    "cublasLt": "libcublasLt",
    "cublas": "libcublas",
    "cudnn": "libcudnn",
    "cufft": "libcufft",
    "cuFile": "libcufile",
    "cusparseLt": "libcusparseLt",
    "cusparse": "libcusparse",
    "cusolver": "libcusolver",
    "nccl": "libnccl",
    "pnccl": "libnccl",
    "nvrtc": "libnvrtc",
    "cupti": "libcupti",
    "nvshmem": "libnvshmem_host",
    "curand": "libcurand",
    "cu": "libcuda",
}

# Bytes of a stand-in for a variable: more than any that torch reads.
VARIABLE_BYTES = 4096


@dataclass
class Symbols:
    """What a shared object needs and has."""

    libraries: set[str] = field(default_factory=set)
    # Name, version (or nothing) and whether it is a variable, of what is missing in it.
    wanted: set[tuple[str, str, bool]] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    # Library of each version of symbols that it asks for.
    owners: dict[str, str] = field(default_factory=dict)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0]).resolve()
    python = folder / "bin" / "python"
    mark = folder / "torch-for-tests"
    blocks = requirement_blocks()
    state = hashlib.sha256(f"{Path(__file__).read_text()}{blocks}".encode()).hexdigest()
    if not (mark.exists() and mark.read_text() == state and imports("torch", python)):
        if not python.exists():
            say(f"making {folder}")
            venv.EnvBuilder(with_pip=True).create(folder)
        mark.unlink(missing_ok=True)
        install(python, blocks, given=has_given_torch(python))
        if problem := failure("torch", python):
            say(f"torch cannot be imported in {folder}: {problem}")
            return 1
        mark.write_text(state)
    print(python)
    return 0


def has_given_torch(python: Path) -> bool:
    """Whether the environment has a torch that is not ours, or can see one of the Python that it comes from."""
    if (site_packages(python) / "torch" / OURS).exists():
        return False
    if imports("torch", python):
        return True
    for other in {Path(sys.executable), Path(getattr(sys, "_base_executable", sys.executable))}:
        same = run(str(other), "-c", VERSION) == run(str(python), "-c", VERSION)
        if same and other != python and imports("torch", other):
            # An environment made from within another one would see the system's packages, but not those of that one.
            (site_packages(python) / "packages-of-another.pth").write_text(f"{site_packages(other)}\n")
            return imports("torch", python)
    return False


def site_packages(python: Path) -> Path:
    return Path(run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())


def install(python: Path, blocks: dict[str, list[str]], *, given: bool) -> None:
    """Everything in the file of requirements; torch itself only where there is none."""
    for title, requirements in blocks.items():
        if given and title.endswith("torch"):
            continue
        # A torch that is there brings the NumPy that it works with.
        needed = [r for r in requirements if not (given and r.startswith("numpy"))]
        alone = ["--no-deps"] if title.startswith("without") else []
        say(f"installing {', '.join(needed)}")
        run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *alone, *needed)
    if not given:
        replace_missing(site_packages(python))
        (site_packages(python) / "torch" / OURS).touch()


def requirement_blocks() -> dict[str, list[str]]:
    """Requirements by the comment line that heads them."""
    blocks: dict[str, list[str]] = {}
    title = ""
    for line in map(str.strip, REQUIREMENTS.read_text().splitlines()):
        if line.startswith("#"):
            title = line.lstrip("# ")
        elif line:
            blocks.setdefault(title, []).append(line)
    return blocks


def replace_missing(site: Path) -> None:
    """Builds a library in torch's folder for each that torch is linked to and that is nowhere."""
    lib = site / "torch" / "lib"
    torch = Symbols()
    for path in [*sorted(lib.glob("*.so")), *sorted((site / "torch").glob("_C*.so"))]:
        read(path, torch)
    there = Symbols()
    for path in site.glob("nvidia/**/lib/*.so*"):
        read(path, there)
    known = {path.name for path in [*lib.iterdir(), *site.glob("nvidia/**/lib/*.so*")]} | system_libraries()
    missing = sorted(torch.libraries - known)
    wanted: dict[str, dict[str, dict[str, bool]]] = {library: collections.defaultdict(dict) for library in missing}
    for name, version, variable in sorted(torch.wanted):
        owner = torch.owners.get(version) if version else owner_of(name, missing)
        if owner in wanted and name not in torch.defined | there.defined:
            wanted[owner][version][name] = variable
    for library, symbols in wanted.items():
        # Versions without a symbol of ours still have to be there for the loader.
        for version in [v for v, owner in torch.owners.items() if owner == library]:
            symbols.setdefault(version, {})
        build(lib / library, symbols)
        say(f"stand-in for {library}: {sum(map(len, symbols.values()))} symbols")


def read(path: Path, into: Symbols) -> None:
    """Adds what a shared object needs and has."""
    into.libraries |= set(re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "--dynamic", "--wide", str(path))))
    library = ""
    for line in run("readelf", "--version-info", "--wide", str(path)).splitlines():
        if found := re.search(r"File: (\S+)", line):
            library = found[1]
        elif (found := re.search(r"Name: (\S+)\s+Flags", line)) and library:
            into.owners[found[1]] = library
    for line in run("readelf", "--dyn-syms", "--wide", str(path)).splitlines():
        fields = line.split()
        if len(fields) < 8 or not fields[0].rstrip(":").isdigit():
            continue
        kind, binding, section = fields[3], fields[4], fields[6]
        name, _, version = fields[7].replace("@@", "@").partition("@")
        if section != "UND":
            into.defined.add(name)
        elif version or binding == "GLOBAL":
            into.wanted.add((name, version, kind == "OBJECT"))


def owner_of(name: str, missing: list[str]) -> str | None:
    """The missing library that a symbol without a version belongs to, by the longest prefix."""
    for prefix in sorted(OWNERS, key=len, reverse=True):
        if name.startswith(prefix):
            return next((library for library in missing if library.startswith(OWNERS[prefix] + ".")), None)
    return None


def build(path: Path, symbols: dict[str, dict[str, bool]]) -> None:
    """Compiles a library that has these symbols, by version, and whose functions say their name and abort."""
    lines = [
        "#include <stdio.h>",
        "#include <stdlib.h>",
        "static void stop(const char *name) {",
        '    fprintf(stderr, "%s: this torch was set up for tests on the processor, without CUDA\\n", name);',
        "    abort();",
        "}",
    ]
    script, seen = [], set[str]()
    for version, names in sorted(symbols.items(), reverse=True):
        new = sorted(set(names) - seen)
        seen |= set(new)
        lines += [f"char {n}[{VARIABLE_BYTES}];" if names[n] else f'void {n}(void) {{ stop("{n}"); }}' for n in new]
        if version:
            script.append(f"{version} {{ {'global: ' + '; '.join(new) + ';' if new else ''} }};")
    with tempfile.TemporaryDirectory() as folder:
        source, versions = Path(folder) / "library.c", Path(folder) / "library.map"
        source.write_text("\n".join(lines) + "\n")
        versions.write_text("\n".join(script) + "\n")
        options = ["-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{path.name}"]
        options += [f"-Wl,--version-script,{versions}"] if script else []
        run("cc", *options, "-o", str(path), str(source))


def system_libraries() -> set[str]:
    """Libraries that the loader finds without help."""
    return set(re.findall(r"^\s*(\S+) \(", run("/sbin/ldconfig", "-p"), re.MULTILINE))


def imports(module: str, python: Path) -> bool:
    return not failure(module, python)


def failure(module: str, python: Path) -> str:
    """Why a module cannot be imported; nothing if it can."""
    # In a folder of its own, so that nothing beside this file is taken for the module.
    with tempfile.TemporaryDirectory() as folder:
        command = [str(python), "-c", f"import {module}; assert {module}.__file__"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["it crashed"])[-1]


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"torch_for_tests: {' '.join(command)[:300]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def say(sentence: str) -> None:
    print(f"torch_for_tests: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
