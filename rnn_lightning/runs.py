"""Where a run is saved: asked of the Trainer, recorded in the run's folder, and found again by a later command.

A run's folder holds `run.json` (this record), the configuration and `checkpoints/`. By default it is
`runs/NAME/version_N`, beside the events of TensorBoard. A folder may be a path or a URL of any file system that fsspec
knows, such as `s3://bucket/runs`.
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

import fsspec
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from rnn_lightning.errors import ArgumentError
from rnn_lightning.files import write_atomically

RUNS = "runs"
BEST, LAST = "best", "last"
RECORD = "run.json"
FOLDERS = (TensorBoardLogger, CSVLogger)
"""The loggers that keep a folder for each run. Others have one for all of them, or none."""
_DEPTH = 4
"""How many folders a logger may put between its `save_dir` and a run's record, at most."""


@dataclass(frozen=True)
class Run:
    """What is written down of a run.

    Attributes:
        name: As given by `--name`, or made from the configuration.
        model: The class path of the LightningModule.
        data: The class path of the DataModule.
        config: The name of its configuration, a file in the same folder.
        started: When the run began, in seconds since 1970.
    """

    name: str
    model: str
    data: str
    config: str
    started: float

    @classmethod
    def begin(cls, folder: str, name: str, model: str, data: str, config: str) -> "Run":
        """Records a run that begins now, or continues.

        Args:
            folder: The run's folder, from `new_folder`, or that of the run that continues.
            name: The run's name.
            model: The class path of the LightningModule.
            data: The class path of the DataModule.
            config: The text of its configuration, which is written beside those of earlier starts.
        """
        files, place = _at(folder)
        number, file = 0, "config.yaml"
        while files.exists(f"{place}/{file}"):  # of an earlier start, an earlier run, or of the user
            number += 1
            file = f"config_{number}.yaml"
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
    """The folder of the run that a checkpoint belongs to, in which a fit from it continues; None if it belongs to none."""
    folder = run_folder(checkpoint) if checkpoint is not None else None
    return folder if folder is not None and Run.read(folder) else None


@rank_zero_only
def keep(path: str) -> None:
    """Gives a file that a logger would begin anew another name, with a number behind its stem."""
    files, place = _at(path)
    if files.isfile(place):
        stem, _, suffix = place.rpartition(".")
        files.mv(place, next(free for free in (f"{stem}_{n}.{suffix}" for n in count(1)) if not files.exists(free)))


def new_folder(trainer: Trainer, name: str) -> str:
    """The folder of a run that begins. Call it on all ranks, from `setup` on; they get the same.

    It is the folder of the first logger that keeps one for each run (TensorBoard, CSV), with a number behind it if a run
    is there already; without such a logger, the next `NAME/version_N` in the Trainer's `default_root_dir`.

    Raises:
        ArgumentError: The folder cannot be made.
    """
    folder = ""
    if trainer.is_global_zero:
        logger = next((logger for logger in trainer.loggers if isinstance(logger, FOLDERS)), None)
        if logger is None:
            candidates = (_join(trainer.default_root_dir, name, f"version_{n}") for n in count())
            folder = next(folder for folder in candidates if not _exists(folder))
        else:
            candidates = (f"{logger.log_dir}-{n}" if n else logger.log_dir for n in count())
            folder = next(folder for folder in candidates if not _exists(_join(folder, RECORD)))
        files, place = _at(folder)
        try:
            files.makedirs(place, exist_ok=True)
        except OSError as error:
            raise ArgumentError(f"cannot make the run's folder {folder} ({error.strerror or error})") from error
    return trainer.strategy.broadcast(folder)


def find_checkpoint(ckpt_path: str, root: str, name: str | None, **wanted: str | None) -> str:
    """The checkpoint that `--ckpt_path` means.

    Args:
        ckpt_path: A path or URL; or "best" or "last", that of the newest run of this name that has one.
        root: The folder in which runs are looked for.
        name: The run's name.
        **wanted: The run's `model` and `data`, where they are known.

    Raises:
        ArgumentError: There is none.
    """
    if _is_file(ckpt_path):
        return ckpt_path
    if ckpt_path not in (BEST, LAST):
        raise ArgumentError(f"--ckpt_path {ckpt_path}: there is no such file; give a checkpoint's path, best or last")
    if name is None:
        raise ArgumentError(f"--ckpt_path {ckpt_path} of which recipe? give --config RECIPE too, or a file's path")
    found = []
    for folder, run in _runs(root):
        checkpoint = _join(folder, "checkpoints", f"{ckpt_path}.ckpt")
        fits = all(value in (None, getattr(run, key)) for key, value in wanted.items())
        if run.name == name and fits and _is_file(checkpoint):
            found.append((run.started, checkpoint))
    if not found:
        of = ", ".join(value.rpartition(".")[2] for value in wanted.values() if value)
        raise ArgumentError(
            f"--ckpt_path {ckpt_path}: no run in {_join(root, name)} has one{f' of {of}' if of else ''}; fit the recipe "
            "first, or give a file"
        )
    return max(found)[1]


def run_folder(checkpoint: str) -> str:
    """The run that a checkpoint belongs to: the folder above its `checkpoints/`, else the one it is in."""
    folder = checkpoint.replace("\\", "/").rpartition("/")[0] or "."
    above, _, last = folder.rpartition("/")
    return (above or ".") if last == "checkpoints" else folder


def config_of(checkpoint: str) -> str | None:
    """The configuration of the run that a checkpoint belongs to, if the run's folder has one."""
    run = Run.read(run_folder(checkpoint))
    return _join(run_folder(checkpoint), run.config) if run else None


def check_name(name: str) -> None:
    """Raises `ArgumentError` if a run's name would lead out of the folder of all runs."""
    parts = name.replace("\\", "/").split("/")
    if not name or "://" in name or ":" in parts[0][1:2] or any(part in ("", ".", "..") for part in parts):
        raise ArgumentError(
            f"--name {name!r}: give a name such as small or team/small, without '..' and no path of a disk"
        )


def name_of_file(path: str | Path) -> str | None:
    """The run's name for a file of data: the file's, without its suffix and that of a compression."""
    place = Path(path).expanduser()
    if place.name in ("", ".."):  # a folder such as `.`
        place = place.resolve()
    name = place.name
    for suffix in (".gz", ".dz"):
        name = name.removesuffix(suffix)
    return Path(name).stem or None if name else None


def check_root(root: str) -> None:
    """Raises `ArgumentError` if no run can be written in a folder; made later, it need not be there."""
    if "://" in root:
        return  # what a remote file system allows is known when it is tried
    path = Path(root).absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ArgumentError(
            f"no run can be written in {root}: {there} is {'read-only' if there.is_dir() else 'a file'}"
        )


def folder_of_predictions(checkpoint: str | None, name: str) -> str:
    """Where predictions go: into the checkpoint's run if it is on this machine, beside earlier ones."""
    folder = _join(RUNS, name) if checkpoint is None or "://" in checkpoint else run_folder(checkpoint)
    candidates = (_join(folder, f"predictions_{n}") if n else folder for n in count())
    return next(folder for folder in candidates if not any(Path(folder).glob("predictions*.*")))


def _runs(root: str) -> Iterator[tuple[str, Run]]:
    """All runs in a folder, each with its own folder."""
    files, place = _at(root)
    for depth in range(_DEPTH):
        for record in files.glob("/".join([escape(place), *["*"] * depth, RECORD])):
            folder = str(record).rpartition("/")[0]
            if not _is_local(files):
                folder = files.unstrip_protocol(folder)
            elif not os.path.isabs(root):
                folder = Path(os.path.relpath(folder)).as_posix()  # as it is given: other machines have other folders
            if run := Run.read(folder):
                yield folder, run


def _at(folder: str | Path) -> tuple[Any, str]:
    """The file system of a path or URL, and its place there."""
    files, place = fsspec.core.url_to_fs(str(folder))
    return files, str(place).rstrip("/")


def _is_local(files: Any) -> bool:
    return "file" in ([files.protocol] if isinstance(files.protocol, str) else files.protocol)


def _is_file(path: str) -> bool:
    files, place = _at(path)
    return bool(files.isfile(place))


def _exists(path: str) -> bool:
    files, place = _at(path)
    return bool(files.exists(place))


def _join(*parts: Any) -> str:
    """A path or URL of its parts, empty ones left out."""
    return "/".join([str(parts[0]).rstrip("/"), *(part for part in map(str, parts[1:]) if part)])


def _write(path: str, text: str) -> None:
    files, place = _at(path)
    if _is_local(files):
        write_atomically(place, text)
    else:
        files.pipe_file(place, text.encode())
