#!/bin/bash
# A run on a Slurm partition: `sbatch sbatch.sh`. One worker a node here; the run itself goes on in the first task.
# Adapt the lines of SBATCH, the environment, and the last command. VENV is a virtual environment with
# twinbench[dask] that every node sees; data lie in a folder that every node sees, or are fetched by each worker.
#SBATCH --job-name=twinbench
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
set -euo pipefail

source "${VENV:?folder of the virtual environment}/bin/activate"
export BENCH_DATA_DIR=${BENCH_DATA_DIR:-$PWD/data}

# The scheduler, on the node that runs this script; its address is in the file.
file=$PWD/scheduler-${SLURM_JOB_ID:-local}.json
dask scheduler --port 0 --no-dashboard --scheduler-file "$file" &
scheduler=$!
trap 'kill $scheduler' EXIT
until [ -s "$file" ]; do sleep 1; done
address=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' "$file")

# A worker on every node. On nodes with GPUs: --gpus-per-task=1 and --device cuda.
srun bench worker "$address" &

# Exit code 2: no worker yet; 10 minutes at most. With any other code the run goes on, and names the workers it refuses.
for _ in {1..60}; do
    code=0
    bench doctor --scheduler "$address" || code=$?
    if [ "$code" -ne 2 ]; then break; fi
    sleep 10
done
bench run --scheduler "$address" --profile documented --measure accuracy --seeds 10 --name "${RUN:-documented}" "$@"
