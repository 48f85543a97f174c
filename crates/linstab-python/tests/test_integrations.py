"""Callbacks for other people's loops, driven by their own trainers, and the analyser for loops in JAX."""

from __future__ import annotations

import math
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linstab.errors import LinstabError

NUM_STEPS, EVERY = 6, 2
EXPECTED_STEPS = [1, 3, 5]


def answer() -> Any:
    row = types.SimpleNamespace(
        optimizer="sgd", batch_size=4, max_learning_rate=0.5, max_learning_rate_interval=(0.5, 0.5), standard_error=None
    )
    return types.SimpleNamespace(stability=(row,), diagnostics=(), sharpness=4.0, coherence=None, responsible_samples=())


class Seen:
    """An analysis that notes what it is called with, and draws random numbers as a rude one would."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any]] = []

    def __call__(self, model: Any, optimizer: Any) -> Any:
        import torch

        assert not model.training
        torch.randn(3)
        self.calls.append((model, optimizer))
        return answer()


def options(tmp_path: Path) -> dict[str, Any]:
    return {"every": EVERY, "budget": 1.0, "log": tmp_path / "linstab.csv"}


def lightning_training(callbacks: list[Any], loggers: Any = False) -> Any:
    torch = pytest.importorskip("torch")
    try:
        import lightning.pytorch as lightning
    except ImportError:
        lightning = pytest.importorskip("pytorch_lightning")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))

        def training_step(self, batch: Any, index: int) -> Any:
            return self.layers(batch[0]).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    lightning.seed_everything(0)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(24, 3)), batch_size=4)
    module = Module()
    trainer = lightning.Trainer(
        max_epochs=1,
        callbacks=callbacks,
        logger=loggers,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)
    return module


def test_lightning_trainer(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    integration = pytest.importorskip("linstab.integrations.lightning")
    seen = Seen()
    callback = integration.LinstabCallback(analyse=seen, monitor_options=options(tmp_path))
    module = lightning_training([callback])
    assert [record.step for record in callback.monitor.records] == EXPECTED_STEPS
    assert all(record.learning_rate == 0.1 and record.loss is not None for record in callback.monitor.records)
    assert all(model is module and type(optimizer).__name__ == "SGD" for model, optimizer in seen.calls)
    assert len((tmp_path / "linstab.csv").read_text().splitlines()) == 1 + len(EXPECTED_STEPS)
    # The training does not notice it.
    for with_it, without in zip(module.parameters(), lightning_training([]).parameters()):
        assert np.array_equal(with_it.detach().numpy(), without.detach().numpy())


def test_records_go_to_the_loggers_of_lightning(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    integration = pytest.importorskip("linstab.integrations.lightning")
    try:
        from lightning.pytorch.loggers import CSVLogger
    except ImportError:
        from pytorch_lightning.loggers import CSVLogger
    logger = CSVLogger(tmp_path, name="run", flush_logs_every_n_steps=1)
    callback = integration.LinstabCallback(analyse=Seen(), monitor_options=options(tmp_path))
    lightning_training([callback], loggers=[logger])
    assert "linstab/max_learning_rate" in (Path(logger.log_dir) / "metrics.csv").read_text()


def hugging_face_training(callbacks: list[Any], folder: Path) -> Any:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))

        def forward(self, x: Any, labels: Any) -> Any:
            outputs = self.layers(x)
            return {"loss": (outputs - labels).square().mean(), "logits": outputs}

    transformers.set_seed(0)
    data = [{"x": torch.randn(3), "labels": torch.zeros(1)} for _ in range(4 * NUM_STEPS)]
    model = Model()
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        num_train_epochs=1,
        logging_steps=1,
        learning_rate=0.1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    transformers.Trainer(model=model, args=arguments, train_dataset=data, callbacks=callbacks).train()
    return model


def test_hugging_face_trainer(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    integration = pytest.importorskip("linstab.integrations.transformers")
    seen = Seen()
    callback = integration.LinstabCallback(analyse=seen, monitor_options=options(tmp_path))
    model = hugging_face_training([callback], tmp_path)
    assert [record.step for record in callback.monitor.records] == EXPECTED_STEPS
    assert all(given is model and hasattr(optimizer, "param_groups") for given, optimizer in seen.calls)
    # It is told of the loss when the trainer logs: once a step here.
    assert len(callback.monitor._losses) == NUM_STEPS
    for with_it, without in zip(model.parameters(), hugging_face_training([], tmp_path).parameters()):
        assert np.array_equal(with_it.detach().numpy(), without.detach().numpy())


@pytest.mark.parametrize("name", ["lightning", "transformers"])
def test_a_callback_wants_either_data_or_a_function(name: str) -> None:
    pytest.importorskip("torch")
    integration = pytest.importorskip(f"linstab.integrations.{name}")
    for arguments in [{}, {"data": [], "analyse": Seen()}]:
        with pytest.raises(LinstabError, match="one of them"):
            integration.LinstabCallback(**arguments)


def jax_problem() -> tuple[Any, Any, tuple[np.ndarray, np.ndarray]]:
    pytest.importorskip("jax")
    rng = np.random.default_rng(0)
    data = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    return lambda params, inputs: inputs @ params["w"], {"w": rng.normal(size=(3, 2))}, data


def test_a_loop_in_jax_is_monitored_on_a_fixed_subset() -> None:
    linstab = pytest.importorskip("linstab")
    apply, params, data = jax_problem()
    analyse = linstab.integrations.jax.analyser(apply, data, loss="half_squared_error", num_samples=20, seed=3)
    with linstab.Monitor(analyse, batch_size=4, every=1, budget=1.0, log=None) as monitor:
        for step in range(3):
            monitor.step(step, params, learning_rate=0.1)
    first = monitor.records[0]
    # A linear model is the same everywhere, and so is a fixed subset.
    assert all(record.max_learning_rate == first.max_learning_rate for record in monitor.records)
    factors = analyse(params)
    assert factors.population == 40 and set(first.responsible_samples) <= set(factors.indices)
    whole = linstab.analyze(factors, batch_size=4)
    assert (first.max_learning_rate, first.standard_error) == (whole.max_learning_rate, whole.stability[0].standard_error)
    assert first.standard_error is not None and first.standard_error > 0
    # Diagnostics of gradients are those of the subset.
    assert first.batch_sharpness is not None and first.gradient_noise_interaction is not None
    assert first.coherence is not None and math.isfinite(first.sharpness or math.nan)


def test_a_loop_in_jax_with_an_optax_state() -> None:
    linstab = pytest.importorskip("linstab")
    optax = pytest.importorskip("optax")
    apply, params, data = jax_problem()
    batches = [(data[0][i : i + 8], data[1][i : i + 8]) for i in range(0, 40, 8)]
    analyse = linstab.integrations.jax.analyser(
        apply, iter(batches), loss="half_squared_error", hyperparameters={"nesterov": True}
    )
    state = optax.inject_hyperparams(optax.sgd)(0.1, momentum=0.9, nesterov=True).init(params)
    expected = linstab.analyze(
        linstab.jax.factors(apply, params, data, loss="half_squared_error"),
        batch_size=8,
        optimizer="sgd:momentum=0.9,nesterov=true",
    )
    for _ in range(2):
        found = analyse(params, state)
        assert found.max_learning_rate == expected.max_learning_rate
        assert found.stable is (0.1 < expected.max_learning_rate)
