"""Pretrain on one or many processes.

    accelerate launch pretrain/run.py pretrain/recipes/landscape.py [--train.steps 2000 ...]
    torchrun --nproc-per-node 8 pretrain/run.py pretrain/recipes/landscape.py

`omnifuse pretrain RECIPE` runs the same function in one process.
"""

import sys

from omnifuse.cli import main

if __name__ == "__main__":
    sys.exit(main(["pretrain", *sys.argv[1:]]))
