"""The `omnifuse` command. Only the command that is asked for is imported, so that `--help` needs no torch.

    omnifuse COMMAND [TASK] ARGUMENTS... FLAGS...

A new command is one row of `_COMMANDS` and one function in `commands` that imports what it runs.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from omnifuse import commands as run
from omnifuse.errors import OmnifuseError

_HELP = {"-h", "--help"}


@dataclass(frozen=True)
class _Command:
    """One command.

    Attributes:
        help: What it does.
        run: Called with the arguments and the flags; returns an exit code, or None for 0.
        arguments: Name and meaning of each argument, all of which must be given.
        listing: How many of them must be there before the flags can be listed.
        optional: How many of the last ones may be left out.
        many: Whether the last one may be given any number of times.
    """

    help: str
    run: Callable[[list[str], list[str]], int | None]
    arguments: tuple[tuple[str, str], ...] = ()
    listing: int = 0
    optional: int = 0
    many: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; bad input prints one sentence, not a traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    given = list(takewhile(lambda word: not word.startswith("-"), words))
    task = given[:1] == ["data"]
    known = _parser().parse_args(given if len(given) > task else words)
    command: _Command = known.command
    values = [value for argument, _ in command.arguments if (value := getattr(known, argument)) is not None]
    values += getattr(known, "more", [])
    flags = words[len(given) :]
    asked = bool(_HELP & set(flags))
    if len(values) < (command.listing if asked else len(command.arguments) - command.optional):
        known.parser.print_help()
        return 0 if asked else 2
    try:
        return command.run(values, flags) or 0
    except OmnifuseError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="omnifuse", description="One self-supervised model for any subset of Earth-observation sensors.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    data = commands.add_parser("data", help="make, convert and look at data").add_subparsers(required=True, metavar="TASK")
    for name, command in _COMMANDS.items():
        *group, last = name.split()
        required = " ".join([name, *(argument for argument, _ in command.arguments[: command.listing])])
        sub = (data if group else commands).add_parser(
            last,
            help=command.help,
            description=command.help,
            usage=f"omnifuse {' '.join([name, *(argument for argument, _ in command.arguments)])} [FLAGS]",
            epilog=f"`omnifuse {required} --help` lists the flags.",
            add_help=False,
        )
        for argument, meaning in command.arguments:
            sub.add_argument(argument, nargs="?", help=meaning)
        if command.many:
            sub.add_argument("more", nargs="*", metavar="...", help="as many more as there are")
        sub.set_defaults(command=command, parser=sub)
    return parser


_PATH = ("PATH", "a store, or a data set in its published layout")
_RECIPE = (("RECIPE", "a recipe (.py), or the config.json of a run"),)
_COMMANDS = {
    "quickstart": _Command("landscape, pretraining, fine-tuning, every sensor subset, report", run.quickstart),
    "pretrain": _Command("pretrain encoders without labels", run.pretrain, _RECIPE, listing=1),
    "finetune": _Command("fine-tune a model on labels", run.finetune, _RECIPE, listing=1),
    "predict": _Command(
        "map an area of any size from rasters of any sensors", run.predict, (("MODEL", "a model folder, or a name"),), listing=1
    ),
    "evaluate": _Command(
        "score a model, or the folds of a cross-validation, by a protocol of the literature",
        run.evaluate,
        (
            ("MODEL", "a model or run folder, a name, or a quoted pattern"),
            ("STORE", "a labeled store, or a data set in its published layout"),
        ),
    ),
    "compare": _Command(
        "lay runs side by side, with paired differences at the same places",
        run.compare,
        (("RUN", "folder of a fine-tuning or an evaluation"), ("OTHER", "another")),
        many=True,
    ),
    "robustness": _Command(
        "score a model under missing sensors, bad sensors and missing dates",
        run.robustness,
        (("MODEL", "a model or run folder, or a name"), ("STORE", "a labeled store, or a data set in its published layout")),
    ),
    "embed": _Command(
        "write a vector for every place of a store, or for every cell or square of rasters",
        run.embed,
        (("MODEL", "a model folder, or a name"), ("STORE", "a store, or a data set in its published layout; none for rasters")),
        optional=1,
    ),
    "search": _Command("find the most similar places by their vectors", run.search, (("EMBEDDINGS", "table of vectors (.parquet)"),)),
    "map": _Command("show a map over its imagery on one page: swipe, zoom, click", run.map_, (("MAP", "a map of classes (.tif)"),)),
    "models": _Command("list the models that can be named, or show one", run.models, (("NAME", "a model"),), optional=1),
    "export": _Command(
        "write a model for one subset of sensors as ONNX or torch.export",
        run.export,
        (("MODEL", "a name, or the folder of a model"), ("OUT", "file to write")),
    ),
    "import": _Command(
        "write a published checkpoint as a model folder",
        run.import_,
        (("KIND", "what it is: utae"), ("PATH", "its file or folder"), ("OUT", "folder to write")),
    ),
    "release": _Command(
        "copy a trained model into checkpoints/ under a name",
        run.release,
        (("MODEL", "the folder of a model"), ("NAME", "its name")),
    ),
    "report": _Command("write the page of a run, ended or not", run.report, (("RUN", "folder of a run or of a quickstart"),)),
    "reproduce": _Command(
        "make a table of a paper again: modalities, ablation, fractions, fusions, regions, ...", run.reproduce, (("TABLE", "its name"),)
    ),
    "data landscape": _Command("write the synthetic landscape", run.landscape, (("OUT", "folder to write"),)),
    "data convert": _Command(
        "write a data set as a store; a second run goes on where a stopped one was",
        run.convert,
        (("KIND", "what it is: pastis, ombria, store, ..."), ("PATH", "where it lies"), ("OUT", "store to write")),
        listing=1,
    ),
    "data check": _Command("list every problem, with its remedy", run.check, (_PATH,)),
    "data show": _Command("draw one place", run.show, (_PATH, ("PLACE", "its id, or its position"))),
    "data stats": _Command("statistics of bands, dates, classes and missing sensors", run.stats, (_PATH,)),
    "data split": _Command(
        "add a named split to a store: --by fraction, kfold, blocks, or region, tile or another key of the metadata",
        run.split,
        (("STORE", "the store"), ("NAME", "name of the split")),
    ),
    "data subset": _Command(
        "write some places of a store as a store",
        run.subset,
        (("STORE", "the store"), ("OUT", "store to write")),
    ),
}

if __name__ == "__main__":
    sys.exit(main())
