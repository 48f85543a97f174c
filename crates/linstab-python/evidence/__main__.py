"""`python -m evidence`: run the edge test, as `cargo xtask evidence` does."""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

from . import datasets, handover, protocol, record, shards, tables, tasks


def main(arguments: list[str]) -> int:
    """The exit code: 2 for a bad request."""
    parser = argparse.ArgumentParser(prog="cargo xtask evidence", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a part of it, in minutes")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--shard", metavar="I/N", nargs="?", const="", help="only the share I of N; without I/N, that of the Slurm array's task")
    what.add_argument("--shard-from-env", metavar="ID,COUNT[,FIRST]", help="the same from the variables of another scheduler")
    what.add_argument("--torch", metavar="PYTHON", help="some cells again with PyTorch's loader and optimizer, by a Python that has it")
    what.add_argument("--gather", action="store_true", help="only write the tables of what is there, and name what is missing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="problems that run at a time (default: one a core)")
    parser.add_argument("--out", type=Path, default=None, metavar="DIR", help="folder of the tables (default: target/evidence)")
    parser.add_argument("--protocol", type=Path, default=None, metavar="FILE", help="(default: data/evidence/protocol.toml)")
    chosen = parser.parse_args(arguments)
    root = datasets.repository()
    out = chosen.out or root / "target" / "evidence"
    try:
        plan = protocol.read(chosen.protocol or root / "data" / "evidence" / "protocol.toml", quick=chosen.quick)
        shard = shards.asked(chosen.shard, chosen.shard_from_env, os.environ)
        # Not what it lies in: where the shared folder is not mounted, nobody would see these parts.
        out.mkdir(exist_ok=True)
        parts = tables.Parts(out / "parts" / plan.fingerprint)
        parts.refuse_other(record.versions())
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if shard is not None:
        return of_share(plan, shard, parts)
    start = time.perf_counter()
    jobs = max(1, chosen.jobs)
    if chosen.gather:
        failed = 0
    elif chosen.torch is not None:
        failed = in_torch(chosen.torch, plan, parts, jobs)
    else:
        failed = in_shares(arguments, len(plan.shares()), jobs)
    found = parts.tables(tasks.parts_of(plan) + handover.parts_of(plan))
    if not any(found.values()):
        print(f"error: {parts.folder} holds no parts to gather", file=sys.stderr)
        return 1
    tables.write(out, found)
    record.write(out, plan, found, quick=chosen.quick, seconds=time.perf_counter() - start)
    for told in missing(plan, parts):
        failed = 1
        print(f"error: {told}", file=sys.stderr)
    print(f"{sum(row['num_runs'] for row in found['restarts'])} restarts in {len(found['restarts'])} cells: {out}")
    return failed


def of_share(plan: protocol.Protocol, share: shards.Share, parts: tables.Parts) -> int:
    """Runs a share; the exit code."""
    index, count = share
    failed = 0
    for task in itertools.chain(*plan.shares()[index::count]):
        try:
            tasks.run(plan, task, parts)
        except RuntimeError as error:
            # The others go on: what is missing is named, and told by the exit code.
            print(f"error: {error}", file=sys.stderr)
            failed = 1
    for training in plan.trainings[index::count]:
        tasks.train(training, parts)
    return failed


def missing(plan: protocol.Protocol, parts: tables.Parts) -> list[str]:
    """What a person is told of parts that are not there, and of those of another protocol."""
    wanted = tasks.parts_of(plan)
    absent = [name for name in wanted if not parts.done(name)]
    told = []
    if absent:
        shown = ", ".join(absent[:4]) + (f" and {len(absent) - 4} more" if len(absent) > 4 else "")
        told.append(f"{len(absent)} of {len(wanted)} parts are missing: {shown}; run their shards again, or the command without --shard")
    foreign = sorted(path.name for path in parts.folder.parent.iterdir() if path != parts.folder)
    if absent and foreign:
        told.append(f"parts of another protocol, or with and without --quick, were left alone: {', '.join(foreign[:4])}")
    return told


def in_shares(arguments: list[str], count: int, jobs: int) -> int:
    """Runs every share in a process of its own, so many at a time; the largest exit code."""

    def run(index: int) -> int:
        command = [sys.executable, "-m", "evidence", *arguments, "--shard", f"{index}/{count}"]
        return subprocess.run(command, check=False).returncode

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return max(pool.map(run, range(count)))


def in_torch(python: str, plan: protocol.Protocol, parts: tables.Parts, jobs: int) -> int:
    """Runs the part for PyTorch; the exit code."""
    folder = parts.folder / "torch"
    try:
        handover.write(plan, parts, folder)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    command = [python, "-m", "evidence.framework", str(folder), str(parts.folder), "--jobs", str(jobs)]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
