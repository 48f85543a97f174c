"""Losses against finite differences, containers against their shapes, and a store that is whole or clearly unfinished."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from linstab import losses
from linstab.errors import FileError, LinstabError, ModelError
from linstab.factors import Factors, Gram
from linstab.store import FactorStore, Request, load

OUTPUTS = 4
SAMPLES = 6
# Central differences of step h err by h^2 and by rounding/h: 1e-5 leaves 1e-10 and 1e-11.
STEP = 1e-5
DIFFERENCE_TOLERANCE = 1e-8


def random_case(loss: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(SAMPLES, OUTPUTS)) * 2
    y = rng.integers(0, OUTPUTS, SAMPLES) if loss == "cross_entropy" else rng.normal(size=z.shape)
    return z, y


def gradient(loss: str, z: np.ndarray, y: np.ndarray, smoothing: float) -> np.ndarray:
    columns = []
    for axis in np.eye(OUTPUTS) * STEP:
        above = losses.sample_losses(loss, z + axis, y, label_smoothing=smoothing)
        below = losses.sample_losses(loss, z - axis, y, label_smoothing=smoothing)
        columns.append((above - below) / (2 * STEP))
    return np.stack(columns, 1)


@pytest.mark.parametrize("loss", losses.LOSSES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_coefficients_give_the_gradient(loss: str, smoothing: float) -> None:
    z, y = random_case(loss)
    roots = losses.output_roots(loss, z)
    c = losses.coefficients(loss, z, y, label_smoothing=smoothing)
    smoothing = smoothing if loss == "cross_entropy" else 0.0
    expected = gradient(loss, z, y, smoothing)
    assert np.abs(np.einsum("iq,iqc->ic", c, roots) - expected).max() < DIFFERENCE_TOLERANCE
    # Negative control: the coefficients of other targets are another gradient.
    other = losses.coefficients(loss, z, np.roll(y, 1, axis=0), label_smoothing=smoothing)
    assert np.abs(np.einsum("iq,iqc->ic", other, roots) - expected).max() > 0.1


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_roots_give_the_curvature(loss: str) -> None:
    z, y = random_case(loss)
    roots = losses.output_roots(loss, z)
    assert roots.shape == (SAMPLES, losses.num_factors(loss, OUTPUTS), OUTPUTS)
    columns = [(gradient(loss, z + a, y, 0.0) - gradient(loss, z - a, y, 0.0)) / (2 * STEP) for a in np.eye(OUTPUTS) * STEP]
    # Second differences divide rounding by h^2.
    assert np.abs(np.einsum("iqc,iqd->icd", roots, roots) - np.stack(columns, 2)).max() < 1e-4


def test_root_of_cross_entropy_is_exact_where_probabilities_vanish() -> None:
    z = np.array([[0.0, 60.0, -60.0], [60.0, 0.0, 0.0], [0.0, 0.0, 60.0]])
    roots = losses.output_roots("cross_entropy", z)
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    # p (1 - p) of a probability next to one is 1 - p, which only the others know.
    for i in range(3):
        a = np.diag(p[i]) - np.outer(p[i], p[i])
        off = ~np.eye(3, dtype=bool)
        assert np.abs((roots[i].T @ roots[i])[off] - a[off]).max() <= 1e-15
        assert np.isfinite(roots[i]).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_positions_of_a_sample_are_averaged(smoothing: float) -> None:
    rng = np.random.default_rng(4)
    z, y = rng.normal(size=(2, 3, OUTPUTS)), rng.integers(0, OUTPUTS, (2, 3))
    each = losses.sample_losses("cross_entropy", z.reshape(6, -1), y.reshape(-1), label_smoothing=smoothing)
    assert np.allclose(losses.sample_losses("cross_entropy", z, y, label_smoothing=smoothing), each.reshape(2, 3).mean(1), rtol=1e-14)
    roots, c = losses.output_roots("cross_entropy", z), losses.coefficients("cross_entropy", z, y, label_smoothing=smoothing)
    assert roots.shape == (2, losses.num_factors("cross_entropy", OUTPUTS, 3), 3 * OUTPUTS)
    slope = np.empty((2, 3 * OUTPUTS))
    for axis in range(3 * OUTPUTS):
        step = STEP * np.eye(3 * OUTPUTS)[axis].reshape(3, OUTPUTS)
        above, below = (losses.sample_losses("cross_entropy", z + s * step, y, label_smoothing=smoothing) for s in (1, -1))
        slope[:, axis] = (above - below) / (2 * STEP)
    assert np.abs(np.einsum("iq,iqc->ic", c, roots) - slope).max() < DIFFERENCE_TOLERANCE
    # A third of the curvature of each position, and none across positions.
    single = losses.output_roots("cross_entropy", z.reshape(6, -1))
    expected = np.einsum("iqc,iqd->icd", single, single).reshape(2, 3, OUTPUTS, OUTPUTS) / 3
    found = np.einsum("iqc,iqd->icd", roots, roots).reshape(2, 3, OUTPUTS, 3, OUTPUTS)
    for t in range(3):
        for s in range(3):
            wanted = expected[:, t] if s == t else np.zeros_like(expected[:, t])
            assert np.abs(found[:, t, :, s] - wanted).max() < 1e-15


def test_labels_and_targets_that_do_not_fit_are_named() -> None:
    z, y = random_case("cross_entropy")
    with pytest.raises(LinstabError, match="outside 0..3"):
        losses.coefficients("cross_entropy", z, y + 4)
    with pytest.raises(LinstabError, match="one integer class a sample"):
        losses.coefficients("cross_entropy", z, z)
    with pytest.raises(LinstabError, match="must agree"):
        losses.coefficients("mse", z, y)
    with pytest.raises(LinstabError, match="not finite for 1 of 6"):
        losses.output_roots("mse", np.where(np.arange(6)[:, None] == 2, np.nan, z))
    with pytest.raises(LinstabError, match="unknown loss 'hinge'"):
        losses.num_factors("hinge", 2)
    with pytest.raises(LinstabError, match="at least two classes"):
        losses.num_factors("cross_entropy", 1)


def test_gram_is_the_product_whatever_the_type() -> None:
    values = np.random.default_rng(1).normal(size=(5, 2, 30)).astype(np.float32)
    factors = Factors(values, np.zeros((5, 2)), parameters=(("w", (5, 6)),), population=7, indices=np.arange(5))
    gram = factors.gram()
    rows = values.reshape(10, 30).astype(np.float64)
    assert np.abs(gram.values - rows @ rows.T).max() <= 1e-14 * np.abs(gram.values).max()
    assert (gram.num_samples, gram.num_factors, gram.population) == (5, 2, 7)
    assert np.shares_memory(np.asarray(factors), values)
    assert np.asarray(factors, dtype=np.float64).dtype == np.float64


def test_shapes_that_contradict_one_another_are_refused() -> None:
    values = np.zeros((5, 2, 30))
    with pytest.raises(LinstabError, match="coefficients have shape"):
        Factors(values, np.zeros((5, 3)))
    with pytest.raises(LinstabError, match="30"):
        Factors(values, parameters=(("w", (5, 5)),))
    with pytest.raises(LinstabError, match="population of 3"):
        Factors(values, population=3)
    with pytest.raises(LinstabError, match="samples, factors, parameters"):
        Factors(np.zeros((5, 30)))
    with pytest.raises(LinstabError, match="inner products have shape"):
        Gram(np.zeros((5, 5)), num_factors=2)


REQUEST = Request(5, 2, (("w", (3,)),), "float32", "mse", 9, "abc", indices=np.array([0, 2, 4, 6, 8]))


def fill(store: FactorStore, start: int, stop: int) -> None:
    block = np.arange(start, stop, dtype=np.float64)
    store.write(start, np.broadcast_to(block[:, None, None], (stop - start, 2, 3)), np.stack([block, -block], 1))


def test_an_interrupted_store_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "factors.npy"
    store = FactorStore.open(path, REQUEST)
    assert isinstance(store, FactorStore)
    fill(store, 0, 2)
    with pytest.raises(LinstabError, match="3 of 5 samples"):
        store.finish()
    del store
    assert not path.exists()
    with pytest.raises(LinstabError, match="goes on where it stopped"):
        load(path)
    store = FactorStore.open(path, REQUEST)
    assert isinstance(store, FactorStore)
    assert store.done.tolist() == [True, True, False, False, False]
    fill(store, 2, 5)
    factors = store.finish()
    assert isinstance(factors.values, np.memmap)
    assert np.array_equal(np.load(path)[:, 0, 0], np.arange(5))
    assert factors.coefficients is not None and factors.indices is not None
    assert np.array_equal(factors.coefficients[:, 1], -np.arange(5))
    assert factors.indices.tolist() == [0, 2, 4, 6, 8]
    assert (factors.loss, factors.population, factors.parameters) == ("mse", 9, (("w", (3,)),))
    again = FactorStore.open(path, REQUEST)
    assert isinstance(again, Factors)
    assert sorted(p.name for p in path.parent.iterdir()) == ["factors.about.npz", "factors.npy"]


@pytest.mark.parametrize("finished", [False, True])
def test_a_store_of_another_request_is_refused(tmp_path: Path, finished: bool) -> None:
    path = tmp_path / "factors.npy"
    store = FactorStore.open(path, REQUEST)
    assert isinstance(store, FactorStore)
    if finished:
        fill(store, 0, 5)
        store.finish()
    with pytest.raises(LinstabError, match="other weights, inputs or targets"):
        FactorStore.open(path, dataclasses.replace(REQUEST, fingerprint="abd"))
    with pytest.raises(LinstabError, match="different loss"):
        FactorStore.open(path, dataclasses.replace(REQUEST, loss="half_squared_error"))


@pytest.mark.parametrize("name", ["factors.npy", "factors.about.npz"])
@pytest.mark.parametrize("kept", [0, 40, -1])
def test_a_truncated_store_is_named(tmp_path: Path, name: str, kept: int) -> None:
    path = tmp_path / "factors.npy"
    store = FactorStore.open(path, REQUEST)
    assert isinstance(store, FactorStore)
    fill(store, 0, 5)
    store.finish()
    del store
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:kept])
    for read in (lambda: load(path), lambda: FactorStore.open(path, REQUEST)):
        with pytest.raises(LinstabError, match=rf"{name} is truncated or damaged: delete it"):
            read()


def test_a_store_that_nobody_can_use_is_no_hindrance(tmp_path: Path) -> None:
    """Left by a process that ended between the last two steps; of a model without such factors; without its request."""
    path = tmp_path / "factors.npy"
    store = FactorStore.open(path, REQUEST)
    assert isinstance(store, FactorStore)
    fill(store, 0, 2)
    with pytest.raises(LinstabError, match="no derivative"), store.filling():
        raise ModelError("no derivative")
    assert list(tmp_path.iterdir()) == []
    store = FactorStore.open(path, REQUEST)
    assert isinstance(store, FactorStore)
    with pytest.raises(KeyboardInterrupt), store.filling():
        raise KeyboardInterrupt
    (tmp_path / "factors.npy.partial" / "request.json").unlink()
    with pytest.raises(LinstabError, match=r"factors.npy.partial is truncated or damaged: delete it"):
        FactorStore.open(path, REQUEST)
    (tmp_path / "factors.npy.partial" / "request.json").write_text(REQUEST.to_json())
    fill(store, 0, 5)
    store.finish()
    (tmp_path / "factors.npy.partial").mkdir()
    assert isinstance(FactorStore.open(path, REQUEST), Factors)
    assert not (tmp_path / "factors.npy.partial").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"factors.npy cannot be written: \w+"):
        FactorStore.open(tmp_path / "file" / "factors.npy", REQUEST)


def test_a_foreign_file_is_not_overwritten(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", np.zeros(3))
    with pytest.raises(LinstabError, match="not written by linstab"):
        FactorStore.open(tmp_path / "mine.npy", REQUEST)
    with pytest.raises(LinstabError, match=r"ends in \.npy"):
        FactorStore.open(tmp_path / "mine.bin", REQUEST)
