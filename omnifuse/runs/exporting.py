"""`omnifuse export`: a model for one fixed subset of sensors as ONNX or `torch.export`."""

from dataclasses import dataclass
from pathlib import Path

from omnifuse.config import Config
from omnifuse.errors import ConfigError
from omnifuse.inference.export import Format, Inputs, export
from omnifuse.runs.stages import console
from omnifuse.zoo import load


@dataclass(frozen=True, kw_only=True)
class ExportCommand(Config):
    """Write a model for one fixed subset of sensors; OUT.json beside it says what it is given.

    Attributes:
        sensors: Names of its sensors; all of the model's without names.
        dates: Images of each, in the same order; 8 of a series and 1 of an image without numbers.
        size: Side of the place in metres.
        format: onnx, or torch for torch.export.
        overwrite: Replace OUT.
    """

    sensors: tuple[str, ...] = ()
    dates: tuple[int, ...] = ()
    size: float = 320.0
    format: Format = "onnx"
    overwrite: bool = False


def export_model(name: str, out: Path, command: ExportCommand) -> None:
    """Load, export, and say what was written."""
    suffix = {"onnx": ".onnx", "torch": ".pt2"}[command.format]
    if out.suffix != suffix:
        raise ConfigError(f"export: {out} is not a name of a {command.format} file. Try: {out.with_suffix(suffix)}.")
    if out.exists() and not command.overwrite:
        raise ConfigError(f"{out}: exists. Try: --overwrite, or another name.")
    predictor = load(name)
    sensors = command.sensors or tuple(predictor.modalities)
    known = predictor.modalities
    dates = command.dates or tuple(8 if one in known and known[one].series else 1 for one in sensors)
    about = export(predictor, out, Inputs(sensors=sensors, dates=dates, size=command.size), command.format)
    for row in [*about["inputs"], *about["outputs"]]:
        console.print(f"  {row['name']:16} {row['dtype']:8} {row['shape']}", markup=False)
    console.print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, described in {out.name}.json", markup=False)
