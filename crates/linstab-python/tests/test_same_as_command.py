"""Python gives the bytes of the command, on the same arrays."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import linstab


def run(command: str, *arguments: object) -> str:
    done = subprocess.run(
        [command, "analyze", "--quiet", "--format", "json", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


CASES = {
    "usual": ([], {}),
    "learning rate": (
        ["--batch-size", "1,5,12", "--learning-rate", "0.002", "--optimizer", "sgd:momentum=0.9", "--optimizer", "sam:rho_over_alpha=0.01"],
        {"batch_size": [1, 5, 12], "learning_rate": 0.002, "optimizer": ["sgd:momentum=0.9", "sam:rho_over_alpha=0.01"]},
    ),
    "exponent": (
        ["--batch-size", "4", "--learning-rate", "0.002", "--lyapunov", "--seed", "5"],
        {"batch_size": 4, "learning_rate": 0.002, "lyapunov": True, "seed": 5},
    ),
    "population": (["--batch-size", "4", "--population", "500"], {"batch_size": 4, "population": 500}),
    "scale and tolerance": (
        ["--batch-size", "2", "--scale", "0.5", "--tolerance", "1e-9", "--top", "2"],
        {"batch_size": 2, "scale": 0.5, "tolerance": 1e-9, "top": 2},
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_same_bytes(command, tmp_path, factors, case, dtype):
    flags, keywords = CASES[case]
    array = factors.astype(dtype)
    path = tmp_path / "factors.npy"
    np.save(path, array)
    expected = run(command, path, *flags)
    assert linstab.analyze(array, **keywords).to_json() == expected
    assert linstab.analyze(path, **keywords).to_json() == expected
    # The order in memory changes nothing that is exact, and the bits of a file in that order are its own.
    fortran = np.asfortranarray(array)
    np.save(path, fortran)
    assert linstab.analyze(fortran, **keywords).to_json() == run(command, path, *flags)


def test_beside_the_factors(command, tmp_path, factors):
    rng = np.random.default_rng(1)
    beside = {
        "labels": rng.integers(0, 3, size=12),
        "residuals": rng.normal(size=(12, 3)),
        "preconditioner": rng.uniform(0.5, 2.0, size=40),
    }
    flags: list[object] = ["--batch-size", "3", "--optimizer", "adamw:beta1=0.8"]
    np.save(tmp_path / "factors.npy", factors)
    for name, array in beside.items():
        np.save(tmp_path / f"{name}.npy", array)
        flags += [f"--{name}", tmp_path / f"{name}.npy"]
    expected = run(command, tmp_path / "factors.npy", *flags)
    found = linstab.analyze(factors, batch_size=3, optimizer="adamw:beta1=0.8", **beside)
    assert found.to_json() == expected
    # Negative control: other residuals, other diagnostics.
    beside["residuals"] = 2.0 + beside["residuals"]
    assert linstab.analyze(factors, batch_size=3, optimizer="adamw:beta1=0.8", **beside).to_json() != expected


def test_loaders(command, tmp_path):
    few = np.random.default_rng(4).normal(size=(4, 6))
    path = tmp_path / "few.npy"
    np.save(path, few)
    for sampling, last_batch, size in [("reshuffling", "keep", 3), ("reshuffling", "drop", 2), ("cyclic", "keep", 1)]:
        expected = run(command, path, "--batch-size", size, "--sampling", sampling, "--last-batch", last_batch)
        assert linstab.analyze(few, batch_size=size, sampling=sampling, last_batch=last_batch).to_json() == expected


def test_inner_products(command, tmp_path, factors):
    rows = factors.reshape(36, 40)
    gram = rows @ rows.T
    np.save(tmp_path / "gram.npy", gram)
    expected = run(command, "--gram", tmp_path / "gram.npy", "--num-factors", "3", "--batch-size", "4")
    assert linstab.analyze(gram=gram, num_factors=3, batch_size=4).to_json() == expected
    assert linstab.analyze(gram=gram.reshape(12, 3, 12, 3), batch_size=4).to_json() == expected
    assert linstab.analyze(linstab.Gram(gram, 3), batch_size=4).to_json() == expected


def test_what_is_not_contiguous_is_what_it_shows(factors):
    expected = linstab.analyze(factors, batch_size=4).to_json()
    wide = np.zeros((12, 3, 80))
    wide[:, :, ::2] = factors
    assert linstab.analyze(wide[:, :, ::2], batch_size=4).to_json() == expected
    assert linstab.analyze(factors.astype(">f8"), batch_size=4).to_json() == expected
    assert linstab.analyze(factors.tolist(), batch_size=4).to_json() == expected
    # A transposed view is its own array, not that of its memory.
    square = np.random.default_rng(0).normal(size=(9, 9))
    assert linstab.analyze(square.T).sharpness != pytest.approx(linstab.analyze(square.copy()).trace)
    np.testing.assert_allclose(
        linstab.analyze(square.T, batch_size=2).max_learning_rate,
        linstab.analyze(np.ascontiguousarray(square.T), batch_size=2).max_learning_rate,
        rtol=1e-6,
    )
    assert linstab.analyze(square.T, batch_size=1).max_learning_rate != linstab.analyze(square, batch_size=1).max_learning_rate


def test_bfloat16(factors):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="the type of bfloat16 comes with JAX")
    coarse = factors.astype(ml_dtypes.bfloat16)
    assert linstab.analyze(coarse, batch_size=4).to_json() == linstab.analyze(coarse.astype(np.float64), batch_size=4).to_json()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_no_bit(factors, threads):
    expected = linstab.analyze(factors, batch_size=[1, 4], optimizer=["sgd", "sgd:momentum=0.9"]).to_json()
    assert linstab.analyze(factors, batch_size=[1, 4], optimizer=["sgd", "sgd:momentum=0.9"], threads=threads).to_json() == expected
