"""Random streams, addressed by what they are for."""

from __future__ import annotations

import hashlib


def seed_of(*parts: object) -> int:
    """A root of random streams that depends on what a cell is, not on which others are run."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:4], "big") >> 1
