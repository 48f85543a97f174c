"""Lightning: a ``Callback`` that monitors a training.

    callback = LinstabCallback(subset, loss="cross_entropy", batch_size=32, monitor_options={"every": 200})
    trainer = lightning.Trainer(callbacks=[callback])

Keywords are those of ``linstab.torch.analyze_model``, and of :class:`linstab.Monitor` in ``monitor_options``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._torch import learning_rate, monitor_of

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:
    try:
        from pytorch_lightning.callbacks import Callback
    except ImportError as error:
        raise ImportError(
            "linstab.integrations.lightning needs Lightning: pip install lightning, or 'linstab[lightning]'"
        ) from error

__all__ = ["LinstabCallback"]


class LinstabCallback(Callback):  # type: ignore[misc, unused-ignore]
    """Analyses the model under its optimizer along the training, on the process of rank 0.

    The record of each analysis goes to the loggers of the trainer, too. ``monitor`` is the monitor, with its records and spikes.

    Parameters
    ----------
    data
        What to analyse, as of ``linstab.torch.analyze_model``: a fixed part of the training data.
    analyse
        In the place of that, a function of (module, optimizer) as of :class:`linstab.Monitor`.
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

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        if trainer.is_global_zero:
            self.monitor.models = [pl_module]
            self.monitor.__enter__()
            self._running = True

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Tell the monitor of the step."""
        if not self._running:
            return
        optimizer = trainer.optimizers[0]
        record = self.monitor.step(
            trainer.global_step, pl_module, optimizer, loss=_loss(outputs), learning_rate=learning_rate(optimizer)
        )
        if record is not None:
            for logger in trainer.loggers:
                logger.log_metrics({f"linstab/{name}": value for name, value in record.numbers().items()}, step=record.step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop the clock and close the log."""
        self._stop()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The same where the training ends by an exception."""
        self._stop()

    def _stop(self) -> None:
        if self._running:
            self._running = False
            self.monitor.__exit__(None, None, None)


def _loss(outputs: Any) -> Any:
    """Loss of a training step, which returns it alone or in a dictionary, or nothing."""
    return outputs.get("loss") if isinstance(outputs, dict) else outputs
