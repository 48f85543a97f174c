#!/usr/bin/env python3
"""Writes stability-map.toml: golden thresholds from exact rational arithmetic and 50-digit logarithms.

Independent of the Rust code on purpose: it sums over all counts of drawn samples with Python integers, so a common
mistake would have to be made twice. Run it as `python3 data/golden/reference.py`; it needs the standard library alone.
"""

from decimal import Decimal, getcontext
from fractions import Fraction
from math import comb, isqrt
from pathlib import Path

getcontext().prec = 50
NUM_SAMPLES, SHARPNESS, LEARNING_RATE = 100, Fraction(2), Fraction(1, 2)
CELLS = [(1, 1), (1, 50), (5, 10), (10, 10), (20, 5), (40, 2), (49, 50)]  # (batch size, coherence)


def count_law(scheme, n, b, s):
    """Probabilities of the number of draws that fall into a subset of s of n samples."""
    if scheme == "without-replacement":
        return {k: Fraction(comb(s, k) * comb(n - s, b - k), comb(n, b)) for k in range(max(0, b - n + s), min(s, b) + 1)}
    trials, p = (b, Fraction(s, n)) if scheme == "with-replacement" else (s, Fraction(b, n))
    law = {k: comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(trials + 1)}
    return {k: probability for k, probability in law.items() if probability}


def decimal(value):
    return Decimal(value.numerator) / Decimal(value.denominator)


def axis_values(scheme, b, size, curvature, eta):
    """Growth, threshold and Lyapunov exponent of an axis on which `size` samples have `curvature`."""
    law = count_law(scheme, NUM_SAMPLES, b, size)
    assert sum(law.values()) == 1
    batch = {k: Fraction(k) * curvature / b for k in law}
    growth = sum(p * (1 - eta * batch[k]) ** 2 for k, p in law.items())
    mean = sum(p * batch[k] for k, p in law.items())
    threshold = 2 * mean / sum(p * batch[k] ** 2 for k, p in law.items())
    factors = [(p, abs(1 - eta * batch[k])) for k, p in law.items()]
    if any(f == 0 for _, f in factors):
        exponent = "-inf"
    else:
        exponent = sum((decimal(p) * decimal(f).ln() for p, f in factors if f != 1), Decimal(0))
    return {"mean-square-growth": growth, "max-learning-rate": threshold, "lyapunov-exponent": exponent}


def text(value):
    if value == "-inf":
        return value
    digits = f"{(decimal(value) if isinstance(value, Fraction) else value):.18g}"
    return digits if any(c in digits for c in ".e") else digits + ".0"


def root(value):
    """Square root of a rational to 40 digits."""
    scale = 10**80
    return Decimal(isqrt(value.numerator * scale // value.denominator)) / Decimal(10) ** 40


def case(name, ensemble, sampling, batch_size, ratio, quantity, value, source, learning_rate=None):
    lines = [
        "[[threshold]]",
        f'name = "{name}"',
        f"ensemble = {ensemble}",
        f'sampling = "{sampling}"',
        f"batch_size = {batch_size}",
        f"rho_over_alpha = {ratio}",
    ]
    if learning_rate is not None:
        lines.append(f"learning_rate = {learning_rate}")
    lines += [f'quantity = "{quantity}"', f"value = {text(value)}", "rtol = 1e-12", f'source = "{source}"', ""]
    return "\n".join(lines)


def main():
    out = [
        "# Golden thresholds. Written by reference.py from exact rational arithmetic; checked by `cargo xtask thresholds`.",
        "",
    ]
    for ratio in [Fraction(0), Fraction(1, 10)]:
        for b, sigma in CELLS:
            m = SHARPNESS * NUM_SAMPLES / sigma
            shared = m * (1 + ratio * SHARPNESS)
            private = m * (1 + ratio * SHARPNESS / sigma)
            for scheme in ["bernoulli", "without-replacement", "with-replacement"]:
                for axis, size, curvature in [(0, sigma, shared), (1, 1, private)]:
                    values = axis_values(scheme, b, size, curvature, LEARNING_RATE)
                    for quantity, value in values.items():
                        out.append(case(
                            f"{scheme}, c={float(ratio)}, B={b}, sigma={sigma}, {'shared' if axis == 0 else 'private'} axis: {quantity}",
                            f"{{ shared-direction = {{ num_samples = 100, coherence = {sigma}, sharpness = 2.0, axis = {axis} }} }}",
                            scheme, b, float(ratio), quantity, value, "exact sum over counts, reference.py",
                            None if quantity == "max-learning-rate" else float(LEARNING_RATE),
                        ))
            noise = Fraction(NUM_SAMPLES, b) - 1
            ascent = 1 + ratio * SHARPNESS / sigma
            divergence = Decimal(sigma) / (decimal(SHARPNESS * ascent) * root(noise))
            existence = 2 * sigma / (SHARPNESS * (1 + ratio * SHARPNESS) * (noise + sigma))
            whole = f"{{ shared-direction = {{ num_samples = 100, coherence = {sigma}, sharpness = 2.0 }} }}"
            for quantity, value, source in [
                ("criterion-divergence", divergence, "arXiv 2511.17378 eq. (31)"),
                ("criterion-theorem-3-3", existence, "arXiv 2511.17378 eq. (87)"),
            ]:
                name = f"c={float(ratio)}, B={b}, sigma={sigma}: {quantity}"
                out.append(case(name, whole, "bernoulli", b, float(ratio), quantity, value, source))
    for scheme, value in [("without-replacement", Fraction(1)), ("with-replacement", Fraction(1)), ("bernoulli", Fraction(2, 3))]:
        out.append(case(
            f"scalars (1, 1, 1, 3), {scheme}, B=1", "{ scalars = [1.0, 1.0, 1.0, 3.0] }", scheme, 1, 0.0,
            "max-learning-rate", value, "2 l / (l^2 + Var h_t) by hand",
        ))
    Path(__file__).with_name("stability-map.toml").write_text("\n".join(out))


if __name__ == "__main__":
    main()
