"""Model cards: what `train_weights.py` writes beside the weights, and reads back to check them."""

import hashlib
import platform
import re
import statistics
import textwrap
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch
from trained_networks import TrainedNetwork

from rnn_lightning import __version__
from rnn_lightning.errors import ArgumentError
from rnn_lightning.files import write_atomically

_NAMES = {"acc": "accuracy", "mse": "mean squared error"}
_TEMPLATE = """\
# {name}

{summary}

| | |
|---|---|
| test {metric} | {test:.4f} |
| over {n} seeds | {low:.4f} to {high:.4f}, mean {mean:.4f} |
| weights | `{weights}`, {size} bytes |
| SHA-256 | `{sha256}` |
| licence | Apache-2.0, as the package |

## Use

```python
net = torch.hub.load(REPO, "{name}")  # or: from rnn_lightning import hub; net = hub.{name}()
```

{use}

## Limits

{limits}

## Data

{data}

## Training

By one command, which trains once for each seed and ships the network of the lowest validation loss (of each run, the
checkpoint of the lowest validation loss); the test set is looked at afterwards:

```sh
python scripts/train_weights.py {name}
```

The recipe is `{recipe}`, with what is set otherwise:

```sh
python -m rnn_lightning fit --config {recipe} --seed_everything {seed} \\
  {overrides}
```

| seed | validation loss | test {metric} | |
|---|---|---|---|
{rows}

{origin}
"""
_ORIGIN = (
    "Trained on one thread of a CPU ({machine}) with {versions}. On another machine, by another version of torch or of the "
    "recurrences, sums are rounded in another way: the command then gives other weights, whose figure is to be expected "
    "within the spread of the seeds."
)


@dataclass(frozen=True)
class Run:
    """One seed's best checkpoint: its validation loss and its test metric."""

    seed: int
    val_loss: float
    test: float


@dataclass(frozen=True)
class Card:
    """What a card claims that can be checked."""

    test: float
    weights: str
    size: int
    sha256: str


def write_card(path: Path, entry: TrainedNetwork, weights: Path, runs: list[Run], best: int) -> None:
    """Writes the card of the weights in a file, trained in `runs`, of which that of the seed `best` is shipped."""
    tests = [run.test for run in runs]
    rows = (f"| {r.seed} | {r.val_loss:.5f} | {r.test:.4f} | {'shipped' if r.seed == best else ''} |" for r in runs)
    versions = (
        f"rnn_lightning {__version__}",
        f"torch {torch.__version__}",
        f"Lightning {lightning.__version__}",
        f"Python {platform.python_version()}",
    )
    text = _TEMPLATE.format(
        name=entry.name,
        summary=entry.summary,
        metric=_NAMES[entry.metric],
        test=next(run.test for run in runs if run.seed == best),
        n=len(runs),
        low=min(tests),
        high=max(tests),
        mean=statistics.mean(tests),
        weights=weights.name,
        size=weights.stat().st_size,
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        use=textwrap.fill(entry.use, 120),
        limits=textwrap.fill(entry.limits, 120),
        data=textwrap.fill(entry.data, 120),
        recipe=entry.recipe,
        seed=best,
        overrides=" \\\n  ".join(entry.overrides),
        rows="\n".join(rows),
        origin=textwrap.fill(_ORIGIN.format(machine=platform.machine(), versions=", ".join(versions)), 120),
    )
    write_atomically(path, text.encode())


def read_card(path: Path) -> Card:
    """The claims of a card.

    Raises:
        ArgumentError: There is no card, or it lacks one of them.
    """
    if not path.is_file():
        raise ArgumentError(f"there is no model card {path}: train the network, which writes one")
    text = path.read_text(encoding="utf-8")
    test = re.search(r"^\| test [a-z ]+ \| ([0-9.]+) \|$", text, re.M)
    weights = re.search(r"^\| weights \| `([^`]+)`, ([0-9]+) bytes \|$", text, re.M)
    sha256 = re.search(r"^\| SHA-256 \| `([0-9a-f]{64})` \|$", text, re.M)
    if test is None or weights is None or sha256 is None:
        raise ArgumentError(f"the model card {path} lacks its table of figures: train the network again")
    return Card(float(test[1]), weights[1], int(weights[2]), sha256[1])
