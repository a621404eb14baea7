"""`omnifuse evaluate PRETRAINED STORE --probe linear`: what frozen, pretrained encoders tell of labels without any training."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from omnifuse.data.loading import evaluation_batches
from omnifuse.data.place import PlaceSource, labels_of
from omnifuse.data.sensors import SensorView
from omnifuse.data.subset import split_by_text
from omnifuse.errors import ConfigError, InputError
from omnifuse.evals.probes import neighbors, ridge
from omnifuse.evals.probing import Probe, freeze, probe
from omnifuse.evals.protocols import Protocol
from omnifuse.frames import Batch
from omnifuse.inference.embedding_rows import shared_sensors
from omnifuse.objectives.contrast import Contrast
from omnifuse.runs.evaluating import EvaluateCommand, Evaluation, metric_for
from omnifuse.runs.evaluating_plan import Entrant, Planned, missing_rows
from omnifuse.runs.stages import console
from omnifuse.zoo import load

_HELD_BACK = {"val", "test", "buffer"}  # parts of a split that no probe learns from unasked: a buffer keeps places of two parts apart
_METHODS: dict[str, Probe] = {"linear": ridge, "knn": neighbors}


def probe_models(
    models: list[Entrant], source: PlaceSource, rule: Protocol | None, path: str, command: EvaluateCommand, device: str
) -> Evaluation:
    """Teach a probe by the places that are trained on (of a protocol) or not scored, and score it: each sensor, and all side by side.

    Every process does the whole of it, which is little, and finds the same.

    Raises:
        ConfigError: for a model that is not pretrained, more than one, or where it is not known which places to score.
    """
    model, labels = models[0], labels_of(source)
    if len(models) > 1:
        raise ConfigError(f"probe: {len(models)} models. Try: one, as a pretraining is not repeated for each fold.")
    if labels is None:
        raise InputError(f"{path}: has no labels to score against. Try: a labeled store.")
    part, lesson, taught, asked = probed_places(source, model, rule, command)
    predictor = load(model.name, device=device)
    if not isinstance(predictor.model, Contrast):
        raise ConfigError(f"{model.name}: is fine-tuned, and scored as it is. Try: without `--probe`, or its pretrained folder.")
    names = shared_sensors(source.modalities, predictor.modalities, command.sensors, path)
    view, metric, contrast = SensorView(source, names), metric_for(rule, labels), predictor.model
    console.print(f"probe: learning from {len(taught)} places ({lesson}), asked about {len(asked)} ({part})", markup=False)

    def batches(places: Int[np.ndarray, " n"]) -> Iterator[Batch]:
        return evaluation_batches(view, places, command.batch_size, workers=command.workers, labels=True)

    learned, tested = (
        freeze(contrast.encoders, batches(places), labels, contrast.config.cell_gsd, command.probe_cells) for places in (taught, asked)
    )
    views = [*((name,) for name in names), names][: len(names) + (len(names) > 1)]
    scored = {"+".join(some): probe(learned, tested, some, labels, metric, _METHODS[command.probe]) for some in views}
    notes = [
        *missing_rows(rule, 1),
        f"A {command.probe} probe of frozen features, taught by {len(taught)} places ({lesson}): of ground cells of "
        f"{contrast.config.cell_gsd:g} m by the class that most of them has where labels are maps. Not comparable with scores of every "
        "pixel.",
        _images_seen(model),
    ]
    return Evaluation(rule, scored, [(Planned(model, part, asked), scored["+".join(names)])], notes, labels, [])


def _images_seen(model: Entrant) -> str:
    split = model.training.split
    if split is None:
        return "Whether the pretraining saw images of these places is for its recipe to say; it saw no labels."
    return f"The pretraining saw the images of {split.key} {', '.join(map(str, split.train))} of its own data, and no labels."


def probed_places(
    source: PlaceSource, model: Entrant, rule: Protocol | None, command: EvaluateCommand
) -> tuple[str, str, Int[np.ndarray, " n"], Int[np.ndarray, " m"]]:
    """Return the scored places and those to learn from, in words, and then the places to learn from and those scored."""
    if rule is not None:
        number = command.rows[0] if command.rows else 1
        if len(command.rows) > 1 or not 1 <= number <= len(rule.rows) or command.split or command.taught:
            raise ConfigError(
                f"probe: takes one row of protocol {rule.name}, 1 to {len(rule.rows)}, and neither `--split` nor `--taught`. Try: --rows 1."
            )
        row = rule.rows[number - 1]
        key, train, test = rule.key, tuple(map(str, row.train)), tuple(map(str, row.test))
    elif command.split:
        key, test = command.split, command.values
        train = command.taught or tuple(sorted({str(row.get(key)) for row in source.info} - {*test, *_HELD_BACK}))
        if not train or set(train) & set(test):
            both = f"learns from {key} {', '.join(train)} and is asked about {', '.join(test)}"
            said = both if train else f"is left no {key} to learn from"
            raise ConfigError(f"probe: {said}. Try: --taught train --values test.")
    else:
        raise ConfigError(f"{model.name}: a probe needs places to be asked about. Try: --split fold --values 5.")
    asked, taught = (f"{key} {', '.join(values[:5])}{', ...' if len(values) > 5 else ''}" for values in (test, train))
    return asked, taught, split_by_text(source.info, key, train), split_by_text(source.info, key, test)
