"""The networks of the edge test, as functions of one flat vector of parameters.

All of them see images of 8 x 8 pixels, whatever these mean, so that each network can be given each data set. They are small: a cell of
the test trains a hundred of them side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

SIDE = 8
PIXELS = SIDE * SIDE
Params = dict[str, Any]
Forward = Callable[[Params, jax.Array], jax.Array]
"""Outputs (samples, outputs) of images (samples, 8, 8)."""


@dataclass(frozen=True)
class Network:
    """A network with a number of outputs: how to draw its parameters, and its outputs at a flat vector of them."""

    name: str
    activation: str
    num_outputs: int

    def initial(self, seed: int, start: int = 0) -> np.ndarray:
        """Parameters with variance 1 / fan-in, biases 0; a seed has several starts."""
        return np.asarray(ravel_pytree(self._tree(seed, start))[0])

    def apply(self, flat: jax.Array, images: jax.Array) -> jax.Array:
        """Outputs (samples, outputs) of images (samples, 8, 8)."""
        return NETWORKS[self.name].forward(_unravel(self)(flat), images)

    @property
    def num_parameters(self) -> int:
        """Length of the vector."""
        return len(self.initial(0))

    def tree(self, flat: np.ndarray) -> Params:
        """Parameters by name."""
        return _unravel(self)(jnp.asarray(flat))

    def _tree(self, seed: int, start: int) -> Params:
        architecture = NETWORKS[self.name]
        shapes = architecture.shapes(self.num_outputs)
        generator = np.random.default_rng([seed, *([start] if start else []), *self.name.encode()])
        return {name: _drawn(name, shape, generator) for name, shape in shapes.items()}


@lru_cache(maxsize=64)
def _unravel(network: Network) -> Callable[[jax.Array], Params]:
    unravel: Callable[[jax.Array], Params] = ravel_pytree(network._tree(0, 0))[1]
    return unravel


def _drawn(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """A weight matrix (fan-in, fan-out), or a vector: ones for scales, zeros for shifts."""
    if len(shape) == 2:
        return generator.standard_normal(shape) / np.sqrt(shape[0])
    return np.ones(shape) if name.endswith("scale") else np.zeros(shape)


@dataclass(frozen=True)
class Architecture:
    """Shapes of the parameters by the number of outputs, and the forward pass."""

    activation: str
    shapes: Callable[[int], dict[str, tuple[int, ...]]]
    forward: Forward


def named(name: str, num_outputs: int) -> Network:
    """The network of a name."""
    if name not in NETWORKS:
        raise ValueError(f"network {name!r}: allowed are {', '.join(NETWORKS)}")
    return Network(name, NETWORKS[name].activation, num_outputs)


def _layers(*widths: int) -> Callable[[int], dict[str, tuple[int, ...]]]:
    def shapes(num_outputs: int) -> dict[str, tuple[int, ...]]:
        sizes = (PIXELS, *widths, num_outputs)
        found: dict[str, tuple[int, ...]] = {}
        for index, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:])):
            found |= {f"{index}.weight": (fan_in, fan_out), f"{index}.bias": (fan_out,)}
        return found

    return shapes


def _dense(activation: Callable[[jax.Array], jax.Array]) -> Forward:
    def forward(params: Params, images: jax.Array) -> jax.Array:
        hidden = images.reshape(len(images), PIXELS)
        last = len(params) // 2 - 1
        for index in range(last):
            hidden = activation(_affine(params, str(index), hidden))
        return _affine(params, str(last), hidden)

    return forward


def _affine(params: Params, name: str, inputs: jax.Array) -> jax.Array:
    return inputs @ params[f"{name}.weight"] + params[f"{name}.bias"]


def _patches(images: jax.Array) -> jax.Array:
    """3 x 3 patches at stride 2: (samples, side / 2, side / 2, 9 * channels). With them a convolution is a matrix product."""
    side = images.shape[1]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return jnp.concatenate([padded[:, i : i + side : 2, j : j + side : 2] for i in range(3) for j in range(3)], axis=-1)


def _convolutional(params: Params, images: jax.Array) -> jax.Array:
    hidden = images[..., None]
    for name in ("first", "second"):
        hidden = jax.nn.gelu(_affine(params, name, _patches(hidden)))
    return _affine(params, "output", hidden.reshape(len(images), -1))


def _convolutional_shapes(num_outputs: int) -> dict[str, tuple[int, ...]]:
    return {
        "first.weight": (9, 6),
        "first.bias": (6,),
        "second.weight": (54, 12),
        "second.bias": (12,),
        "output.weight": (48, num_outputs),
        "output.bias": (num_outputs,),
    }


RESIDUAL_WIDTH = 10
RESIDUAL_BLOCKS = ("first", "second")


def _normalised(params: Params, name: str, hidden: jax.Array) -> jax.Array:
    """LayerNorm over the last axis."""
    centred = hidden - hidden.mean(axis=-1, keepdims=True)
    deviation = jnp.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    return centred / deviation * params[f"{name}.scale"] + params[f"{name}.shift"]


def _residual(params: Params, images: jax.Array) -> jax.Array:
    hidden = _affine(params, "input", images.reshape(len(images), PIXELS))
    for block in RESIDUAL_BLOCKS:
        inner = jnp.tanh(_affine(params, f"{block}.in", _normalised(params, block, hidden)))
        hidden = hidden + _affine(params, f"{block}.out", inner)
    return _affine(params, "output", hidden)


def _residual_shapes(num_outputs: int) -> dict[str, tuple[int, ...]]:
    width = RESIDUAL_WIDTH
    shapes: dict[str, tuple[int, ...]] = {"input.weight": (PIXELS, width), "input.bias": (width,)}
    for block in RESIDUAL_BLOCKS:
        shapes |= {f"{block}.scale": (width,), f"{block}.shift": (width,)}
        shapes |= {f"{block}.in.weight": (width, width), f"{block}.in.bias": (width,)}
        shapes |= {f"{block}.out.weight": (width, width), f"{block}.out.bias": (width,)}
    return shapes | {"output.weight": (width, num_outputs), "output.bias": (num_outputs,)}


TOKEN_WIDTH = 8


def _attention(params: Params, images: jax.Array) -> jax.Array:
    """The rows of an image are a sequence of tokens; one head with a residual, one dense block, all tokens read out."""
    tokens = _affine(params, "embedding", images) + params["position.weight"]
    normal = _normalised(params, "attention", tokens)
    queries, keys, values = (normal @ params[f"{name}.weight"] for name in ("query", "key", "value"))
    scores = jax.nn.softmax(queries @ jnp.swapaxes(keys, -1, -2) / TOKEN_WIDTH**0.5, axis=-1)
    tokens = tokens + (scores @ values) @ params["mix.weight"]
    tokens = tokens + _affine(params, "dense", jax.nn.gelu(_normalised(params, "dense", tokens)))
    return _affine(params, "output", tokens.reshape(len(images), -1))


def _attention_shapes(num_outputs: int) -> dict[str, tuple[int, ...]]:
    width = TOKEN_WIDTH
    square, line = (width, width), (width,)
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (SIDE, width), "embedding.bias": line}
    shapes |= {"position.weight": (SIDE, width), "attention.scale": line, "attention.shift": line}
    shapes |= {f"{name}.weight": square for name in ("query", "key", "value", "mix")}
    shapes |= {"dense.scale": line, "dense.shift": line, "dense.weight": square, "dense.bias": line}
    return shapes | {"output.weight": (SIDE * width, num_outputs), "output.bias": (num_outputs,)}


NETWORKS = {
    "mlp-relu": Architecture("relu", _layers(16, 16), _dense(jax.nn.relu)),
    "mlp-tanh": Architecture("tanh", _layers(16), _dense(jnp.tanh)),
    "cnn-gelu": Architecture("gelu", _convolutional_shapes, _convolutional),
    "residual-layernorm": Architecture("tanh", _residual_shapes, _residual),
    "attention": Architecture("gelu", _attention_shapes, _attention),
    "deep-linear": Architecture("identity", _layers(12, 12), _dense(lambda hidden: hidden)),
    # For the choice of the protocol alone.
    "pilot": Architecture("silu", _layers(16), _dense(jax.nn.silu)),
    # Too small to fit its data: minima at a finite loss.
    "small": Architecture("tanh", _layers(2), _dense(jnp.tanh)),
}
