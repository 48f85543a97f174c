"""Shares of the work, as `linstab reproduce` has them: I of N, or the task of a job array that this is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SLURM = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP")
"""Variables of a task of a Slurm array; the last two may be missing."""

Share = tuple[int, int]
"""Index, from 0, and count."""


def asked(shard: str | None, variables: str | None, environment: Mapping[str, str]) -> Share | None:
    """What `--shard` (empty: the task of a Slurm array) or `--shard-from-env` ask for; None without them.

    Raises
    ------
    ValueError
        If that is no share.
    """
    if variables is not None:
        names = variables.split(",")
        return of_variables(names, len(names), environment)
    if shard is None:
        return None
    return of_text(shard) if shard else of_variables(SLURM, 0, environment)


def of_text(text: str) -> Share:
    """I and N of a share I/N."""
    index, _, count = text.partition("/")
    if not (_is_number(index) and _is_number(count) and int(index) < int(count)):
        raise ValueError(f"--shard {text}: allowed is I/N with I from 0 to N - 1, as 0/8")
    return int(index), int(count)


def of_variables(names: Sequence[str], num_needed: int, environment: Mapping[str, str]) -> Share:
    """Number of the task, number of tasks, and with defaults the first task and the step; so many of the names must be set."""
    if not 2 <= len(names) <= len(SLURM):
        raise ValueError(f"--shard-from-env {','.join(names)}: allowed are two to four variables, ID,COUNT[,FIRST[,STEP]]")
    numbers: list[int | None] = [None, None, 0, 1]
    for place, name in enumerate(names):
        text = environment.get(name, "").strip()
        if _is_number(text):
            numbers[place] = int(text)
        elif text or numbers[place] is None or place < num_needed:
            found = f"`{text}`" if text else "not set"
            raise ValueError(f"the shard of {name}, which is {found}: it has to be a number; without a job array, name the shard: --shard I/N")
    task, count, first, step = (number or 0 for number in numbers)
    index, rest = divmod(task - first, step) if step else (0, 1)
    if rest or not 0 <= index < count:
        raise ValueError(f"the shard of task {task} of {count}: allowed are tasks numbered {first} + {step} k without a gap; else name the shard")
    return index, count


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
