"""Requeued SLURM jobs: Lightning saves them as `hpc_ckpt_N.ckpt`, here in a separate folder for each job.

Lightning itself looks in the folder of all runs, and takes the newest checkpoint there, whichever job saved it.
"""

import os

from lightning.pytorch.plugins.environments import SLURMEnvironment

from rnn_lightning.runs import newest_of_job


def folder(root: str, name: str | None) -> str | None:
    """The folder in which this job saves the checkpoints of a run with this name.

    None outside of SLURM, or in an interactive job.
    """
    if name is None or not SLURMEnvironment.detect() or SLURMEnvironment.job_id() is None:
        return None
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = os.environ["SLURM_JOB_ID"] if array is None else f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', 0)}"
    return f"{root.rstrip('/')}/job_{job}/{name}"


def requeued(root: str, name: str | None) -> str | None:
    """The checkpoint from which a requeued job continues; None if the job begins now, or if there is none."""
    place = folder(root, name)
    return None if place is None else newest_of_job(place)
