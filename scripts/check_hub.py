"""Loads the trained networks of a checkout where torch is installed and nothing else, and measures them.

    python scripts/check_hub.py [--repo .] [--data_dir data]

Needs no other package, of this project either: the digits are read from MNIST's IDX files (left out where there are
none), the series is written once more. Fails where a network is worse than the figures beside its weights.
"""

import argparse
import gzip
import importlib.util
import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore", message="Failed to initialize NumPy")  # torch says so as it is imported
import torch  # noqa: E402
from torch import Tensor  # noqa: E402


def digits(folder: Path) -> tuple[Tensor, Tensor]:
    """The 10,000 test images (N, 28, 28) in [0, 1], and their labels (N,)."""
    contents = []
    for name, header in (("t10k-images-idx3-ubyte", 16), ("t10k-labels-idx1-ubyte", 8)):
        packed = folder / f"{name}.gz"
        data = gzip.decompress(packed.read_bytes()) if packed.is_file() else (folder / name).read_bytes()
        contents.append(torch.frombuffer(bytearray(data[header:]), dtype=torch.uint8))
    return contents[0].view(-1, 28, 28) / 255, contents[1].long()


def windows(count: int) -> tuple[Tensor, Tensor]:
    """Fresh windows of the series with random starts in [0, 28): values and the values one step later, (count, 20, 1)."""
    t = 28 * torch.rand(count, 1, dtype=torch.float64) + 0.1 * torch.arange(21)
    f = (t * t.sin() / 3 + 2 * (5 * t).sin()).float()[..., None]
    return f[:, :-1], f[:, 1:]


@torch.no_grad()
def error(repo: str, name: str, x: Tensor, y: Tensor) -> float:
    """The share of wrong classes, else the mean squared error."""
    net = torch.hub.load(repo, name, source="local")
    y_hat = torch.cat([net(rows)[0] for rows in x.split(1000)])
    return float((y_hat - y).square().mean() if y.is_floating_point() else (y_hat.argmax(-1) != y).double().mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repo", default=".", help="the checkout")
    parser.add_argument("--data_dir", type=Path, default=Path("data"), help="folder of MNIST's test files")
    options = parser.parse_args()
    others = [name for name in ("numpy", "lightning", "matplotlib") if importlib.util.find_spec(name)]
    print(f"torch {torch.__version__}, {f'and also {others}' if others else 'and none of the other packages'}")
    torch.manual_seed(0)
    worse = []
    for path in sorted(Path(options.repo, "rnn_lightning", "weights").glob("*.json")):
        training = json.loads(path.read_text())["training"]
        test = training["runs"][str(training["seed"])]["test"]
        if training["metric"] == "acc" and not options.data_dir.is_dir():
            print(f"{path.stem}: left out, there is no folder {options.data_dir}")
            continue
        x, y = digits(options.data_dir) if training["metric"] == "acc" else windows(20_000)
        found = error(options.repo, path.stem, x, y)
        # The same images, of which a few may fall otherwise on another machine; or other windows.
        most = 1 - test + 0.0003 if training["metric"] == "acc" else 1.05 * test
        print(f"{path.stem}: {'error' if training['metric'] == 'acc' else 'MSE'} {found:.5f}, at most {most:.5f}")
        if found > most:
            worse.append(path.stem)
    sys.exit(f"worse than their figures: {', '.join(worse)}" if worse else None)
