"""The answer and its shapes; parts of it by themselves, against their definitions."""

from __future__ import annotations

import dataclasses
import math
import pickle

import numpy as np
import pytest

import linstab


@pytest.fixture
def answer(factors):
    return linstab.analyze(factors, batch_size=[1, 4], learning_rate=1e-3, optimizer=["sgd", "sgd:momentum=0.9"])


def second_moment_growth(factors: np.ndarray, batch_size: int, learning_rate: float) -> float:
    """Growth of SGD's second moment, with the matrix of its map on all symmetric matrices: slow and plain."""
    n = len(factors)
    gram = factors.reshape(n, -1, factors.shape[-1])
    hessians = np.einsum("iqa,iqb->iab", gram, gram)
    mean = hessians.mean(0)
    p = mean.shape[0]
    eye = np.eye(p)
    step = eye - learning_rate * mean
    share = (n - batch_size) / (batch_size * (n - 1))
    noise = sum(np.kron(h - mean, h - mean) for h in hessians) / n
    operator = np.kron(step, step) + learning_rate**2 * share * noise
    return float(np.abs(np.linalg.eigvals(operator)).max())


def test_growth_and_threshold_against_the_definition():
    factors = np.random.default_rng(3).normal(size=(6, 2, 5))
    for batch_size in (1, 3):
        threshold = linstab.max_learning_rate(factors, batch_size=batch_size)
        assert second_moment_growth(factors, batch_size, threshold) == pytest.approx(1.0, abs=1e-6)
        # Negative control: elsewhere the definition says something else.
        assert abs(second_moment_growth(factors, batch_size, 1.01 * threshold) - 1.0) > 1e-4
        rates = [0.5 * threshold, 2.0 * threshold]
        growth = linstab.stability_map(factors, learning_rates=rates, batch_size=[batch_size])
        expected = [second_moment_growth(factors, batch_size, rate) for rate in rates]
        np.testing.assert_allclose(growth.growth_per_step[0], expected, rtol=1e-6)
        assert growth.stable.tolist() == [[True, False]]
        assert linstab.growth_per_step(factors, batch_size=batch_size, learning_rate=rates[1]) == pytest.approx(expected[1], rel=1e-6)


def test_coherence_against_the_definition(factors):
    found = linstab.coherence(factors, scale=2.0)
    hessians = 2.0 * np.einsum("iqa,iqb->iab", factors, factors)
    matrix = np.sqrt(np.einsum("iab,jba->ij", hessians, hessians))
    np.testing.assert_allclose(found.matrix, matrix, rtol=1e-10)
    assert found.lambda_max_s == pytest.approx(np.linalg.eigvalsh(matrix)[-1], rel=1e-10)
    sharpest = max(np.linalg.eigvalsh(hessian)[-1] for hessian in hessians)
    assert found.sigma == pytest.approx(found.lambda_max_s / sharpest, rel=1e-10)
    assert len(found.blocks) == 12


def test_attributes_are_those_of_the_report(answer):
    report = answer.to_dict()
    assert answer.max_learning_rate == report["stability"][0]["max_learning_rate"]
    assert answer.interval[0] <= answer.max_learning_rate <= answer.interval[1]
    assert answer.stable is True and answer.growth_per_step < 1.0
    assert [row.batch_size for row in answer.stability] == [1, 4, 1, 4]
    assert answer.at(4, "sgd:momentum=0.9") == answer.stability[3]
    with pytest.raises(KeyError, match="was not asked for; there are: sgd at 1"):
        answer.at(5)
    assert {row.name for row in answer.diagnostics} >= {"sharpness", "noise_kernel_norm", "non_uniformity"}
    assert answer.coherence.sigma == report["coherence"]["sigma"]
    assert sum(sample.share for sample in answer.responsible_samples) <= 1.0 + 1e-12
    assert report["num_parameters"] == answer.num_parameters == 40


def test_frozen_and_picklable(answer):
    again = pickle.loads(pickle.dumps(answer))
    assert again == answer and hash(again) == hash(answer) and again.to_json() == answer.to_json()
    with pytest.raises(AttributeError, match="frozen"):
        answer.max_learning_rate = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        answer.stability[0].stable = False


def test_words(answer):
    assert repr(answer).startswith("<Analysis: ") and "stable" in repr(answer)
    assert " ".join(str(answer).split()).startswith(answer.verdict) and "\n" not in answer.verdict
    assert "limited by" in answer.verdict and not answer.verdict.endswith("by")
    assert "<svg" in answer._repr_html_() and "momentum" in answer._repr_html_()


def test_metrics_are_flat_numbers(answer):
    metrics = answer.metrics("linstab/")
    assert all(name.startswith("linstab/") and isinstance(value, float) for name, value in metrics.items())
    assert metrics["linstab/max_learning_rate"] == answer.max_learning_rate
    assert metrics["linstab/sgd:momentum=0.9/4/max_learning_rate"] == answer.stability[3].max_learning_rate
    assert metrics["linstab/learning_rate_ratio"] == pytest.approx(1e-3 / answer.max_learning_rate)


def test_pictures(answer, tmp_path):
    answer.report(tmp_path / "page.html", title="a <minimum>")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    assert "a &lt;minimum&gt;" in page and "a <minimum>" not in page
    assert answer.png().startswith(b"\x89PNG") and answer.svg().startswith("<svg")
    axes = answer.plot()
    assert [line.get_label() for line in axes.get_lines()] == ["sgd", "sgd:momentum=0.9", "learning rate"]
    assert axes.get_lines()[0].get_ydata()[0] == answer.max_learning_rate
    with pytest.raises(linstab.FileError, match="cannot write"):
        answer.report(tmp_path / "no" / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_comparisons(factors, answer):
    sharper = linstab.analyze(1.1 * factors, batch_size=[1, 4])
    changes = {change.name: change for change in answer.compare(sharper)}
    assert changes["max_learning_rate of sgd at 4"].ratio == pytest.approx(1 / 1.21, rel=1e-5)
    assert changes["max_learning_rate of sgd at 4"].differs and changes["sharpness"].differs
    assert not any(change.differs for change in answer.compare(answer))
    minima = linstab.compare({"wide": factors, "narrow": 1.1 * factors}, batch_size=4)
    assert minima.thresholds[0]["log_ratios"][1] == pytest.approx(-math.log(1.21), rel=1e-5)
    assert "narrow beside wide" in str(minima)
    with pytest.raises(linstab.OptionError, match="two or more"):
        linstab.compare({"one": factors})


def test_check(factors, answer, tmp_path):
    baseline = tmp_path / "baseline.json"
    baseline.write_text(answer.to_json())
    held = linstab.check(factors, against=baseline)
    assert held.holds and held.exit_code == 0 and len(held.numbers) > 5
    moved = linstab.check(1.01 * factors, against=baseline, rtol=1e-3)
    assert not moved.holds and moved.exit_code == 3 and "moved" in str(moved)
    with pytest.raises(linstab.InputError, match="no JSON baseline"):
        (tmp_path / "other.json").write_text("no")
        linstab.check(factors, against=tmp_path / "other.json")


def test_exponent_and_criteria(factors):
    found = linstab.lyapunov(factors, batch_size=4, learning_rate=1e-3)
    assert found.mean < 0.0 <= found.standard_error
    names = {criterion.name for criterion in linstab.criteria(factors, batch_size=4, sampling="bernoulli")}
    assert len(names) > 2
    # No curvature in 28 of 40 directions and none at all: both are answers.
    nothing = linstab.analyze(np.zeros((3, 4)))
    assert nothing.max_learning_rate == math.inf and nothing.coherence is None
    with pytest.raises(linstab.NumericalError):
        linstab.coherence(np.zeros((3, 4)))


def test_what_factors_know(factors):
    coefficients = np.random.default_rng(2).normal(size=(12, 3))
    known = linstab.Factors(factors, coefficients=coefficients, labels=np.arange(12) % 2)
    found = linstab.analyze(known, batch_size=4)
    expected = linstab.analyze(factors, batch_size=4, residuals=coefficients, labels=np.arange(12) % 2)
    assert found.to_json() == expected.to_json()
    part = linstab.Factors(factors, indices=np.arange(12), population=100)
    assert linstab.analyze(part, batch_size=40).to_dict()["population"] == 100
