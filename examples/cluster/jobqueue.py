"""Run on workers that dask-jobqueue asks a batch system for (Slurm here; PBS, SGE and LSF have classes alike).

    pip install dask-jobqueue
    python jobqueue.py --profile documented --measure accuracy --seeds 10 'text-networks/*'

Arguments are those of `bench run`. Adapt the partition, the cores and the number of jobs.
"""

import subprocess
import sys

from dask_jobqueue import SLURMCluster

JOBS = 8

with SLURMCluster(
    queue="normal",
    cores=8,  # of a job, all for one worker
    processes=1,
    memory="32GB",  # of a job: Slurm's limit, not Dask's
    walltime="24:00:00",
    nanny=False,
    # What comes last counts: one cell at a time, and no limit by Dask, whose cells are processes of their own.
    worker_extra_args=["--nthreads", "1", "--memory-limit", "0", "--resources", "cpu=1", "--death-timeout", "60"],
) as cluster:
    cluster.scale(jobs=JOBS)
    cluster.wait_for_workers(1)  # the others join when their jobs start
    command = ["bench", "run", "--scheduler", cluster.scheduler_address, *sys.argv[1:]]
    sys.exit(subprocess.run(command).returncode)
