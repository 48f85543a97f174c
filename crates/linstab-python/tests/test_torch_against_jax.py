"""PyTorch and JAX on the same weights: the same factors, inner products and thresholds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch door needs torch; cargo xtask test-torch brings one")
# Not asked for politely: where the torch tests run it has to be there, or frameworks would never be compared.
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from torch import Tensor, nn  # noqa: E402

import linstab  # noqa: E402
import linstab.jax as door_jax  # noqa: E402
import linstab.torch as door_torch  # noqa: E402

SAMPLES, WIDTH, CLASSES = 6, 5, 3
# Rounding of two orders of summation, in double precision.
TOLERANCE = 1e-12


class Attention(nn.Module):
    """Tokens that are normalised, attend to one another, and are averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mix, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.mix(self.norm(x)).chunk(3, -1)
        return self.head(torch.tanh(nn.functional.scaled_dot_product_attention(q, k, v) + x).mean(1))


def perceptron(w: list[Any], x: Any) -> Any:
    return jnp.tanh(x @ w[0].T + w[1]) @ w[2].T + w[3]


def convolution(w: list[Any], x: Any) -> Any:
    hidden = jax.lax.conv_general_dilated(x, w[0], (2, 2), ((1, 1), (1, 1))) + w[1][:, None, None]
    return jnp.tanh(hidden).reshape(len(x), -1) @ w[2].T + w[3]


def attention(w: list[Any], x: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    normal = centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w[0] + w[1]
    q, k, v = jnp.split(normal @ w[2].T + w[3], 3, -1)
    mixed = jax.nn.softmax(q @ k.swapaxes(1, 2) / WIDTH**0.5, -1) @ v
    return jnp.tanh(mixed + x).mean(1) @ w[4].T + w[5]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[list[Any], Any], Any], tuple[int, ...]]] = {
    "perceptron": (lambda: nn.Sequential(nn.Linear(WIDTH, 7), nn.Tanh(), nn.Linear(7, CLASSES)), perceptron, (WIDTH,)),
    "convolution": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(36, CLASSES)),
        convolution,
        (2, 6, 6),
    ),
    "attention": (Attention, attention, (4, WIDTH)),
}


@pytest.mark.parametrize("loss", ["mse", "half_squared_error", "cross_entropy"])
@pytest.mark.parametrize("name", NETWORKS)
def test_pytorch_and_jax_agree_on_the_same_weights(name: str, loss: str) -> None:
    build, apply, shape = NETWORKS[name]
    torch.manual_seed(0)
    model = build().double()
    weights = [value.detach().numpy() for value in model.parameters()]
    rng = np.random.default_rng(0)
    inputs, classes = rng.normal(size=(SAMPLES, *shape)), rng.integers(0, CLASSES, SAMPLES)
    targets = classes if loss == "cross_entropy" else np.eye(CLASSES)[classes]
    ours = door_jax.factors(apply, weights, (inputs, targets), loss=loss)
    theirs = door_torch.factors(model, (inputs, targets), loss=loss)
    size = np.abs(ours.values).max()
    assert np.abs(ours.values - theirs.values).max() <= TOLERANCE * size
    assert np.abs(ours.coefficients - theirs.coefficients).max() <= TOLERANCE * np.abs(ours.coefficients).max()
    grams = door_jax.gram(apply, weights, (inputs, targets), loss=loss), door_torch.gram(model, (inputs, targets), loss=loss)
    assert np.abs(grams[0].values - grams[1].values).max() <= TOLERANCE * np.abs(grams[0].values).max()
    limits = [linstab.max_learning_rate(gram, batch_size=2) for gram in grams]
    # Intervals of thresholds are a millionth wide.
    assert limits[0] == pytest.approx(limits[1], rel=1e-6)
    # Negative control: another weight is another network.
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    assert np.abs(ours.values - door_torch.factors(model, (inputs, targets), loss=loss).values).max() > 1e-6 * size
