"""What the README shows runs as it stands."""

import re
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)
REPO = str(Path(__file__).parents[1])


@pytest.fixture
def ready(tmp_path, monkeypatch):
    """Names that the blocks find, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    return {"torch": torch, "__name__": "readme"}


def block(words):
    (text,) = [b for b in BLOCKS if words in b]
    return text


def test_training_from_python(ready):
    text = block("SyntheticSine").replace("n_steps=100", "n_steps=100, steps_per_epoch=3, eval_windows=20")
    exec(text, ready)
    assert ready["y"].shape == (1, 50, 1)


def test_layers_take_torchs_weights(ready):
    exec(block("load_state_dict"), ready)
    assert ready["layers"].state_dropout == 0.2


def test_a_model_of_ones_own(ready):
    text = block("class Mine")
    assert len(text.strip().splitlines()) <= 20
    exec(text, ready)
    module = ready["Mine"]()
    batch = {"x": torch.randn(4, 60, 1), "y": torch.randn(4, 60, 1)}
    trainer = Trainer(max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(module, DataLoader([batch] * 3, batch_size=None), DataLoader([batch], batch_size=None))
    assert trainer.global_step == 2 * 3 * 3
    assert {"train/loss", "val/loss"} <= set(trainer.callback_metrics)


def test_hub(ready):
    exec(block("torch.hub.load").replace("path/to/checkout", REPO), ready)
    assert ready["y"].shape == (4, 10)


def test_every_block_is_run():
    """Each test above takes the one block that has its words."""
    words = re.findall(r'block\("(.+?)"\)', Path(__file__).read_text())
    assert sorted(block(text) for text in words) == sorted(BLOCKS)


def test_the_commands_name_recipes_that_exist():
    from rnn_lightning.recipes import recipes

    named = set(re.findall(r"--config (\w+)", README)) | set(re.findall(r"`((?:sine|mnist|adding|copy)_\w+)`", README))
    named |= set(re.findall(r"^\| `(\w+)` \|", README.partition("table recipes")[2].partition("<!-- end -->")[0], re.M))
    assert named <= set(recipes())
    assert set(recipes()) <= named, "every recipe stands in the README"
