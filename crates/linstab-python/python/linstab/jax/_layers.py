"""Inner products of the gradients of weight matrices, from what a product with them saw: no gradient of a single sample is made.

A weight matrix ``W`` that is used in one matrix product ``y = x W``, with ``x`` of shape (positions, inputs) for a sample, has
the gradient ``sum_p x_p d_p^T`` for a factor, where ``d`` is the derivative at ``y``. So two factors have the inner product
``sum_{p, p'} (x_p . x'_p') (d_p . d'_p')``, which takes inputs + outputs multiplications instead of their product. Where such
products stand is read off the traced program of one sample, so it does not matter which library made the layers. All other
parameters go by gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from numpy.typing import NDArray

__all__ = ["Product", "inner_products", "products_of", "taps"]

# Bytes of intermediate inner products that are held at a time.
_BLOCK_BYTES = 2**28
# Calls that are looked into; what others do with a parameter counts as another use of it.
_INLINED = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr"}

# Where an equation stands: its index, after those of the calls around it.
Path = tuple[int, ...]


@dataclass(frozen=True)
class Product:
    """The one use of a parameter: a matrix product, where it stands and which operand the parameter is.

    ``contracted`` is the axis of the other operand that is summed over, ``output`` the shape of the product.
    """

    leaf: int
    path: Path
    operand: int
    contracted: int
    output: tuple[int, ...]
    num_inputs: int
    num_outputs: int

    @property
    def positions(self) -> int:
        """Rows of a sample that meet the weights."""
        return int(np.prod(self.output)) // self.num_outputs

    def pays(self, samples: int, factors: int) -> bool:
        """Whether the closed form takes fewer multiplications than the products of gradients."""
        rows = samples * factors
        closed = self.positions**2 * (samples**2 * self.num_inputs + rows**2 * (self.num_outputs + 1))
        return closed < rows**2 * self.num_inputs * self.num_outputs

    def rows_of_inputs(self, other: Any) -> Any:
        """The other operand as (positions, inputs)."""
        return jnp.moveaxis(other, self.contracted, -1).reshape(-1, self.num_inputs)

    def rows_of_outputs(self, derivative: Any) -> Any:
        """Derivatives at the product as (positions, outputs)."""
        axis = 0 if self.operand == 0 else -1
        return jnp.moveaxis(derivative, axis, -1).reshape(-1, self.num_outputs)


def products_of(program: ClosedJaxpr, num_leaves: int) -> list[Product]:
    """The parameters, which are the first arguments of a program, whose one use is a matrix product."""
    uses: dict[int, list[Product | None]] = {leaf: [] for leaf in range(num_leaves)}
    leaves = dict(zip(program.jaxpr.invars[:num_leaves], range(num_leaves)))
    for leaf in _walk(program.jaxpr, leaves, (), uses):
        if leaf is not None:
            uses[leaf].append(None)
    return [only[0] for only in uses.values() if len(only) == 1 and only[0] is not None]


def _walk(jaxpr: Jaxpr, leaves: dict[Var, int], path: Path, uses: dict[int, list[Product | None]]) -> list[int | None]:
    """Notes the uses of parameters; returns which of them the outputs are."""
    for index, equation in enumerate(jaxpr.eqns):
        here = (*path, index)
        operands = [None if isinstance(atom, Literal) else leaves.get(atom) for atom in equation.invars]
        inner = _inner(equation)
        if inner is not None:
            known = {var: leaf for var, leaf in zip(inner.jaxpr.invars, operands) if leaf is not None}
            passed = _walk(inner.jaxpr, known, here, uses)
        elif equation.primitive.name == "transpose":
            passed = operands
        else:
            passed = []
            for operand, leaf in enumerate(operands):
                if leaf is not None:
                    uses[leaf].append(_product(leaf, here, operand, equation))
        leaves.update({var: leaf for var, leaf in zip(equation.outvars, passed) if leaf is not None})
    return [None if isinstance(atom, Literal) else leaves.get(atom) for atom in jaxpr.outvars]


def _inner(equation: JaxprEqn) -> ClosedJaxpr | None:
    name = _INLINED.get(equation.primitive.name)
    inner = None if name is None else equation.params.get(name)
    return inner if isinstance(inner, ClosedJaxpr) else None


def _product(leaf: int, path: Path, operand: int, equation: JaxprEqn) -> Product | None:
    if equation.primitive.name != "dot_general":
        return None
    contracted, batch = equation.params["dimension_numbers"]
    shape = equation.invars[operand].aval.shape
    if any(batch) or len(contracted[0]) != 1 or len(shape) != 2:
        return None
    summed = contracted[operand][0]
    output = tuple(equation.outvars[0].aval.shape)
    return Product(leaf, path, operand, contracted[1 - operand][0], output, shape[summed], shape[1 - summed])


def taps(program: ClosedJaxpr, products: list[Product]) -> Callable[..., Any]:
    """A compiled function of (analysed, fixed, inputs, roots), over samples, that gives what each product saw.

    That is a list of pairs: inputs, shape (samples, positions, inputs), and derivatives of the factors at the outputs, shape
    (samples, factors, positions, outputs).
    """
    at = {product.path: index for index, product in enumerate(products)}

    def single(analysed: Any, fixed: Any, inputs: Any, roots: Any) -> Any:
        arguments = jax.tree_util.tree_leaves((analysed, fixed, inputs))

        def outputs(shifts: list[Any]) -> Any:
            seen: dict[int, Any] = {}

            def shifted(path: Path, operands: list[Any], result: Any) -> Any:
                index = at[path]
                seen[index] = products[index].rows_of_inputs(operands[1 - products[index].operand])
                return result + shifts[index]

            (result,) = _evaluate(program.jaxpr, program.consts, arguments, (), at, shifted)
            return result.reshape(-1), [seen[index] for index in range(len(products))]

        nowhere = [jnp.zeros(product.output, roots.dtype) for product in products]
        _, pull, seen = jax.vjp(outputs, nowhere, has_aux=True)
        (derivatives,) = jax.vmap(pull)(roots)
        return [
            (found, jax.vmap(product.rows_of_outputs)(derivative))
            for product, found, derivative in zip(products, seen, derivatives)
        ]

    compiled: Callable[..., Any] = jax.jit(jax.vmap(single, in_axes=(None, None, 0, 0)))
    return compiled


def _evaluate(
    jaxpr: Jaxpr,
    consts: list[Any],
    arguments: list[Any],
    path: Path,
    at: Mapping[Path, int],
    shifted: Callable[[Path, list[Any], Any], Any],
) -> list[Any]:
    """Runs a program equation by equation, with the results of those at ``at`` replaced."""
    values: dict[Var, Any] = dict(zip(jaxpr.constvars, consts))
    values.update(zip(jaxpr.invars, arguments))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for index, equation in enumerate(jaxpr.eqns):
        here = (*path, index)
        operands = [read(atom) for atom in equation.invars]
        inner = _inner(equation)
        if inner is not None:
            results = _evaluate(inner.jaxpr, inner.consts, operands, here, at, shifted)
        else:
            bound = equation.primitive.get_bind_params(equation.params)
            # Until version 0.7 functions came apart from the other parameters.
            functions, parameters = bound if isinstance(bound, tuple) else ((), bound)
            result = equation.primitive.bind(*functions, *operands, **parameters)
            results = list(result) if equation.primitive.multiple_results else [result]
        if here in at:
            results = [shifted(here, operands, results[0])]
        values.update(zip(equation.outvars, results))
    return [read(atom) for atom in jaxpr.outvars]


def inner_products(inputs: NDArray[Any], derivatives: NDArray[Any]) -> NDArray[np.float64]:
    """Inner products of the gradients of all factors, shape (samples * factors, samples * factors), summed in double precision.

    ``inputs`` has shape (samples, positions, inputs), ``derivatives`` (samples, factors, positions, outputs).
    """
    samples, factors, positions, _ = derivatives.shape
    inputs, derivatives = inputs.astype(np.float64), derivatives.astype(np.float64)
    values = np.empty((samples, factors, samples, factors))
    block = max(1, _BLOCK_BYTES // (8 * samples * (factors * positions) ** 2))
    for first in range(0, samples, block):
        own = slice(first, first + block)
        among = np.tensordot(inputs[own], inputs[first:], axes=(2, 2))
        outer = np.tensordot(derivatives[own], derivatives[first:], axes=(3, 3))
        if positions == 1:
            part = outer[:, :, 0, :, :, 0] * among[:, None, 0, :, None, 0]
        else:
            part = np.einsum("isjt,ipsjqt->ipjq", among, outer)
        values[own, :, first:] = part
        values[first:, :, own] = part.transpose(2, 3, 0, 1)
    return values.reshape(samples * factors, samples * factors)
