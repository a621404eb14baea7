"""Randomness without state: every draw is a function of a seed, a named stream and numbers such as epoch, place or step.

There is nothing to save in a checkpoint and nothing to lose; workers and processes cannot change a draw.
"""

import hashlib

import numpy as np
import torch


def key(seed: int, stream: str, *numbers: int) -> int:
    """Return a 63-bit integer that is a pure function of its arguments, the same on every machine."""
    text = "/".join([stream, str(int(seed)), *(str(int(number)) for number in numbers)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def torch_generator(seed: int, stream: str, *numbers: int) -> torch.Generator:
    """Return a CPU generator keyed by ``(seed, stream, numbers)``."""
    return torch.Generator().manual_seed(key(seed, stream, *numbers))


def numpy_generator(seed: int, stream: str, *numbers: int) -> np.random.Generator:
    """Return a numpy generator keyed by ``(seed, stream, numbers)``."""
    return np.random.Generator(np.random.PCG64(key(seed, stream, *numbers)))
