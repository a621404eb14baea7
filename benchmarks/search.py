"""Time, memory and recall of search over a table of random unit vectors around random centres.

    python benchmarks/search.py [--rows 1000000] [--dimensions 64] [--folder .]

Prints seconds of one question by the exact search and by an index (its making apart), the memory that each takes beyond what the process
had before, and the share of the ten nearest that the index finds. Seconds depend on the machine: compare them within a run only.
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet

from omnifuse.inference.embedding_reader import open_table
from omnifuse.inference.search import Hit, most_similar
from omnifuse.inference.search_index import most_similar_by_index

QUESTIONS, K, GROUP = 5, 10, 8192


def write(path: Path, rows: int, dimensions: int) -> None:
    """Write a table: a thousand centres, and vectors around them."""
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((1000, dimensions), np.float32)
    schema = pa.schema([("id", pa.string()), ("embedding", pa.list_(pa.float16(), dimensions))])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, GROUP):
            number = min(GROUP, rows - start)
            found = centres[draw.integers(0, 1000, number)] + 0.7 * draw.standard_normal((number, dimensions), np.float32)
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(found.astype(np.float16).ravel()), dimensions)
            writer.write_table(pa.table([[f"{i:08d}" for i in range(start, start + number)], vectors], schema=schema))


def measured(what: str, path: Path, by: Callable[..., list[Hit]]) -> None:
    """Run in a process of its own: ask some questions one after the other, and say what it took."""
    torch.set_num_threads(1)
    table = open_table(path)
    queries = torch.from_numpy(table.take([i * table.rows // QUESTIONS for i in range(QUESTIONS)])[0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    first = by(table, queries[0], K)
    once = time.perf_counter() - start
    start = time.perf_counter()
    hits = [first, *(by(table, query, K) for query in queries[1:])]
    each = (time.perf_counter() - start) / (QUESTIONS - 1)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    line = f"{what}: first question {once:.2f} s, further ones {each:.2f} s each, {more:.0f} MB more memory at the peak"
    if by is not most_similar:
        true = [{hit.id for hit in most_similar(table, query, K)} for query in queries]
        share = np.mean([len(one & {hit.id for hit in found}) / K for one, found in zip(true, hits, strict=True)])
        line += f", finds {share:.0%} of the {K} nearest"
    print(line, flush=True)


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--rows", type=int, default=1_000_000)
    flags.add_argument("--dimensions", type=int, default=64)
    flags.add_argument("--folder", type=Path, default=Path())
    given = flags.parse_args()
    file = given.folder / f"search_{given.rows}_{given.dimensions}.parquet"
    write(file, given.rows, given.dimensions)
    print(f"{given.rows} vectors of {given.dimensions} halves: {file.stat().st_size / 2**20:.0f} MB")
    for what, by in (("exact", most_similar), ("faiss", most_similar_by_index)):
        process = multiprocessing.get_context("spawn").Process(target=measured, args=(what, file, by))
        process.start()
        process.join()
    for end in ("", ".faiss", ".faiss.json"):
        file.with_name(file.name + end).unlink(missing_ok=True)
