"""The edge test itself: that it would see a wrong threshold, and that its record depends on nothing but its protocol."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("optax")
pytest.importorskip("scipy")
import jax.numpy as jnp  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from evidence import __main__ as command  # noqa: E402
from evidence import along, cells, handover, linear, losses, minima, networks, predictors, protocol, record, restarts, rules, shards, tables, tasks  # noqa: E402
from evidence.judge import Judge  # noqa: E402

# The package computes in double precision; other tests of this process see to theirs.
jax.config.update("jax_enable_x64", False)

ROOT = Path(__file__).resolve().parents[3]
PROTOCOL = ROOT / "data" / "evidence" / "protocol.toml"
PROBLEM = minima.Problem("mlp-tanh", "regression", "squared_error", 1, 12)


@pytest.fixture(scope="module", autouse=True)
def double_precision() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def analysed() -> predictors.Analysed:
    return predictors.Analysed(minima.find(PROBLEM, 500))


@pytest.fixture(scope="module")
def plan() -> protocol.Protocol:
    """The quick protocol, with what takes time made small."""
    quick = protocol.read(PROTOCOL, quick=True)
    settings = tuple(protocol.Setting("sgd", "independent", size, False) for size in (3, 12))
    problems = (PROBLEM, dataclasses.replace(PROBLEM, network="deep-linear"))
    return dataclasses.replace(
        quick,
        tasks=tuple(protocol.Task(problem, settings) for problem in problems),
        num_training_steps=500,
        num_runs=3,
        ratios=(0.9, 1.2),
        num_records=10,
        num_steps={3: 200, 12: 100},
    )


@pytest.mark.parametrize("name", networks.NETWORKS)
@pytest.mark.parametrize("loss", ["squared_error", "smoothed_cross_entropy"])
def test_factors_are_the_curvature_of_the_loss_that_is_trained(name: str, loss: str) -> None:
    """Against the Hessian of the loss in the outputs between two Jacobians, all by automatic differentiation; twice it is not."""
    network = networks.named(name, 3)
    generator = np.random.default_rng(0)
    images = jnp.asarray(generator.standard_normal((4, 8, 8)))
    targets = jnp.asarray(losses.targets_of(loss, np.eye(3)[[0, 1, 2, 1]]))
    place = jnp.asarray(network.initial(0))
    minimum = minima.Minimum(
        minima.Problem(name, "digits", loss, 0, 4),
        network,
        np.asarray(place),
        np.ones(place.size),
        np.asarray(images),
        np.asarray(targets),
        0.0,
    )
    jacobian = jax.jacobian(network.apply)(place, images)
    inner = jax.vmap(jax.hessian(lambda z, t: losses.sample_losses(loss, z[None], t[None])[0]))(
        network.apply(place, images), targets
    )
    expected = jnp.einsum("ikp,ikl,ilq->pq", jacobian, inner, jacobian) / 4
    rows = predictors.Analysed(minimum).factors.values.reshape(-1, place.size)
    error = np.abs(rows.T @ rows / 4 - expected).max() / np.abs(expected).max()
    # Rounding of sums of some thousand products.
    assert error < 1e-10
    assert np.abs(2 * rows.T @ rows / 4 - expected).max() / np.abs(expected).max() > 0.5


def test_the_hessian_of_a_fitted_network_is_its_gauss_newton_curvature(analysed: predictors.Analysed) -> None:
    assert analysed.minimum.interpolating
    # Residuals of 1e-15 are left.
    assert analysed.hessian_sharpness() == pytest.approx(analysed.sharpness, rel=1e-8)


def test_full_batches_grow_at_the_rate_of_the_theory(plan: protocol.Protocol, analysed: predictors.Analysed) -> None:
    """Misfits are multiplied by (1 - eta lambda)^2 at every step, also under momentum, by its larger root."""
    full = protocol.Setting("sgd", "independent", 12, False)
    threshold = analysed.mean_square("sgd", "independent", 12).learning_rate
    row = cells.run(plan, analysed.minimum, full, "sgd", threshold)[1]
    assert threshold == pytest.approx(2 / analysed.sharpness, rel=1e-9)
    assert row["num_grown"] == 3
    # The start has other directions in it, which are forgotten over the second half but for some percent.
    assert row["median_slope"] == pytest.approx(2 * np.log(1.4), rel=0.05)


def test_runs_decay_below_a_threshold_and_grow_above(plan: protocol.Protocol, analysed: predictors.Analysed) -> None:
    for specification in ("sgd", "sgd:momentum=0.9,nesterov=true", "adamw:beta1=0.9,weight_decay=0", "usam:rho=0.1,ascent=batch"):
        setting = protocol.Setting(specification, "independent", 12, False)
        threshold = analysed.mean_square(specification, "independent", 12).learning_rate
        grown = [row["num_grown"] for row in cells.run(plan, analysed.minimum, setting, specification, threshold)]
        assert grown == [0, 3], specification


def test_a_wrong_scale_of_the_loss_is_an_error_of_two(plan: protocol.Protocol, analysed: predictors.Analysed) -> None:
    """Predicted from twice the curvature, runs leave at twice the learning rate that is predicted, not before."""
    setting = protocol.Setting("sgd", "independent", 12, False)
    wrong = predictors.linstab.max_learning_rate(analysed.factors, batch_size=12, scale=2.0)
    wide = dataclasses.replace(plan, ratios=(0.95, 1.05, 1.9, 2.1))
    grown = [row["num_grown"] for row in cells.run(wide, analysed.minimum, setting, "sgd", wrong)]
    assert grown == [0, 0, 0, 3]


def test_the_almost_sure_threshold_of_two_scalar_samples() -> None:
    """Curvatures 1 and 2 in batches of one: |1 - eta| |1 - 2 eta| = 1 at 3/2, above the mean-square threshold 6/5."""
    gram = np.sqrt(np.outer([1.0, 2.0], [1.0, 2.0]))
    loader = restarts.Loader("independent", 2, 1)
    numbers = {"radius": 0.0, "decay": 0.0}
    found = linear.almost_sure(rules.parse("sgd")[0], loader, gram, 1.2, numbers, 20_000, seed=0)
    # Half a step of the grid there.
    assert found.value == pytest.approx(1.5, rel=0.03)
    assert found.lower <= found.value <= found.upper


@pytest.mark.parametrize(
    ("specification", "sampling", "batch_size"),
    [
        ("sgd", "independent", 1),
        ("sgd", "reshuffling", 3),
        ("sgd:momentum=0.9", "independent", 3),
        ("usam:rho=0.1,ascent=batch", "independent", 3),
    ],
)
def test_the_almost_sure_threshold_is_that_of_the_library(
    analysed: predictors.Analysed, specification: str, sampling: str, batch_size: int
) -> None:
    """Where single linear runs begin to grow by the steps of the restarts, the library's exponent changes its sign; at twice it has long."""
    own = analysed.mean_square(specification, sampling, batch_size)
    rule, numbers = rules.parse(specification)
    loader = restarts.Loader(sampling, 12, batch_size)
    num_epochs = 4000 // len(loader.sizes)
    found = linear.almost_sure(rule, loader, analysed.gram(False), own.learning_rate, numbers, num_epochs, seed=0)
    drawing, last_batch = predictors.SAMPLINGS[sampling]

    def exponent(learning_rate: float) -> tuple[float, float]:
        asked = {"optimizer": specification, "batch_size": batch_size, "sampling": drawing, "last_batch": last_batch, "threads": 1}
        row = predictors.linstab.lyapunov(analysed.factors, learning_rate=learning_rate, **asked)
        return row.mean, row.standard_error

    # Below the threshold exponents are those of the slowest direction: hardly less than zero.
    below, error = exponent(0.97 * found.lower)
    assert below < 3 * error
    above, error = exponent(1.03 * found.upper)
    assert above > 3 * error
    assert exponent(2 * found.upper)[0] > 10 * above > 0


DRAWN = [("reshuffling", 4), ("reshuffling-drop-last", 4), ("independent", 4), ("independent", 1)]


@pytest.mark.parametrize(("sampling", "batch_size"), DRAWN)
def test_what_a_loader_draws(sampling: str, batch_size: int) -> None:
    loader = restarts.Loader(sampling, 10, batch_size)
    drawn = np.asarray(loader.draw(jax.random.key(0), 50))
    weights = loader.weights()
    assert weights.sum(axis=1) == pytest.approx(1.0)
    assert drawn.shape == (len(loader.sizes), 50, batch_size)
    for run in range(50):
        batches = [drawn[index, run, : size] for index, size in enumerate(loader.sizes)]
        assert all(len(set(batch)) == len(batch) for batch in batches)
        together = np.concatenate(batches)
        if sampling == "reshuffling":
            assert sorted(together) == list(range(10))
        elif sampling == "reshuffling-drop-last":
            assert len(set(together)) == 8


def test_how_a_run_is_judged() -> None:
    judge = Judge(passage=1e3, decay=1e-3)
    steps = np.arange(9.0)[:, None]
    rates = np.array([2.0, -2.0, 0.1, -0.1])
    misfits = np.exp(steps * rates)
    assert judge.grown(misfits).tolist() == [True, False, True, False]
    assert judge.passed(misfits).tolist() == [4, 9, 9, 9]
    assert judge.slopes(misfits) == pytest.approx(rates)
    assert not judge.decided(misfits)
    assert judge.decided(misfits[:, :2])
    assert judge.grown(np.array([[1.0], [np.nan]])).tolist() == [True]


def test_what_a_framework_is_given_is_the_checkpoint(plan: protocol.Protocol, tmp_path: Path) -> None:
    """Parameters by name that are those of the checkpoint, and cells of the record; without these it is refused."""
    setting = plan.tasks[0].settings[0]
    asked = dataclasses.replace(plan, framework=protocol.Framework((PROBLEM.name,), (setting,), (1.2,)))
    parts = tables.Parts(tmp_path)
    with pytest.raises(RuntimeError, match="first run without --torch"):
        handover.write(asked, parts, tmp_path / "torch")
    tasks.run(asked, asked.tasks[0], parts, lambda _: None)
    handover.write(asked, parts, tmp_path / "torch")
    minimum = tasks.found(asked, PROBLEM, parts)
    with np.load(tmp_path / "torch" / f"{PROBLEM.name}.npz") as file:
        hidden = np.tanh(minimum.images.reshape(12, 64) @ file["param.0.weight"] + file["param.0.bias"])
        outputs = hidden @ file["param.1.weight"] + file["param.1.bias"]
        given = json.loads(str(file["plan"]))
    # Rounding of sums of 64 products.
    assert outputs == pytest.approx(minimum.targets, abs=1e-11)
    recorded = parts.read(tasks.part_of(PROBLEM.name, setting))["restarts"]
    assert [cell["learning_rate"] for cell in given["settings"][0]["cells"]] == [recorded[1]["learning_rate"]]
    assert handover.parts_of(asked) == [given["settings"][0]["part"]]


def _text_without_seconds(plan: protocol.Protocol, parts: tables.Parts, name: str) -> str:
    rows = parts.tables(tasks.parts_of(plan))[name]
    return tables.text(name, [{**row, "seconds": 0} if "seconds" in row else row for row in rows])


def test_shards_and_interruptions_change_nothing(plan: protocol.Protocol, tmp_path: Path) -> None:
    whole, split = tables.Parts(tmp_path / "whole"), tables.Parts(tmp_path / "split")

    def quiet(_: str) -> None:
        pass

    for task in plan.tasks:
        tasks.run(plan, task, whole, quiet)
    for task in reversed(plan.tasks):
        tasks.run(plan, task, split, quiet)
    written = sorted(split.folder.glob("*.json"))
    kept = {path: path.stat().st_mtime_ns for path in written[1:]}
    written[0].unlink()
    for task in plan.tasks:
        tasks.run(plan, task, split, quiet)
    for name in ("minima", "thresholds", "restarts"):
        assert _text_without_seconds(plan, whole, name) == _text_without_seconds(plan, split, name)
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    assert len(whole.tables(tasks.parts_of(plan))["restarts"]) == 8


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('["mlp-tanh", "deep-linear"]', '["mlp-tanhh", "deep-linear"]', "network 'mlp-tanhh'"),
        ("num_records = 40", "", "'num_records' is missing"),
        ("8 = 1600", "", "none for batch size 8"),
        ("num_runs = 20", "num_runs = 0", "num_runs is 0"),
        ('"sgd:momentum=0.9", sampling = "independent"', '"lion", sampling = "independent"', "'lion'"),
        ("[minima]", "[minima", "protocol.toml:"),
    ],
)
def test_a_bad_protocol_is_refused_in_a_line(old: str, new: str, said: str, tmp_path: Path, capsys: Any) -> None:
    text = PROTOCOL.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "protocol.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert command.main(["--protocol", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


SLURM = {"SLURM_ARRAY_TASK_ID": "6", "SLURM_ARRAY_TASK_COUNT": "8"}


@pytest.mark.parametrize(
    ("shard", "variables", "environment", "expected"),
    [
        ("3/8", None, SLURM, (3, 8)),
        ("", None, SLURM, (6, 8)),
        ("", None, SLURM | {"SLURM_ARRAY_TASK_MIN": "1"}, (5, 8)),
        ("", None, SLURM | {"SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_STEP": "2"}, (3, 8)),
        (None, "PBS_ARRAY_INDEX,N", {"PBS_ARRAY_INDEX": "3", "N": " 4 "}, (3, 4)),
        (None, "PBS_ARRAY_INDEX,N,FIRST", {"PBS_ARRAY_INDEX": "3", "N": "4", "FIRST": "1"}, (2, 4)),
        (None, None, SLURM, None),
    ],
)
def test_shares_are_those_of_the_command(shard: str | None, variables: str | None, environment: dict[str, str], expected: Any) -> None:
    """The cases of `crates/linstab-cli/src/shard.rs`."""
    assert shards.asked(shard, variables, environment) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shard", "2/2"], "--shard 2/2"),
        (["--shard", "1/0"], "--shard 1/0"),
        (["--shard", "1"], "--shard 1:"),
        (["--shard", "a/b"], "as 0/8"),
        (["--shard"], "SLURM_ARRAY_TASK_ID, which is not set"),
        (["--shard-from-env", "TASK"], "two to four variables"),
        (["--shard-from-env", "A,B,C,D,E"], "two to four variables"),
        (["--shard-from-env", "TASK,COUNT"], "task 5 of 5"),
        (["--shard-from-env", "TASK,COUNT,FIRST"], "FIRST, which is not set"),
        (["--shard-from-env", "TASK,WORD"], "WORD, which is `-3`"),
        (["--shard", "0/2", "--out", "{}/nowhere/out"], "nowhere"),
        (["--gather"], "holds no parts"),
    ],
)
def test_a_bad_shard_is_refused(arguments: list[str], said: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in shards.SLURM:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TASK": "5", "COUNT": "5", "WORD": "-3"}.items():
        monkeypatch.setenv(name, value)
    arguments = ["--out", str(tmp_path / "out"), *(argument.format(tmp_path) for argument in arguments)]
    assert command.main(arguments) == (1 if "--gather" in arguments else 2)
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: .*\n", error) and said in error, error
    assert not list(tmp_path.rglob("*.csv"))


def test_gathering_names_what_is_missing_or_foreign(plan: protocol.Protocol, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = dataclasses.replace(plan, trainings=())
    monkeypatch.setattr(protocol, "read", lambda *_, **__: plan)
    monkeypatch.setenv("TASK", "0")
    monkeypatch.setenv("COUNT", "2")
    out = tmp_path / "out"
    (out / "parts" / "another").mkdir(parents=True)
    assert command.main(["--shard-from-env", "TASK,COUNT", "--out", str(out)]) == 0
    capsys.readouterr()
    assert command.main(["--gather", "--out", str(out)]) == 1
    missing, foreign = capsys.readouterr().err.splitlines()
    assert missing.startswith("error: 3 of 6 parts are missing: deep-linear.") and "another protocol" in foreign and foreign.endswith("another")
    assert command.main(["--shard", "1/2", "--out", str(out)]) == 0
    capsys.readouterr()
    assert command.main(["--gather", "--out", str(out)]) == 0
    assert capsys.readouterr().err == ""
    assert len(tables.read(out / "restarts.csv")) == 8
    monkeypatch.setattr(record, "versions", lambda: {"jax": "0.0"})
    assert command.main(["--gather", "--out", str(out)]) == 2
    assert "holds parts made with" in capsys.readouterr().err


def test_a_loss_rises_where_the_threshold_of_the_checkpoint_before_is_passed() -> None:
    """With a growing learning rate; without the sample that limits it most the threshold is higher."""
    training = along.Training(
        name="test",
        network="mlp-tanh",
        data="regression",
        optimizer="sgd",
        sampling="independent",
        batch_size=3,
        learning_rate=0.05,
        num_checkpoints=16,
        steps_per_checkpoint=200,
        seed=1,
        num_samples=12,
        ramp_from=6,
        ramp=1.3,
        num_removed=1,
    )
    rows = along.run(training, lambda _: None)["trainings"]
    usual = [row for row in rows if row["training"] == "test"]
    spike = next(index for index, row in enumerate(usual) if row["event"] == "spike")
    assert usual[spike - 1]["learning_rate"] > usual[spike - 1]["mean_square"]
    assert all(row["learning_rate"] < row["mean_square"] for row in usual[: training.ramp_from])
    removed = [row for row in rows if row["training"] == "test.removed"]
    assert removed[0]["event"] == "removed"
    before = next(row for row in usual if row["step"] == removed[0]["step"])
    assert removed[0]["mean_square"] > before["mean_square"]


def test_the_record_that_is_published_is_that_of_its_protocol() -> None:
    """Every cell of the tables is one of the protocol, with its number of runs, and the pilot is not among them."""
    published = PROTOCOL.parent / "restarts.csv"
    if not published.is_file():
        pytest.skip("no record yet")
    full = protocol.read(PROTOCOL, quick=False)
    names = {task.problem.name for task in full.tasks}
    rows = tables.read(published)
    assert {row["minimum"] for row in rows} <= names
    assert {int(row["num_runs"]) for row in rows} == {full.num_runs}
    thresholds = {
        tuple(row[key] for key in ("minimum", "optimizer", "sampling", "batch_size")): float(row["learning_rate"])
        for row in tables.read(PROTOCOL.parent / "thresholds.csv")
        if row["predictor"] == "mean_square"
    }
    for row in rows:
        own = thresholds[row["minimum"], row["optimizer"], row["sampling"], row["batch_size"]]
        assert float(row["learning_rate"]) == pytest.approx(float(row["ratio"]) * own, rel=1e-12)
    assert not any(row["minimum"].startswith("pilot") for row in rows)
