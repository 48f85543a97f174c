"""The monitor: what it logs, what it costs, what it says of spikes, and that a training does not notice it."""

from __future__ import annotations

import csv
import logging
import math
import random
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linstab import _monitor_log
from linstab._preserved import preserved
from linstab.errors import LinstabError
from linstab.monitor import Monitor, Record


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


def answer(max_learning_rate: float = 0.5, samples: tuple[int, ...] = (4, 2)) -> Any:
    """What an analysis looks like to the monitor."""
    row = types.SimpleNamespace(
        optimizer="sgd",
        batch_size=8,
        max_learning_rate=max_learning_rate,
        max_learning_rate_interval=(0.4, 0.6),
        standard_error=0.01,
    )
    diagnostics = [
        types.SimpleNamespace(name=name, value=value, optimizer="sgd", batch_size=size)
        for name, value, size in [
            ("batch_sharpness", 3.0, 8),
            ("gradient_noise_interaction", 2.0, 8),
            ("batch_sharpness", 9.0, 1),
        ]
    ]
    return types.SimpleNamespace(
        stability=(row,),
        diagnostics=diagnostics,
        sharpness=4.0,
        coherence=types.SimpleNamespace(sigma=1.5),
        responsible_samples=[types.SimpleNamespace(sample=sample) for sample in samples],
    )


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_line_for_each_analysis(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "linstab.csv"
    states = []
    with Monitor(lambda *state: states.append(state) or answer(), every=3, budget=1.0, log=path) as monitor:
        for step in range(10, 20):
            monitor.step(step, "params", step, loss=np.float32(0.25), learning_rate=0.1)
            # Lines are whole on disk at once.
            assert [int(row["step"]) for row in read(path)] == [s for s in (10, 13, 16, 19) if s <= step]
    assert states == [("params", step) for step in (10, 13, 16, 19)]
    line = read(path)[0]
    expected = {
        "loss": 0.25, "learning_rate": 0.1, "max_learning_rate": 0.5, "lower": 0.4, "upper": 0.6, "standard_error": 0.01,
        "batch_sharpness": 3.0, "gradient_noise_interaction": 2.0, "sharpness": 4.0, "coherence": 1.5,
    }  # fmt: skip
    assert {name: float(line[name]) for name in expected} == expected
    assert line["responsible_samples"] == "4 2" and line["event"] == ""
    assert 0 < float(line["seconds"]) and 0 < float(line["share"]) <= 1


def test_a_log_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "linstab.csv"
    for start in (0, 5):
        with Monitor(lambda: answer(1 / 3), every=1, budget=1.0, log=path) as monitor:
            monitor.step(start)
    assert [int(row["step"]) for row in read(path)] == [0, 5]
    assert [record.step for record in monitor.records] == [0, 5]
    # To the last bit.
    assert monitor.records[0].max_learning_rate == 1 / 3
    # A line that was cut off is dropped, and the rest stays.
    content = path.read_bytes()
    path.write_bytes(content[:-7])
    log = _monitor_log.CsvLog(path)
    log.write(Record(9))
    log.close()
    assert [int(row["step"]) for row in read(path)] == [0, 9]


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "linstab.csv"
    for content in ("step,accuracy\n1,0.5\n", "no newline"):
        path.write_text(content)
        with pytest.raises(LinstabError, match="log to another file"), Monitor(answer, log=path):
            pass
        assert path.read_text() == content


@pytest.mark.parametrize("budget", [0.02, 0.05, 0.5])
@pytest.mark.parametrize("cost", [0.1, 3.0])
def test_analyses_cost_no_more_than_the_budget(budget: float, cost: float) -> None:
    clock = Clock()

    def analyse() -> Any:
        clock.spend(cost)
        return answer()

    with Monitor(analyse, every=1, budget=budget, log=None, clock=clock) as monitor:
        for step in range(20000):
            clock.spend(0.05)
            monitor.step(step)
    count = len(monitor.records)
    assert monitor.share <= budget
    assert monitor.share == pytest.approx(count * cost / (20000 * 0.05 + count * cost))
    # And no less than it allows: two more would not fit in.
    assert (count + 2) * cost > budget * (20000 * 0.05 + (count + 2) * cost)
    assert monitor.records[-1].share <= budget
    # Negative control: with all of the time allowed each step has one.
    with Monitor(analyse, every=1, budget=1.0, log=None, clock=clock) as monitor:
        for step in range(5):
            monitor.step(step)
    assert len(monitor.records) == 5 and monitor.share == 1.0


def test_real_analyses_within_the_budget_by_the_real_clock() -> None:
    def analyse() -> Any:
        np.linalg.eigvalsh(np.random.default_rng(0).normal(size=(60, 60)))
        return answer()

    with Monitor(analyse, every=1, budget=0.05, log=None) as monitor:
        for step in range(300):
            np.linalg.eigvalsh(np.random.default_rng(0).normal(size=(80, 80)))
            monitor.step(step)
    assert len(monitor.records) >= 2
    # Each analysis may cost more than the last one did, on a busy machine: by how much is measured, and the next one waits.
    worst = max(record.seconds for record in monitor.records)
    assert monitor.share <= 0.05 + worst / (monitor._spent / monitor.share)


def losses_with_a_jump() -> list[float]:
    return [1.0 + 0.1 * math.sin(step) for step in range(40)] + [50.0, 60.0, 40.0] + [1.0] * 20 + [math.nan] + [1.0] * 5


def test_a_spike_names_the_samples_that_carry_the_unstable_direction(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    path = tmp_path / "linstab.csv"
    with caplog.at_level(logging.WARNING, logger="linstab"), Monitor(answer, every=1000, budget=1.0, log=path) as monitor:
        for step, loss in enumerate(losses_with_a_jump()):
            monitor.step(step, loss=loss)
    # One report a jump, not one for each high loss.
    assert [spike.step for spike in monitor.spikes] == [40, 63]
    first = monitor.spikes[0]
    assert first.loss == 50.0 and first.median == pytest.approx(1.0, abs=0.1)
    # A spike is analysed at once.
    assert first.responsible_samples == (4, 2) and first.analysed_at == 40
    assert [row["event"] for row in read(path)] == ["", "spike", "spike"]
    assert "jumped to 50 at step 40" in caplog.text and "4, 2" in caplog.text and len(caplog.records) == 2


def test_a_spike_that_the_budget_forbids_to_analyse_falls_back_to_the_last_analysis() -> None:
    clock = Clock()

    def analyse() -> Any:
        clock.spend(10.0)
        return answer()

    with Monitor(analyse, every=1000, budget=0.05, log=None, clock=clock) as monitor:
        for step, loss in enumerate(losses_with_a_jump()):
            monitor.step(step, loss=loss)
    assert len(monitor.records) == 1
    assert monitor.spikes[0].responsible_samples == (4, 2) and monitor.spikes[0].analysed_at == 0


def test_losses_below_zero_spike_as_far_above_their_median() -> None:
    with Monitor(answer, every=1000, budget=1.0, log=None) as monitor:
        for step, loss in enumerate([-1.0] * 40 + [0.9, -1.0, 1.1]):
            monitor.step(step, loss=loss)
    assert [spike.step for spike in monitor.spikes] == [42]


def test_no_spike_in_losses_that_only_fluctuate() -> None:
    with Monitor(answer, log=None) as monitor:
        rng = np.random.default_rng(0)
        # Within a factor of three of the median with certainty.
        assert not any(monitor.observe(step, loss) for step, loss in enumerate(rng.uniform(0.5, 1.4, 2000)))
        assert monitor.observe(2000, 3.0)


def test_an_analysis_that_fails_ends_no_training(caplog: pytest.LogCaptureFixture) -> None:
    def analyse(step: int) -> Any:
        if step == 1:
            raise ValueError("the model's outputs\nare not finite")
        return answer()

    with Monitor(analyse, every=1, budget=1.0, log=None) as monitor:
        for step in range(3):
            monitor.step(step, step)
    assert monitor.records[1].event.startswith("ValueError: the model's outputs") and monitor.records[1].max_learning_rate is None
    assert monitor.records[2].max_learning_rate == 0.5 and "no analysis at step 1" in caplog.text
    # The first one must work.
    with pytest.raises(ValueError, match="not finite"), Monitor(analyse, log=None) as monitor:
        monitor.step(0, 1)


def test_writers_of_tensorboard_and_of_weights_and_biases() -> None:
    scalars: list[tuple[str, float, int]] = []
    logged: list[tuple[dict[str, float], int]] = []
    tensorboard = types.SimpleNamespace(add_scalar=lambda name, value, step: scalars.append((name, value, step)))
    run = types.SimpleNamespace(log=lambda values, step: logged.append((values, step)))
    for writer in (tensorboard, run):
        with Monitor(lambda: answer(math.inf), log=None, writer=writer) as monitor:
            monitor.step(7, loss=1.0)
    assert ("linstab/sharpness", 4.0, 7) in scalars and logged[0][1] == 7 and logged[0][0]["linstab/sharpness"] == 4.0
    assert {name for name, _, _ in scalars} == set(logged[0][0])
    # What is not finite breaks axes, and is left out.
    assert "linstab/max_learning_rate" not in logged[0][0] and "linstab/lower" in logged[0][0]


def test_wrong_use_is_told() -> None:
    for options, match in [
        ({"every": 0}, "every is 0"),
        ({"budget": 0.0}, "budget is 0"),
        ({"spike_factor": 1.0}, "spike_factor"),
    ]:
        with pytest.raises(LinstabError, match=match):
            Monitor(answer, **options)
    with pytest.raises(LinstabError, match="add_scalar"):
        Monitor(answer, writer=object())
    with pytest.raises(LinstabError, match="allowed: a function"):
        Monitor(answer())  # type: ignore[arg-type]
    with pytest.raises(LinstabError, match="with linstab.Monitor"):
        Monitor(answer, log=None).step(0)


def test_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    with Monitor(answer, every=1, budget=1.0, log=None) as monitor:
        with pytest.raises(LinstabError, match="nothing to draw"):
            monitor.plot()
        for step, loss in enumerate(losses_with_a_jump()):
            monitor.step(step, loss=loss, learning_rate=0.1)
    ax = monitor.plot()
    # A line, the learning rate, and one for each spike.
    assert len(ax.lines) == 2 + len(monitor.spikes) and ax.get_yscale() == "log"


def test_without_matplotlib_the_picture_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with Monitor(answer, log=None) as monitor:
        monitor.step(0)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        monitor.plot()


def training(watched: bool) -> tuple[list[float], np.ndarray]:
    """A loop that draws from the global generators, with an analysis that draws from them, too."""
    random.seed(1)
    np.random.seed(1)
    weights, losses = np.ones(3), []

    def analyse() -> Any:
        np.random.normal(size=5)
        random.random()
        return answer()

    with Monitor(analyse, every=2, budget=1.0, log=None) as monitor:
        for step in range(20):
            weights = weights - 0.1 * (weights + np.random.normal(size=3)) * random.random()
            losses.append(float(weights @ weights))
            if watched:
                monitor.step(step, loss=losses[-1])
    assert len(monitor.records) == (10 if watched else 0)
    return losses, weights


def test_a_training_has_the_same_bits_with_and_without() -> None:
    losses, weights = training(True)
    expected_losses, expected_weights = training(False)
    assert losses == expected_losses and np.array_equal(weights, expected_weights)


def test_a_torch_training_has_the_same_bits_with_and_without() -> None:
    torch = pytest.importorskip("torch")

    def train(watched: bool) -> list[Any]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
        model[3].eval()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)

        def analyse() -> Any:
            assert not any(module.training for module in model.modules())
            # As rude as can be: draws, a backward pass that is not undone, batch statistics.
            model(torch.randn(5, 4)).sum().backward()
            return answer()

        with Monitor(analyse, every=1, budget=1.0, log=None, models=[model]) as monitor:
            for step in range(10):
                model(torch.randn(16, 4)).square().mean().backward()
                if watched:
                    # Between the backward pass and the step: accumulated gradients must survive.
                    monitor.step(step)
                if step % 2:
                    optimizer.step()
                    optimizer.zero_grad()
        assert model[1].training and model[2].training and not model[3].training
        return [*model.parameters(), *model.buffers()]

    for with_it, without in zip(train(True), train(False)):
        assert torch.equal(with_it, without)


def test_everything_is_restored_when_the_analysis_raises() -> None:
    random.seed(3)
    before = random.getstate()
    with pytest.raises(KeyError), preserved():
        random.random()
        raise KeyError
    assert random.getstate() == before
