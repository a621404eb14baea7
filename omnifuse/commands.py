"""What each command of `omnifuse` does: reads its flags and calls one function. Everything is imported in the function that needs it."""

import argparse
from pathlib import Path


def quickstart(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.quickstart import QuickstartConfig, quickstart

    quickstart(tyro.cli(QuickstartConfig, args=flags, prog="omnifuse quickstart"))


def pretrain(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.pretraining import PretrainConfig, pretrain
    from omnifuse.runs.recipe import read_recipe, with_flags

    pretrain(with_flags(read_recipe(Path(values[0]), PretrainConfig), flags, f"omnifuse pretrain {values[0]}"))


def finetune(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.finetuning import FinetuneConfig, finetune
    from omnifuse.runs.recipe import read_recipe, with_flags

    finetune(with_flags(read_recipe(Path(values[0]), FinetuneConfig), flags, f"omnifuse finetune {values[0]}"))


def robustness(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.opening import command_line
    from omnifuse.runs.robustness import RobustnessCommand, measure

    model, path = [*values, "", ""][:2]
    command, found = command_line(RobustnessCommand, path or None, flags, "omnifuse robustness MODEL STORE")
    measure(model, found, command)


def evaluate(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.evaluating import EvaluateCommand, evaluate
    from omnifuse.runs.opening import command_line

    model, path = [*values, "", ""][:2]
    command, found = command_line(EvaluateCommand, path or None, flags, "omnifuse evaluate MODEL STORE")
    evaluate(model, found, command)


def compare(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.comparing import CompareCommand, compare

    compare(values, tyro.cli(CompareCommand, args=flags, prog="omnifuse compare RUN RUN ..."))


def predict(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.predicting import predict

    predict(values[0], flags)


def embed(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.embedding import EmbedCommand, embed
    from omnifuse.runs.embedding_area import embed_area
    from omnifuse.runs.opening import command_line

    model, path = [*values, "", ""][:2]
    if model and not path:
        return embed_area(model, flags)
    command, found = command_line(EmbedCommand, path or None, flags, "omnifuse embed MODEL STORE")
    embed(model, found, command)


def search(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.searching import SearchCommand, search

    search([*values, ""][0], tyro.cli(SearchCommand, args=flags, prog="omnifuse search EMBEDDINGS"))


def landscape(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.data import LandscapeCommand, write_landscape

    command = tyro.cli(tyro.conf.OmitArgPrefixes[LandscapeCommand], args=flags, prog="omnifuse data landscape OUT")
    write_landscape(Path(values[0]), command)


def convert(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.conversion import conversion, convert

    kind, path, out = [*values, "PATH", "OUT"][:3]
    convert(conversion(kind, path, flags), Path(out))


def check(values: list[str], flags: list[str]) -> int:
    from omnifuse.runs.checking import CheckCommand, check
    from omnifuse.runs.opening import command_line

    command, found = command_line(CheckCommand, values[0] if values else None, flags, "omnifuse data check PATH")
    return check(found, command)


def show(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.opening import command_line
    from omnifuse.runs.showing import ShowCommand, show

    command, found = command_line(ShowCommand, values[0] if values else None, flags, "omnifuse data show PATH PLACE")
    show(found, values[1], command)


def stats(values: list[str], flags: list[str]) -> None:
    from omnifuse.runs.opening import command_line
    from omnifuse.runs.surveying import StatsCommand, stats

    command, found = command_line(StatsCommand, values[0] if values else None, flags, "omnifuse data stats PATH")
    stats(found, command)


def split(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.splitting import method_of, split_store

    before = argparse.ArgumentParser(prog="omnifuse data split STORE NAME", add_help=False, allow_abbrev=False)
    before.add_argument("--by", default="fraction")
    known, rest = before.parse_known_args(flags)
    method = tyro.cli(method_of(known.by), args=rest, prog=f"omnifuse data split STORE NAME --by {known.by}")
    split_store(values[0], values[1], known.by, method)


def subset(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.splitting import SubsetCommand, subset

    command = tyro.cli(SubsetCommand, args=flags, prog="omnifuse data subset STORE OUT")
    subset(values[0], values[1], command)


def map_(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.mapping import MapCommand, map_page

    command = tyro.cli(MapCommand, args=flags, prog="omnifuse map MAP")
    map_page(values[0], command)


def models(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.models import ModelsCommand, show_models

    show_models(values[0] if values else None, tyro.cli(ModelsCommand, args=flags, prog="omnifuse models NAME"))


def export(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.exporting import ExportCommand, export_model

    command = tyro.cli(ExportCommand, args=flags, prog="omnifuse export MODEL OUT")
    export_model(values[0], Path(values[1]), command)


def import_(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.importing import ImportCommand, import_model

    command = tyro.cli(ImportCommand, args=flags, prog="omnifuse import utae PATH OUT")
    import_model(values[0], Path(values[1]), Path(values[2]), command)


def release(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.releasing import ReleaseCommand, release

    command = tyro.cli(ReleaseCommand, args=flags, prog="omnifuse release MODEL NAME")
    release(Path(values[0]), values[1], command)


def report(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.reporting import ReportCommand, report_run

    tyro.cli(ReportCommand, args=flags, prog="omnifuse report RUN")
    report_run(Path(values[0]))


def reproduce(values: list[str], flags: list[str]) -> None:
    import tyro

    from omnifuse.runs.reproducing import ReproduceCommand, reproduce

    reproduce([*values, "TABLE"][0], tyro.cli(ReproduceCommand, args=flags, prog="omnifuse reproduce TABLE"))
