"""Decides where a run is saved, records the run in its folder, and finds the folder again for later commands.

The command line decides a run's folder, ROOT/NAME/version_N, in this order:

    cli/run_name.py      run_name         NAME: `--name`, else the data file's, the recipe's, or those of model and data
    cli/loggers.py       root_of_runs     ROOT: the first logger's `save_dir`, else `default_root_dir`
    cli/loggers.py       direct_loggers   gives each logger its arguments, with `free_version` as N
    cli/command_line.py  slurm.folder     a SLURM job saves its checkpoints for a requeue in a folder of its own
    cli/command_line.py  before_fit       settles N before any process is spawned
    cli/save_config.py   SaveConfig       takes the folder of a run that is resumed, or else `new_folder`, which returns
                                          the first logger's folder or the next free one, and writes the record

A run's folder contains `run.json` (the record), the configuration and `checkpoints/`. By default the folder is
`runs/NAME/version_N`, which also holds TensorBoard's events. A folder may be a path, or a URL for any file system that
fsspec knows, such as `s3://bucket/runs`.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from glob import escape
from itertools import count
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from rnn_lightning.claims import try_claim
from rnn_lightning.errors import ArgumentError
from rnn_lightning.files import file_system, remove_leftovers, write_atomically
from rnn_lightning.saved import read_checkpoint

RUNS = "runs"
BEST, LAST = "best", "last"
RECORD = "run.json"
HPC = "hpc_ckpt_"
"""The beginning of the names of checkpoints that Lightning saves when SLURM requeues a job."""
FOLDERS = (TensorBoardLogger, CSVLogger)
"""The loggers that have a folder for each run; other loggers have one folder for all runs, or none."""
_DEPTH = 8
"""The maximum number of folders between the folder of all runs and a run's record."""
_OF_LOGGERS = ("metrics.csv", "hparams.yaml")
"""Files that a logger would overwrite."""


@dataclass(frozen=True)
class Run:
    """The record of a run.

    Attributes:
        name: The run's name, from `--name` or the configuration.
        model: The class path of the LightningModule.
        data: The class path of the DataModule.
        config: The name of the run's configuration, a file in the same folder.
        started: When the run began or last continued, in seconds since 1970.
    """

    name: str
    model: str
    data: str
    config: str
    started: float

    @classmethod
    def begin(cls, folder: str, name: str, model: str, data: str, config: str) -> "Run":
        """Records a run that begins or continues now. Its configuration is saved beside those of earlier starts."""
        files, place = _at(folder)
        file = next(name for name in _numbered("config", suffix=".yaml") if not files.exists(f"{place}/{name}"))
        run = cls(name, model, data, file, time.time())
        run.write(folder, config)
        return run

    def write(self, folder: str, config: str) -> None:
        """Writes the configuration and the record into a folder."""
        _write(f"{folder}/{self.config}", config)
        _write(f"{folder}/{RECORD}", json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: str) -> "Run | None":
        """The run saved in a folder; None if there is none."""
        files, place = _at(folder)
        try:
            return cls(**json.loads(files.cat_file(f"{place}/{RECORD}")))
        except (OSError, ValueError, TypeError):
            return None


def resumed_folder(checkpoint: str | None) -> str | None:
    """The folder of a checkpoint's run, in which a resumed fit continues; None if the checkpoint belongs to no run."""
    if checkpoint is None:
        return None
    of_job = checkpoint.replace("\\", "/").rpartition("/")[2].startswith(HPC)
    folder = _folder_of_others(checkpoint) if of_job else run_folder(checkpoint)
    return folder if folder is not None and Run.read(folder) else None


def _folder_of_others(checkpoint: str) -> str | None:
    """The folder of the run that saved a job's checkpoint, found from a path in the checkpoint."""
    callbacks = read_checkpoint(checkpoint).get("callbacks", {})
    kept: Any = next((state for key, state in callbacks.items() if key.startswith("BestAndLast")), {})
    return run_folder(f"{kept['dirpath']}/") if kept.get("dirpath") else None


def newest_of_job(folder: str) -> str | None:
    """The checkpoint that a job in this folder saved last; None if there is none."""
    files, place = _at(folder)
    numbers = [
        str(path).rpartition(HPC)[2].removesuffix(".ckpt") for path in files.glob(f"{escape(place)}/{HPC}*.ckpt")
    ]
    number = max((int(number) for number in numbers if number.isdecimal()), default=None)
    return None if number is None else _join(folder, f"{HPC}{number}.ckpt")


@rank_zero_only
def keep(path: str) -> None:
    """Renames a file that a logger would overwrite, by adding a number after the file's stem."""
    files, place = _at(path)
    if files.isfile(place):
        stem, _, suffix = place.rpartition(".")
        files.mv(place, next(path for path in _numbered(stem, suffix=f".{suffix}") if not files.exists(path)))


def free_version(folder: str, version: int | str, below: str | None = None) -> int | str:
    """The version for a new logger: the given one, with a number appended if an earlier run has files there.

    Args:
        folder: The folder of all versions.
        version: The version, as loggers take it.
        below: The folder within the version's folder that the logger writes into, if there is one.
    """
    name = version if isinstance(version, str) else f"version_{version}"
    files = (RECORD, *_OF_LOGGERS)
    free = next(
        other
        for other in _numbered(name, "-" if name else "")
        if not any(_exists(_join(folder, other, below or "", file)) for file in files)
    )
    return version if free == name else free


def new_folder(trainer: Trainer, name: str, elsewhere: tuple[type, ...] = ()) -> str:
    """The folder for a new run. Call this function on all ranks, in `setup` or later. All ranks get the same folder.

    The folder comes from the first logger with a folder for each run (TensorBoard, CSV). If that folder already
    contains a run, a number is appended. Without such a logger, the next `NAME/version_N` in the Trainer's
    `default_root_dir` is taken.

    Args:
        trainer: The Trainer of the run.
        name: The run's name.
        elsewhere: Classes of loggers to ignore, as a later command would not know where they write.

    Raises:
        ArgumentError: The folder cannot be made.
    """
    folder = ""
    if trainer.is_global_zero:
        logger = next((x for x in trainer.loggers if isinstance(x, FOLDERS) and not isinstance(x, elsewhere)), None)
        if logger is None:
            candidates = (_join(trainer.default_root_dir, name, f"version_{n}") for n in count())
            free: Iterator[str] = (folder for folder in candidates if not _exists(folder))
        else:
            free = _numbered(logger.log_dir.rstrip("/"), "-")
        folder = next(folder for folder in free if not _exists(_join(folder, RECORD)) and _begin(folder))
    return trainer.strategy.broadcast(folder)


def _begin(folder: str) -> bool:
    """Makes a run's folder. Returns False if another fit, started at the same moment, has taken it."""
    files, place = _at(folder)
    try:
        files.makedirs(place, exist_ok=True)
    except OSError as error:
        raise ArgumentError(f"cannot make the run's folder {folder} ({error.strerror or error})") from error
    return try_claim(folder) and not _exists(_join(folder, RECORD))


def find_checkpoint(ckpt_path: str, root: str, name: str | None, **wanted: str | None) -> str:
    """The checkpoint that `--ckpt_path` means.

    Args:
        ckpt_path: A path or URL; or "best" or "last", for the newest run with this name that has such a checkpoint.
        root: The folder in which to look for runs.
        name: The run's name.
        **wanted: The run's `model` and `data`, if they are known.

    Raises:
        ArgumentError: There is no such checkpoint.
    """
    if _is_file(ckpt_path):
        return ckpt_path
    if ckpt_path not in (BEST, LAST):
        raise ArgumentError(f"--ckpt_path {ckpt_path}: there is no such file; give a checkpoint's path, best or last")
    if name is None:
        raise ArgumentError(f"--ckpt_path {ckpt_path} needs a recipe: give --config RECIPE too, or a file's path")
    fitting = [
        (run.started, _join(folder, "checkpoints"))
        for folder, run in _runs(root)
        if run.name == name and all(value in (None, getattr(run, key)) for key, value in wanted.items())
    ]
    found = [(started, path) for started, folder in fitting if _is_file(path := _join(folder, f"{ckpt_path}.ckpt"))]
    if not found and ckpt_path == BEST and any(_is_file(_join(folder, f"{LAST}.ckpt")) for _, folder in fitting):
        raise ArgumentError(
            f"--ckpt_path best: the runs in {_join(root, name)} have none, as they logged no val/loss: give --ckpt_path "
            "last"
        )
    if not found:
        of = " and ".join(value.rpartition(".")[2] for value in wanted.values() if value)
        raise ArgumentError(
            f"--ckpt_path {ckpt_path}: no run in {_join(root, name)} has a checkpoint{f' of {of}' if of else ''}: fit the "
            "recipe first, or give the run's --name, or a file"
        )
    return max(found)[1]


def run_folder(checkpoint: str) -> str:
    """The folder of the run that a checkpoint belongs to: the one above `checkpoints/`, else the checkpoint's own."""
    folder = checkpoint.replace("\\", "/").rpartition("/")[0] or "."
    above, _, last = folder.rpartition("/")
    return (above or ".") if last == "checkpoints" else folder


def config_of(checkpoint: str) -> str | None:
    """The configuration file of a checkpoint's run, if the run's folder has a record."""
    run = Run.read(run_folder(checkpoint))
    return _join(run_folder(checkpoint), run.config) if run else None


def check_root(root: str) -> None:
    """Raises `ArgumentError` if no run can be written in a folder. The folder need not exist yet."""
    if "://" in root:
        return  # only an attempt shows whether a remote file system allows it
    path = Path(root).absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ArgumentError(
            f"no run can be written in {root}: {there} is {'read-only' if there.is_dir() else 'a file'}"
        )


def folder_of_predictions(checkpoint: str | None, name: str) -> str:
    """The folder for new predictions: in the checkpoint's run if it is on this machine, beside earlier predictions.

    Unfinished files that a killed process left there are removed.
    """
    folder = _join(RUNS, name) if checkpoint is None or "://" in checkpoint else run_folder(checkpoint)
    candidates = (_join(folder, f"predictions_{n}") if n else folder for n in count())
    free = next(folder for folder in candidates if not any(Path(folder).glob("predictions*.*")))
    remove_leftovers(free, "predictions*")
    return free


def _numbered(stem: str, mark: str = "_", suffix: str = "") -> Iterator[str]:
    """Yields STEM.SUFFIX, STEM_1.SUFFIX, STEM_2.SUFFIX and so on."""
    yield stem + suffix
    yield from (f"{stem}{mark}{n}{suffix}" for n in count(1))


def _runs(root: str) -> Iterator[tuple[str, Run]]:
    """Yields every run in a folder, together with the run's own folder."""
    files, place = _at(root)
    for folder in _folders_with_record(files, place):
        if not isinstance(files, LocalFileSystem):
            folder = files.unstrip_protocol(folder)
        elif not os.path.isabs(os.path.expanduser(root)):
            folder = Path(os.path.relpath(folder)).as_posix()  # stays relative, as folders differ between machines
        if run := Run.read(folder):
            yield folder, run


def _folders_with_record(files: Any, place: str) -> Iterator[str]:
    """Yields the folders below `place` that have a record, wherever a logger put them."""
    if not isinstance(files, LocalFileSystem):
        for folder, _, names in files.walk(place, maxdepth=_DEPTH + 1):
            if RECORD in names:
                yield str(folder)
        return
    seen = set()  # a link may lead to a folder above it
    for folder, below, names in os.walk(place, followlinks=True):
        depth, real = folder.removeprefix(place).count(os.sep), os.path.realpath(folder)
        below[:] = [name for name in below if not name.startswith(".") and depth < _DEPTH and real not in seen]
        if RECORD in names and real not in seen:
            yield folder
        seen.add(real)


def _at(folder: str | Path) -> tuple[Any, str]:
    """The file system of a path or URL, and the path on it."""
    files, place = file_system(folder)
    return files, place.rstrip("/")


def _is_file(path: str) -> bool:
    files, place = _at(path)
    return bool(files.isfile(place))


def _exists(path: str) -> bool:
    files, place = _at(path)
    return bool(files.exists(place))


def _join(*parts: Any) -> str:
    """Joins the parts of a path or URL, except empty parts."""
    return "/".join([str(parts[0]).rstrip("/"), *(part for part in map(str, parts[1:]) if part)])


def _write(path: str, text: str) -> None:
    files, place = _at(path)
    if isinstance(files, LocalFileSystem):
        write_atomically(place, text)
    else:
        files.pipe_file(place, text.encode())
