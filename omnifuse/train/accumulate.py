"""The gradients of one update, from all its micro-batches.

Where the loss is a mean over places, micro-batches are run one after another and their gradients add up. Where places are compared with
each other, that would be another loss, of smaller batches: there all micro-batches are embedded first, compared once, and run again to
carry the gradients of their embeddings down (arXiv:2101.06983). That costs one more forward pass, with the memory of one micro-batch.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from omnifuse.errors import InputError
from omnifuse.frames import Batch
from omnifuse.objectives.base import Comparing, Objective
from omnifuse.randomness import key
from omnifuse.train.config import TrainConfig
from omnifuse.train.sharding import average_scalars, is_sharded, unaveraged


@dataclass
class Gradients:
    """What the loop has to know of one update's micro-batches; the gradients themselves lie on the parameters.

    Attributes:
        losses: Detached, one per micro-batch, or one for all.
        metrics: Beside each loss.
        places: All places, for the message of a loss that is not finite; where they lie, as fetching them would wait for the GPU.
        waited: Seconds spent waiting for data.
    """

    losses: list[Tensor] = field(default_factory=list)
    metrics: list[dict[str, Tensor]] = field(default_factory=list)
    places: list[Tensor] = field(default_factory=list)
    waited: float = 0.0


def gradients(
    model: Any, objective: Objective, data: Iterator[Batch], config: TrainConfig, accelerator: Accelerator, step: int
) -> Gradients:
    """Take the micro-batches of update `step` from `data` and add up their gradients, averaged over processes.

    What is drawn for a micro-batch is a function of the step, the micro-batch and the process.

    Args:
        model: `objective` as prepared by accelerate.
        objective: What is trained.
        data: This process's micro-batches.
        config: The run.
        accelerator: The processes.
        step: Updates done.
    """
    result = Gradients()
    if compares_all(objective, config):
        assert isinstance(objective, Comparing)
        _as_one_batch(model, objective, data, config, accelerator, step, result)
    else:
        _one_by_one(model, data, config, accelerator, step, result)
    if is_sharded(model):
        average_scalars(objective)
    return result


def _one_by_one(model: Any, data: Iterator[Batch], config: TrainConfig, accelerator: Accelerator, step: int, result: Gradients) -> None:
    for micro in range(config.accumulation):
        batch = _next(data, config, step, result).to(accelerator.device)
        with _averaged_at(config.accumulation - 1, micro, accelerator, model):
            _seed(config, accelerator, step, micro)
            output = model(batch)
            (output.loss / config.accumulation).backward()
        result.losses.append(output.loss.detach())
        result.metrics.append(output.metrics)


def compares_all(objective: Objective, config: TrainConfig) -> bool:
    """Whether all micro-batches of an update are held at the same time, on the host, to be compared as one batch."""
    return isinstance(objective, Comparing) and config.accumulation > 1


def _as_one_batch(
    model: Any, objective: Comparing, data: Iterator[Batch], config: TrainConfig, accelerator: Accelerator, step: int, result: Gradients
) -> None:
    batches = [_next(data, config, step, result) for _ in range(config.accumulation)]  # on the host: only one at a time is on the device

    def embed(micro: int) -> Any:
        _seed(config, accelerator, step, micro)  # the same draws in both passes
        return model(batches[micro].to(accelerator.device), compared=False)

    with torch.no_grad():
        parts = [embed(micro) for micro in range(config.accumulation)]
    parts = [replace(part, vectors={name: x.requires_grad_() for name, x in part.vectors.items()}) for part in parts]
    with _unaveraged(accelerator, model):
        output = objective.compare(parts)
        torch.autograd.backward(output.loss)
    result.losses.append(output.loss.detach())
    result.metrics.append(output.metrics)
    for micro, part in enumerate(parts):
        with _averaged_at(config.accumulation - 1, micro, accelerator, model):
            pulled = [(x * part.vectors[name].grad).sum() for name, x in embed(micro).vectors.items()]
            # DDP waits for every parameter, also for those that only the comparison uses, such as a temperature.
            waited_for = [] if is_sharded(model) else [p for p in objective.parameters() if p.requires_grad]
            touched = [0 * parameter.sum() for parameter in waited_for]
            torch.autograd.backward(torch.stack([*pulled, *touched]).sum())


def _averaged_at(last: int, micro: int, accelerator: Accelerator, model: Any) -> AbstractContextManager[Any]:
    """Average over processes in the last micro-batch only."""
    return nullcontext() if micro == last else _unaveraged(accelerator, model)


def _unaveraged(accelerator: Accelerator, model: Any) -> AbstractContextManager[Any]:
    return unaveraged(model) if is_sharded(model) else accelerator.no_sync(model)


def _seed(config: TrainConfig, accelerator: Accelerator, step: int, micro: int) -> None:
    torch.manual_seed(key(config.seed, "step", step, micro, accelerator.process_index))


def _next(data: Iterator[Batch], config: TrainConfig, step: int, result: Gradients) -> Batch:
    """Return the next micro-batch; running out of them is an error of the data plan."""
    asked = time.perf_counter()
    try:
        batch = next(data)
    except StopIteration:
        raise InputError(f"training: the batches ended at step {step} of {config.steps}. Try: a data plan of as many steps.") from None
    result.waited += time.perf_counter() - asked
    result.places.append(batch.place)
    return batch
