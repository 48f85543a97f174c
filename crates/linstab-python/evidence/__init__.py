"""The edge test: checkpoints of small networks are restarted around their thresholds, and what happens is held against what was predicted.

`cargo xtask evidence` runs it; what it fixes beforehand stands in `data/evidence/protocol.toml`.
"""

import contextlib
import os

# A process is one thread: shares run side by side, and sums are in the same order on every machine. Read when JAX is first used.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1".strip()

# The part for PyTorch (`framework.py`) does without.
with contextlib.suppress(ModuleNotFoundError):
    import jax

    jax.config.update("jax_enable_x64", True)
