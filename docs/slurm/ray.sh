#!/bin/sh
# One stage on all machines of an allocation, by a Ray cluster that lives as long as the job:
#
#   sbatch --nodes=4 docs/slurm/ray.sh tokenize
#
# Ray has no password unless one is set up: keep its ports within the cluster.
#SBATCH --job-name=cvg-ray
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --output=slurm-%j.log
set -eu

bin=$(dirname "${CVG_PYTHON:-.venv/bin/python}")
port=${RAY_PORT:-6379}
export RAY_USAGE_STATS_ENABLED=0
# A part computes on as many threads; Ray runs as many parts at once as there are processors left.
OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
export OMP_NUM_THREADS

"$bin/ray" start --head --port="$port" --num-cpus="${SLURM_CPUS_PER_TASK:-1}" --disable-usage-stats
trap '"$bin/ray" stop' EXIT
address=$(hostname):$port
if [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ]; then
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) \
        --exclude="$(hostname)" \
        "$bin/ray" start --address="$address" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
fi
"$bin/python" -m pipeline "$@" --launcher ray --ray-address "$address"
