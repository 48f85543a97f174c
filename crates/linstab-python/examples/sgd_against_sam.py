# %% [markdown]
# # SGD against SAM: which minimum is flatter, and which bears the larger learning rate?
#
# The same network from the same start, trained by SGD and by SAM on the same batches until it fits. Flat and stable are two things:
# sharpness is one direction of the mean curvature, the threshold of SGD depends on how the samples share their directions.

# %%
from __future__ import annotations

import sys
from functools import partial

import jax
import jax.numpy as jnp
import linstab
import linstab.jax
import numpy as np
from digits_network import apply, initial_params, load_digits, mean_loss, one_hot, polish

NUM_SAMPLES, BATCH_SIZE, NUM_EPOCHS, LEARNING_RATE, RADIUS, SEED = 60, 5, 1500, 0.03, 0.05, 0
images, labels = load_digits(NUM_SAMPLES)
data = jnp.asarray(images), jnp.asarray(one_hot(labels))


# %%
@partial(jax.jit, static_argnames="radius")
def train(params, batches, radius):
    """SGD if the radius is zero, else SAM: the gradient is taken where the loss of the batch has been climbed by that distance."""

    def step(params, chosen):
        gradient = jax.grad(mean_loss)(params, data[0][chosen], data[1][chosen])
        if radius:
            norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
            climbed = jax.tree.map(lambda p, g: p + radius * g / (norm + 1e-12), params, gradient)
            gradient = jax.grad(mean_loss)(climbed, data[0][chosen], data[1][chosen])
        return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, gradient), None

    return jax.lax.scan(step, params, batches)[0]


generator = np.random.default_rng(SEED)
orders = generator.permuted(np.tile(np.arange(NUM_SAMPLES), (NUM_EPOCHS, 1)), axis=1).reshape(-1, BATCH_SIZE)
minima = {}
for name, radius in [("SGD", 0.0), ("SAM", RADIUS)]:
    params = train(initial_params(SEED), orders, radius)
    print(f"{name}: loss {mean_loss(params, *data):.1e} after training", end=", ")
    params = polish(params, *data)
    print(f"{mean_loss(params, *data):.1e} after the polish")
    minima[name] = linstab.jax.factors(apply, params, data, loss="half_squared_error")

# %% [markdown]
# Each minimum under SGD, with and without momentum, for two batch sizes; changes have paired standard errors.

# %%
comparison = linstab.compare(minima, batch_size=[1, BATCH_SIZE], optimizer=["sgd", "sgd:momentum=0.9"])
print(comparison)

# %%
sharpness = {name: linstab.analyze(factors, batch_size=BATCH_SIZE).sharpness for name, factors in minima.items()}
print(", ".join(f"sharpness after {name}: {value:.1f}" for name, value in sharpness.items()))
if __name__ == "__main__" and "ipykernel" not in sys.modules:
    sys.exit(0 if sharpness["SAM"] < sharpness["SGD"] else 1)
