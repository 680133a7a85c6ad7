"""Loads the trained networks of a checkout where torch is installed and nothing else, and measures them.

    python scripts/check_hub.py [--repo .] [--data_dir data]

Needs no other package, of this project either: the digits are read from MNIST's IDX files (left out where there are
none), the series is written once more. Fails where a figure falls short of what is promised.
"""

import argparse
import gzip
import importlib.util
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore", message="Failed to initialize NumPy")  # torch says so as it is imported
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

PROMISED = {"seq2vec_mnist": 0.970, "seq2vec_mnist_lstm": 0.990, "seq2seq_sine": 0.036, "seq2seq_sine_deep": 0.045}


def digits(folder: Path) -> tuple[Tensor, Tensor]:
    """The 10,000 test images (N, 28, 28) in [0, 1], and their labels (N,)."""
    contents = []
    for name, header in (("t10k-images-idx3-ubyte", 16), ("t10k-labels-idx1-ubyte", 8)):
        packed = folder / f"{name}.gz"
        data = gzip.decompress(packed.read_bytes()) if packed.is_file() else (folder / name).read_bytes()
        contents.append(torch.frombuffer(bytearray(data[header:]), dtype=torch.uint8))
    return contents[0].view(-1, 28, 28) / 255, contents[1].long()


def windows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Fresh windows of the series with random starts in [0, 28): values and the values one step later, (count, 20, 1)."""
    generator = torch.Generator().manual_seed(seed)
    t = 28 * torch.rand(count, 1, dtype=torch.float64, generator=generator) + 0.1 * torch.arange(21)
    f = (t * t.sin() / 3 + 2 * (5 * t).sin()).float()[..., None]
    return f[:, :-1], f[:, 1:]


@torch.no_grad()
def figure(repo: str, name: str, x: Tensor, y: Tensor) -> float:
    """Accuracy for classes, else the mean squared error."""
    net = torch.hub.load(repo, name, source="local")
    parts = [net(rows)[0] for rows in x.split(1000)]
    y_hat = torch.cat(parts)
    return float((y_hat - y).square().mean() if y.is_floating_point() else (y_hat.argmax(-1) == y).double().mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repo", default=".", help="the checkout")
    parser.add_argument("--data_dir", type=Path, default=Path("data"), help="folder of MNIST's test files")
    parser.add_argument("--windows", type=int, default=10_000, help="how many windows of the series")
    parser.add_argument("--seed", type=int, default=0, help="of the windows")
    options = parser.parse_args()
    others = [name for name in ("numpy", "lightning", "matplotlib") if importlib.util.find_spec(name)]
    print(f"torch {torch.__version__}, {f'and also {others}' if others else 'and none of the other packages'}")
    short = []
    for name, promised in PROMISED.items():
        higher = name.startswith("seq2vec")
        if higher and not options.data_dir.is_dir():
            print(f"{name}: left out, there is no folder {options.data_dir}")
            continue
        x, y = digits(options.data_dir) if higher else windows(options.windows, options.seed)
        found = figure(options.repo, name, x, y)
        print(
            f"{name}: {found:.5f} over {len(x):,} sequences, promised {'at least' if higher else 'at most'} {promised}"
        )
        if (found < promised) if higher else (found > promised):
            short.append(name)
    sys.exit(f"short of what is promised: {', '.join(short)}" if short else None)
