#!/bin/sh
# One stage as a job array. From the root of the project, on a file system that all machines see:
#
#   sbatch --array=1-8 --cpus-per-task=4 docs/slurm/array.sh tokenize
#   sbatch --array=1-8 --cpus-per-task=4 --gres=gpu:1 --export=ALL,CVG_DEVICE=cuda docs/slurm/array.sh sample
#
# The task that finds all parts there joins them. A task that failed, or was preempted, is submitted
# again alone (`--array=3`, with SHARES=8 in the environment, so that its share stays the same).
#SBATCH --job-name=cvg
#SBATCH --output=slurm-%A_%a.log
#SBATCH --requeue
#SBATCH --signal=B:USR1@60
set -eu

# All tasks must compute on as many threads: another number may change the last bits of a result.
OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
export OMP_NUM_THREADS

share=$SLURM_ARRAY_TASK_ID/${SHARES:-$SLURM_ARRAY_TASK_COUNT}
exec "${CVG_PYTHON:-.venv/bin/python}" -m pipeline "$@" --shard "$share"
