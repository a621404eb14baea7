"""What the weights that a training starts from saw before it: a test place whose images they know is no longer new to the model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from pydantic import JsonValue

from omnifuse.inference.releases import read_named

_HANDED_ON = ("data", "split", "pretrained on")


def ancestry(init: str) -> dict[str, JsonValue]:
    """Return the data and the split of the model that a training starts from, and of those before it; empty for random weights."""
    facts = read_named(init)[1].facts if init else {}
    return {name: facts[name] for name in _HANDED_ON if name in facts}


def seen_before(
    earlier: Mapping[str, Any], data: str, key: str, info: Sequence[Mapping[str, str | int | float]], tested: Int[np.ndarray, " n"]
) -> list[str]:
    """Say for each training before this one how many of the tested places it was on, by the same key of data of the same kind.

    Args:
        earlier: `ancestry` of the training.
        data: Kind of its data; stores of one data set differ by their folder, so that this is all that can be compared.
        key: Metadata that tells the parts of its split apart.
        info: Metadata of all places.
        tested: Numbers of the places that are held out.
    """
    notes = []
    while earlier:
        split = earlier.get("split")
        if isinstance(split, Mapping) and earlier.get("data") == data and split.get("key") == key:
            trained = [str(value) for value in split.get("train", ())]
            seen = sum(str(info[number].get(key)) in trained for number in tested)
            if seen:
                notes.append(
                    f"{seen} of the {len(tested)} tested places are of {key} {', '.join(trained)}, which the weights to start from were "
                    "trained on: where the data are the same, their images were seen. Try: a pretraining on this run's training places."
                )
        earlier = earlier.get("pretrained on") or {}
    return notes
