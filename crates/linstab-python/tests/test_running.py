"""Memory, threads, signals, processes."""

from __future__ import annotations

import functools
import multiprocessing
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import linstab


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_not_copied(order):
    done = run(f"""
        import resource, numpy as np, linstab
        array = np.full((50, 800_000), 1.0, order={order!r})
        array[:, ::3] = 2.0
        linstab.analyze(np.eye(5), batch_size=2)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        linstab.analyze(array, batch_size=2, memory_limit="40MiB")
        print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before), array.nbytes)
    """)
    assert done.returncode == 0, done.stderr
    grown, size = map(int, done.stdout.split())
    assert grown < size / 4, f"{grown} bytes more for an array of {size}"


def test_other_threads_run_meanwhile():
    # Long enough for the main thread to be seen at work: the lock is released, or it would not count at all.
    factors = np.random.default_rng(0).normal(size=(400, 400))
    done = threading.Event()
    answers = []

    def work() -> None:
        answers.append(linstab.analyze(factors, batch_size=[1, 2, 4, 8], optimizer=["sgd", "sgd:momentum=0.9"]))
        done.set()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    counted = 0
    while not done.is_set():
        counted += 1
    for thread in threads:
        thread.join()
    assert counted > 1000
    assert answers[0] == answers[1]


def test_calls_at_the_same_time_have_workers_of_their_own():
    class Enough(Exception):
        pass

    begun, enough, stopped = threading.Event(), threading.Event(), []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "thresholds":
            begun.set()
        if enough.is_set():
            raise Enough

    def long() -> None:
        factors = np.random.default_rng(0).normal(size=(900, 900))
        try:
            linstab.analyze(factors, batch_size=list(range(1, 400)), threads=1, progress=progress)
        except Enough:
            stopped.append(True)

    thread = threading.Thread(target=long)
    thread.start()
    assert begun.wait(300)
    # With one worker for both it would begin when the other is over.
    linstab.analyze(np.eye(5), batch_size=2, threads=1)
    enough.set()
    thread.join()
    assert stopped == [True]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_interrupt():
    code = """
        import os, signal, sys, threading, numpy as np, linstab
        factors = np.random.default_rng(0).normal(size=(900, 900))
        seen = []
        def progress(stage, done, total):
            # Whichever stage is told first: on a busy machine some are over before they are.
            seen.append(stage)
            os.kill(os.getpid(), signal.SIGINT)
        try:
            linstab.analyze(factors, batch_size=list(range(1, 400)), progress=progress)
        except KeyboardInterrupt:
            print("interrupted", len(seen))
    """
    done = run(code)
    assert done.stdout == "interrupted 1\n", (done.stdout, done.stderr[-2000:])


def test_an_exception_of_the_progress_stops_it():
    class Enough(Exception):
        pass

    def progress(stage: str, done: int, total: int) -> None:
        raise Enough

    factors = np.random.default_rng(0).normal(size=(300, 300))
    with pytest.raises(Enough):
        linstab.analyze(factors, batch_size=list(range(1, 200)), progress=progress)


def test_progress_is_told(capfd):
    told = []
    linstab.analyze(np.eye(6), batch_size=2, progress=lambda *step: told.append(step))
    assert ("thresholds", 1, 1) in told
    assert any("6 samples, 6 parameters" in step[0] for step in told)
    linstab.analyze(np.eye(6), batch_size=2, progress=True)
    assert "thresholds: 1 of 1" in capfd.readouterr().err


# Not a function of this file: a process that is spawned could not import it.
ANALYSED = functools.partial(linstab.analyze, batch_size=2)
ARRAYS = [np.random.default_rng(seed).normal(size=(8, 20)) for seed in range(3)]


@pytest.mark.parametrize("method", [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()])
def test_processes(method):
    expected = [ANALYSED(array) for array in ARRAYS]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(ANALYSED, ARRAYS) == expected


def test_dask():
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    expected = [ANALYSED(array) for array in ARRAYS]
    local = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with local as cluster, distributed.Client(cluster) as client:
        assert client.gather(client.map(ANALYSED, ARRAYS)) == expected


def test_signals_are_left_as_they_were():
    before = signal.getsignal(signal.SIGINT)
    ANALYSED(ARRAYS[0])
    assert signal.getsignal(signal.SIGINT) is before
