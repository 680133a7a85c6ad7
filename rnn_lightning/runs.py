"""Where runs lie on disk: `runs/<recipe>/version_N/` with `config.yaml`, `checkpoints/` and the TensorBoard events."""

from pathlib import Path

from rnn_lightning.errors import ArgumentError

RUNS = "runs"
BEST, LAST = "best", "last"


def find_checkpoint(ckpt_path: str, recipe: str, root: str = RUNS) -> Path:
    """The checkpoint that `--ckpt_path` means.

    Args:
        ckpt_path: A file; or "best" or "last", that of the newest run of the recipe that has one.
        recipe: The recipe's name, a folder of `root`.
        root: The folder of all runs.

    Raises:
        ArgumentError: There is none.
    """
    if ckpt_path in (BEST, LAST) and not Path(ckpt_path).is_file():
        found = sorted(Path(root, recipe).glob(f"version_*/checkpoints/{ckpt_path}.ckpt"), key=_version)
        if not found:
            raise ArgumentError(
                f"--ckpt_path {ckpt_path}: no run in {Path(root, recipe)} has one; fit the recipe first, or give a file"
            )
        return found[-1]
    if not Path(ckpt_path).is_file():
        raise ArgumentError(f"--ckpt_path {ckpt_path}: there is no such file; give a checkpoint's path, best or last")
    return Path(ckpt_path)


def run_folder(checkpoint: Path) -> Path:
    """The run that a checkpoint belongs to: the folder above its `checkpoints/`, else the one it lies in."""
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent


def _version(checkpoint: Path) -> int:
    number = run_folder(checkpoint).name.removeprefix("version_")
    return int(number) if number.isdigit() else -1
