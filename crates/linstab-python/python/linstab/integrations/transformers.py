"""Hugging Face: a ``TrainerCallback`` that monitors a training.

    trainer = transformers.Trainer(..., callbacks=[LinstabCallback(subset, loss="cross_entropy", batch_size=32)])

Keywords are those of ``linstab.torch.analyze_model``, and of :class:`linstab.Monitor` in ``monitor_options``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._torch import learning_rate, monitor_of

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError(
        "linstab.integrations.transformers needs Transformers: pip install transformers, or 'linstab[transformers]'"
    ) from error

__all__ = ["LinstabCallback"]


class LinstabCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Analyses the model under its optimizer along the training, on the main process.

    The trainer tells of its loss when it logs, as the mean since it last did: spikes are looked for in these.

    Parameters
    ----------
    data
        What to analyse, as of ``linstab.torch.analyze_model``: a fixed part of the training data. The model is called with the
        inputs alone; one that wants named tensors needs ``analyse``.
    analyse
        In the place of that, a function of (model, optimizer) as of :class:`linstab.Monitor`.
    options
        Keywords of ``analyze_model`` (``loss``, ``batch_size``, ``sampling``, ``num_samples``, ``seed`` and so on), with ``data`` only.
    monitor_options
        Options of :class:`linstab.Monitor`: ``every``, ``budget``, ``log``, ``writer`` and so on.
    """

    def __init__(
        self,
        data: Any = None,
        *,
        analyse: Callable[[Any, Any], Any] | None = None,
        monitor_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.monitor = monitor_of(data, analyse, options, monitor_options)
        self._running = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        if state.is_world_process_zero:
            self.monitor.models = [kwargs["model"]]
            self.monitor.__enter__()
            self._running = True

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell the monitor of the step."""
        if self._running:
            model, optimizer = kwargs["model"], kwargs["optimizer"]
            # The trainer wraps optimizers for its devices; the one inside is what was asked for.
            inner = getattr(optimizer, "optimizer", optimizer)
            self.monitor.step(state.global_step, model, inner, learning_rate=learning_rate(inner))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Look at the loss."""
        if self._running and logs and "loss" in logs:
            self.monitor.observe(state.global_step, logs["loss"])

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop the clock and close the log."""
        if self._running:
            self._running = False
            self.monitor.__exit__(None, None, None)
