"""Pretrain on one or many processes.

    accelerate launch pretrain/run.py pretrain/recipes/landscape.py [--train.steps 2000 ...]
    torchrun --nproc-per-node 8 pretrain/run.py pretrain/recipes/landscape.py

`omnifuse pretrain RECIPE` runs the same function in one process.
"""

import sys

from omnifuse.cli import main
from omnifuse.train.ranks import leave

if __name__ == "__main__":
    code = main(["pretrain", *sys.argv[1:]])
    if code == 0:  # after an error others may still be waiting; the launcher ends them
        leave()
    sys.exit(code)
