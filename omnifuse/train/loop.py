"""The one training loop: pretraining and fine-tuning differ only in the objective and the batches they hand over."""

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from omnifuse.config import to_dict
from omnifuse.errors import NonFiniteError
from omnifuse.frames import Batch
from omnifuse.objectives.base import Objective
from omnifuse.randomness import key
from omnifuse.train import checkpoint, ranks, sharding
from omnifuse.train.accumulate import compares_all, gradients
from omnifuse.train.config import TrainConfig
from omnifuse.train.ema import Ema
from omnifuse.train.guard import StopSignal, alone_in
from omnifuse.train.optimizer import build_optimizer, gradient_norm, set_learning_rate
from omnifuse.train.prefetch import on_device
from omnifuse.train.record import Clock, Record, WriteReport
from omnifuse.train.schedule import lr_at
from omnifuse.train.state import REPLICATED, SHARDED, TrainState, best_evaluation, starting_point

logger = logging.getLogger(__name__)
Evaluate = Callable[[Objective, int], dict[str, float]]


@dataclass(frozen=True)
class TrainResult:
    """What a call of `train` came to, the same on all ranks.

    Attributes:
        step: Updates done.
        stopped: A signal ended it early; the same call goes on from here.
        folder: The run folder: `log.jsonl`, `checkpoints/`, `best/`.
        metrics: Last logged row of training.
        evaluation: Last evaluation.
        best: The evaluation whose weights lie under `best/`; empty if none was asked for.
    """

    step: int
    stopped: bool
    folder: Path
    metrics: dict[str, Any]
    evaluation: dict[str, float]
    best: dict[str, float]


def train(
    objective: Objective,
    batches: Callable[[int], Iterable[Batch]],
    config: TrainConfig,
    folder: Path,
    *,
    evaluate: Evaluate | None = None,
    fingerprint: str = "",
    resume: bool = True,
    describe: str = "training",
    flops_per_place: float = 0.0,
    report: WriteReport | None = None,
) -> TrainResult:
    """Train `objective` in place for `config.steps` updates, or as many as are missing in `folder`.

    A run killed at any moment and called again with the same arguments ends with the same bits as one never stopped: all
    randomness is a function of the step. At the end `objective` holds the weights to use: the averaged ones if `config.ema`.

    Args:
        objective: What to train; its initial weights are rank 0's, or those of the newest checkpoint.
        batches: `batches(step)` yields this process's micro-batches from update `step` on: `config.accumulation` of them per
            update, each of `config.micro_batch_size(processes)` places.
        config: How long and how fast.
        folder: The run folder, shared by all processes.
        evaluate: Called on all ranks with the objective in eval mode (with the averaged weights) and the step; rank 0's
            answer counts.
        fingerprint: Names the training data; a run is not resumed on other data.
        resume: Go on from the newest checkpoint. False refuses a folder that has one.
        describe: Shown beside the progress.
        flops_per_place: Operations of training on one place, for the log, see `record.count_flops`; 0 if not known.
        report: Called on rank 0 after the last update, when the log is complete; the pictures it returns go to the tracker.

    Raises:
        ConfigError: for a configuration that cannot be honoured or is not the one the run began with.
        NonFiniteError: for a loss or gradient that is not finite; nothing has been updated then.
        CheckpointError: for a checkpoint that cannot be read or written.
    """
    with ExitStack() as stack:
        # 1. The processes, and a folder that is ours alone.
        classes = sharding.asked(os.environ)
        accelerator = ranks.start(config.precision)
        if accelerator.num_processes == 1:
            classes = None  # a piece of one is the whole
        config.micro_batch_size(accelerator.num_processes)  # refuses what cannot be divided
        about = {**to_dict(config), "fingerprint": fingerprint, "resolved_precision": accelerator.mixed_precision, **checkpoint.versions()}
        about["strategy"] = REPLICATED if classes is None else SHARDED
        ranks.check_same(accelerator, about, str(folder))
        ranks.on_rank_zero(accelerator, lambda: stack.enter_context(alone_in(folder)))
        stop = stack.enter_context(StopSignal())

        # 2. Weights, optimizer and average: as given, or from the newest whole checkpoint.
        about["world_size"] = accelerator.num_processes
        found, step = ranks.on_rank_zero(accelerator, starting_point, folder, about, resume)
        stack.callback(_release, accelerator, objective)
        trained, model = _prepared(accelerator, objective, classes)  # all ranks get the weights of rank 0; the average begins after that
        optimizer = build_optimizer(trained, config)
        state = TrainState(folder, config, about, trained, objective, optimizer, Ema(trained, config.ema) if config.ema else None)
        if found:
            state.load(found)
            logger.info("resumed from %s", found)

        # 3. The record, kept by rank 0.
        records: list[Record] = []
        ranks.on_rank_zero(accelerator, lambda: records.append(stack.enter_context(Record(folder, step, config, about, describe))))
        record = records[0] if records else None
        clock = Clock(flops_per_place)
        data = clock.counted(batches(step)) if step < config.steps else iter(())
        if not compares_all(trained, config):
            data = on_device(data, accelerator.device)
        stopping = False

        while not stopping:
            # 4. Evaluate, with no effect on training. First in the loop: a run killed while evaluating does it when resumed.
            due = step == config.steps or (step > 0 and config.evaluate_steps > 0 and step % config.evaluate_steps == 0)
            if evaluate and due and not any(ranks.from_all_ranks(accelerator, bool(record and record.log.evaluated(step)))):
                values = _evaluate(evaluate, state, step, accelerator.device)
                ranks.on_rank_zero(accelerator, state.keep_best, step, values)
                if record:
                    record.write({"step": step, **{f"eval/{name}": value for name, value in values.items()}})
            if step == config.steps:
                break

            # 5. Gradients of one update, of all micro-batches; dropout is a function of the step.
            began = time.perf_counter()
            added = gradients(model, trained, data, config, accelerator, step)
            norm = gradient_norm(optimizer, config.clip_norm)

            # 6. All ranks decide together, before anything has changed.
            finite = torch.isfinite(torch.stack(added.losses)).all()
            broken, stopping = ranks.any_rank(accelerator, ~(finite & torch.isfinite(norm)), stop.asked)
            if broken:
                raise _non_finite(step, ranks.from_all_ranks(accelerator, (bool(finite), torch.cat(added.places).tolist())))

            # 7. Update.
            rate = lr_at(step, config)
            set_learning_rate(optimizer, rate)
            optimizer.step()
            optimizer.zero_grad()
            if state.ema:
                state.ema.update(step)
            step += 1
            clock.add(time.perf_counter() - began, added.waited)

            # 8. Tell. A row is of its own step, not of those since the last row, so that it does not depend on a resumption.
            if step % config.log_steps == 0 or step == config.steps:
                told = zip(added.metrics, added.losses, strict=True)
                own = [{**{k: float(v) for k, v in row.items()}, "loss": float(loss)} for row, loss in told]
                means = ranks.mean(row for rows in ranks.from_all_ranks(accelerator, own) for row in rows)
                row = {"step": step, "loss": means.pop("loss"), "lr": rate, "grad_norm": float(norm), **means}
                if record:
                    record.write({**row, **clock.row(config.batch_size)})
            if record:
                record.display.step(step)

            # 9. Save.
            if stopping or step == config.steps or (config.save_steps and step % config.save_steps == 0):
                if record:
                    record.log.sync()
                ranks.on_rank_zero(accelerator, state.save, step, state.whole(accelerator.is_main_process))

        # 10. Hand out the weights to use.
        state.hand_out(accelerator.device)
        if report and not stopping:
            ranks.on_rank_zero(accelerator, Record.finish, record, report)
        if stopping:
            logger.warning("stopped by a signal at step %d of %d; the same command goes on from here.", step, config.steps)
        ending = (record.log.last(False), record.log.last(True), best_evaluation(folder)) if record else ({}, {}, {})
        return TrainResult(step, stopping, folder, *ranks.from_all_ranks(accelerator, ending)[0])


def _prepared(accelerator: Accelerator, objective: Objective, classes: Sequence[str] | None) -> tuple[Objective, Any]:
    """Return what is trained, and the same in the hands of its strategy: DDP if `classes` is None, else FSDP2 of a copy."""
    if classes is None:
        return objective, accelerator.prepare_model(_training(objective.to(accelerator.device)))
    trained = sharding.shard(_training(objective.to("cpu")), classes, accelerator.device)
    for each in (trained, objective):  # both are run in the same precision; DDP is for neither
        accelerator.prepare_model(each, device_placement=False, evaluation_mode=True)
    return trained, trained


def _training(objective: Objective) -> Objective:
    """Put an objective into training mode, but for what is frozen: its features are those of its use, with nothing dropped."""
    objective.train()
    for part in objective.modules():
        weights = list(part.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            part.eval()
    return objective


def _evaluate(evaluate: Evaluate, state: TrainState, step: int, device: torch.device) -> dict[str, float]:
    """Evaluate the weights that would be handed out; what is drawn is the same every time."""
    state.handed.eval()
    torch.manual_seed(key(state.config.seed, "evaluate"))
    with state.weights_to_use(device):
        values = evaluate(state.handed, step)
    _training(state.handed)
    state.handed.zero_grad()
    return {name: float(value) for name, value in values.items()}


def _non_finite(step: int, ranks_places: list[tuple[bool, list[int]]]) -> NonFiniteError:
    """Return the error that names the places of the ranks whose loss is not finite; of all ranks if only a gradient is not."""
    guilty = [rank for rank, (finite, _) in enumerate(ranks_places) if not finite]
    chosen = guilty or range(len(ranks_places))
    places = [place for rank in chosen for place in ranks_places[rank][1]]
    what = f"the loss on rank {guilty[0]}" if guilty else "a gradient"
    return NonFiniteError(
        f"step {step}: {what} is not finite; no weight was changed. The batch held places {places}. "
        "Try: look at these places, lower the learning rate, or lengthen the warm-up; the last checkpoint is whole."
    )


def _release(accelerator: Accelerator, objective: Objective) -> None:
    """Take back what accelerate has put on the objective: its autocast forward and its mark."""
    accelerator.unwrap_model(objective, keep_fp32_wrapper=False)
    for name in ("forward", "_is_accelerate_prepared"):
        objective.__dict__.pop(name, None)
