"""Makes the README's pictures: trains two recipes and takes from TensorBoard's event files what it shows of them.

    python scripts/readme_pictures.py

A few minutes on two cores. It writes the pictures of the last validation to `docs/pictures/`.
"""

import argparse
import os
import tempfile
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnn_lightning.cli import main

PICTURES = {
    "sine_seq2seq": {"val/window": "window.png"},
    "sine_tbptt": {"val/forecast": "forecast.png", "train/gradient_reach": "gradient_reach.png"},
}
"""Recipe to tag to file."""


def last_pictures(run: Path) -> dict[str, bytes]:
    """The newest picture of every tag of a run, as PNG."""
    events = EventAccumulator(str(run), size_guidance={"images": 1}).Reload()
    return {tag: events.Images(tag)[-1].encoded_image_string for tag in events.Tags()["images"]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parents[1] / "docs" / "pictures"
    parser.add_argument("--out", type=Path, default=default, help="the folder to write to")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for recipe, files in PICTURES.items():
        with tempfile.TemporaryDirectory() as folder:
            main(["fit", "--config", recipe, f"--trainer.logger.save_dir={folder}", "--trainer.accelerator=cpu"])
            found = last_pictures(Path(folder, recipe, "version_0"))
        for tag, name in files.items():
            part = options.out / f"{name}.part"
            part.write_bytes(found[tag])
            os.replace(part, options.out / name)
            print(options.out / name)
