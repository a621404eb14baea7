#!/usr/bin/env bash
# Two processes on CPUs, to try what many processes do without a GPU:
#   pretrain/accelerate/two_cpu_processes.sh RECIPE [FLAGS]
# torchrun and not accelerate: `accelerate launch --cpu --num_processes 2` starts a single process (and is refused).
set -euo pipefail
cores=$(($(nproc) / 2))
export OMP_NUM_THREADS=$((cores > 0 ? cores : 1)) # else each process takes all cores, and both are slower than one
exec torchrun --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint localhost:0 pretrain/run.py "$@" --train.processes 2
