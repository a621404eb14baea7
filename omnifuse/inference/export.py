"""A model for one fixed subset of sensors as a file that needs no omnifuse: ONNX, or `torch.export`.

What is exported is what `Predictor` computes: normalization, every layer and the probabilities are inside. Sensors, dates per sensor
and the size of the place are fixed, and there is one place at a time; everything that depends on them alone is computed here and
stored. The checks of the inputs (units, dates that the model knows) are not part of the file: `<file>.json` says what it expects.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal, cast

import torch
from jaxtyping import Num
from torch import Tensor, fx, nn
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from omnifuse import __version__
from omnifuse.config import to_dict, write_json
from omnifuse.errors import ConfigError, InputError
from omnifuse.frames import Batch, Frames
from omnifuse.inference.folder import origins
from omnifuse.inference.predictor import Predictor
from omnifuse.modalities import check_names

Format = Literal["onnx", "torch"]
OPSET = 18


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What an exported model is given, by the names of its sensors in order.

    Attributes:
        sensors: Names.
        dates: Images of each.
        size: Side of the place in metres.
    """

    sensors: tuple[str, ...]
    dates: tuple[int, ...]
    size: float


def export(predictor: Predictor, out: Path, inputs: Inputs, format: Format = "onnx") -> dict[str, Any]:
    """Write `out` and `out.json` (names, shapes, units and dates of its inputs; its outputs), and return the latter.

    Args:
        predictor: The model, on the CPU.
        out: File to write, `.onnx` or `.pt2`.
        inputs: What it will be given.
        format: `onnx` needs the packages `onnx` and `onnxscript`; `torch` is read by `torch.export.load`.

    Raises:
        InputError: for a sensor that the model does not know, or a size or number of dates that it cannot read.
        ConfigError: where a package is missing, or the model is larger than the 2 GB of one ONNX file.
    """
    _check(predictor, inputs)
    example = example_inputs(predictor, inputs)
    graph = _graph(predictor, inputs, example)
    names = input_names(predictor, inputs)
    with torch.no_grad():
        program = torch.export.export(graph, tuple(example))
        outputs = graph(*example)
    if format == "onnx":
        _write_onnx(program, out, names, output_names(predictor))
    else:
        torch.export.save(program, out)
    about = _about(predictor, inputs, outputs, hashlib.sha256(out.read_bytes()).hexdigest(), format)
    write_json(out.with_name(out.name + ".json"), about)
    return about


def example_inputs(predictor: Predictor, inputs: Inputs, seed: int = 0) -> list[Tensor]:
    """Return random inputs of plausible values, in the order in which the exported model takes them."""
    draw, starts, made = torch.Generator().manual_seed(seed), origins(predictor.config.architecture.sensors), []
    for name, dates in zip(inputs.sensors, inputs.dates, strict=True):
        modality = predictor.modalities[name]
        side = modality.pixels(inputs.size)
        mean, std = (torch.tensor(values)[:, None, None] for values in (modality.mean, modality.std))
        made.append(mean + std * torch.randn(dates, len(modality.bands), side, side, generator=draw))
        if name in starts:
            start = (starts[name] - date(1970, 1, 1)).days
            made.append(start + torch.randint(0, 360, (dates,), generator=draw).sort().values)
    return made


def input_names(predictor: Predictor, inputs: Inputs) -> list[str]:
    """Return the names of an exported model's inputs: the pixels of each sensor, and its days where the model reads them."""
    starts = origins(predictor.config.architecture.sensors)
    return [name for sensor in inputs.sensors for name in (sensor, f"{sensor}_days") if name == sensor or sensor in starts]


def output_names(predictor: Predictor) -> list[str]:
    """Return the names of an exported model's outputs."""
    if predictor.config.architecture.labels is None:
        return ["place", "cells"]
    return ["probability"] if predictor.classes is not None else ["quantity"]


def _check(predictor: Predictor, inputs: Inputs) -> None:
    check_names(inputs.sensors, list(predictor.modalities), "export")
    if not inputs.sensors or len(set(inputs.sensors)) != len(inputs.sensors) or len(inputs.dates) != len(inputs.sensors):
        raise InputError(
            f"export: {len(inputs.dates)} numbers of dates for the sensors {', '.join(inputs.sensors) or '(none)'}. "
            "Try: each sensor once, and one number for each."
        )
    for name, dates in zip(inputs.sensors, inputs.dates, strict=True):
        if dates < 1 or (dates > 1 and not predictor.modalities[name].series):
            raise InputError(f"export: {dates} dates of {name!r}. Try: 1{' or more' if predictor.modalities[name].series else ''}.")


def _graph(predictor: Predictor, inputs: Inputs, example: Sequence[Tensor]) -> fx.GraphModule:
    """Return what `predictor` computes as one graph of tensor operations, all shapes and all that follows from them settled."""
    dated = set(input_names(predictor, inputs))

    def run(*given: Num[Tensor, "..."]) -> Any:
        left, frames = list(given), {}
        for name, dates in zip(inputs.sensors, inputs.dates, strict=True):
            pixels = left.pop(0)
            days = left.pop(0) if f"{name}_days" in dated else torch.zeros(dates, dtype=torch.int64)
            frames[name] = Frames(pixels, days, torch.tensor([dates]))
        batch = Batch(frames, inputs.size, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
        return predictor.features(batch) if predictor.config.architecture.labels is None else predictor.probability(batch)

    # Counts are shapes: they are read while tracing, and settle what depends on them. The attention of one math kernel is made of
    # operations that every runtime has.
    options: Any = {"tracing_mode": "real", "_allow_non_fake_inputs": True, "_error_on_data_dependent_ops": False}
    with sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        graph = make_fx(run, **options)(*example)
        graph = make_fx(functionalize(graph), **options)(*example)
    graph.graph.eliminate_dead_code()
    return _folded(graph)


def _folded(graph: fx.GraphModule) -> fx.GraphModule:
    """Replace what does not depend on the inputs by its value; weights that are read as they are stay as they are."""
    known: dict[fx.Node, Any] = {}
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            known[node] = getattr(graph, str(node.target))
        elif node.op == "call_function" and all(source in known for source in node.all_input_nodes):
            arguments, options = (fx.node.map_arg(part, lambda source: known[source]) for part in (node.args, node.kwargs))
            known[node] = cast(Any, node.target)(*arguments, **options)
    computed = [node for node in known if node.op == "call_function" and isinstance(known[node], Tensor)]
    for number, node in enumerate(computed):
        if any(user not in known for user in node.users):
            graph.register_buffer(f"folded_{number}", known[node].clone().contiguous())
            with graph.graph.inserting_before(node):
                node.replace_all_uses_with(graph.graph.get_attr(f"folded_{number}"))
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _write_onnx(program: torch.export.ExportedProgram, out: Path, inputs: list[str], outputs: list[str]) -> None:
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise ConfigError("export: ONNX needs onnx and onnxscript. Try: pip install 'omnifuse[export]', or --format torch.") from None
    size = sum(value.numel() * value.element_size() for value in program.state_dict.values())
    if size > 2**31 - 2**24:
        raise ConfigError(f"export: {size} bytes of weights do not fit the 2 GB of one ONNX file. Try: --format torch.")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the exporter warns of its own operators
    try:
        torch.onnx.export(
            cast(nn.Module, program),
            (),
            out,
            dynamo=True,
            input_names=inputs,
            output_names=outputs,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    finally:
        logging.disable(before)


def _about(predictor: Predictor, inputs: Inputs, outputs: Any, sha256: str, format: Format) -> dict[str, Any]:
    content, starts = predictor.config, origins(predictor.config.architecture.sensors)
    rows: list[dict[str, Any]] = []
    for name, dates in zip(inputs.sensors, inputs.dates, strict=True):
        modality = predictor.modalities[name]
        side = modality.pixels(inputs.size)
        rows.append(
            {
                "name": name,
                "sensor": modality.title,
                "dtype": "float32",
                "shape": [dates, len(modality.bands), side, side],
                "axes": ["date", "band", "y", "x"],
                "bands": modality.bands,
                "units": modality.units,
                "metres per pixel": modality.gsd,
                "mean": modality.mean,
                "std": modality.std,
                "normalized": "by the model: give values as stored, in these units",
            }
        )
        if name in starts:
            rows.append(
                {
                    "name": f"{name}_days",
                    "dtype": "int64",
                    "shape": [dates],
                    "axes": ["date"],
                    "units": "whole days since 1970-01-01, in order",
                    "counted from": str(starts[name]),
                    "season": "shift other seasons by whole days so that their start falls on the day counted from",
                }
            )
    tensors = outputs if isinstance(outputs, tuple) else (outputs,)
    labels = content.architecture.labels
    return {
        "format": format,
        "file": {"sha256": sha256},
        "omnifuse": __version__,
        "model": {"sha256": content.weights.sha256, "task": content.architecture.task},
        "place": {"size in metres": inputs.size, "places": 1},
        "inputs": rows,
        "outputs": [
            {"name": name, "dtype": "float32", "shape": list(tensor.shape)}
            for name, tensor in zip(output_names(predictor), tensors, strict=True)
        ],
        "labels": None if labels is None else to_dict(labels),
        "limits": "Sensors, dates per sensor and size are fixed; no missing values; units and dates are not checked.",
    }
