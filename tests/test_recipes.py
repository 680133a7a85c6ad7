"""The recipes: each fits, opens with its command and what it reaches, and (but for own files) really reaches it."""

from pathlib import Path

import numpy as np
import pytest
import reproduce
from plan import OWN_DATA, PLAN, load, plan

from rnn_lightning.cli import main
from rnn_lightning.recipes import recipes

pytestmark = pytest.mark.usefixtures("own_folder")
ELSEWHERE = {"arrays", "chars", "mnist_rnn", "series", "sine_deep", "sine_seq2seq", "sine_stream", "sine_tbptt"}
"""Recipes that fit in other tests of the default set."""
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


@pytest.mark.parametrize(
    "recipe", [pytest.param(name, marks=pytest.mark.slow if name in ELSEWHERE else []) for name in recipes()]
)
def test_every_recipe_fits(recipe, fake_mnist_dir, own_folder):
    windows = recipe.startswith("sine") and recipe != "sine_stream"
    data = ["--data.eval_windows=60"] if windows else ["--data.eval_batch_size=2"]
    if recipe.startswith("mnist"):
        data = [f"--data.data_dir={fake_mnist_dir}", "--data.verify=false", "--data.val_size=100"]
    if recipe == "series":
        Path("mine.csv").write_text("\n".join(["units", *map(str, range(200))]))
        data = ["--data.path=mine.csv"]
    if recipe == "words":
        Path("mine.txt").write_text("a cat sat on a mat\n" * 400)
        data.append("--data.path=mine.txt")
    if recipe == "arrays":
        np.savez("own.npz", x=np.zeros((40, 5, 2)), y=np.arange(40) % 2)
        data = ["--data.path=own.npz"]
    main(["fit", "--config", recipe, "--trainer.fast_dev_run=2", "--trainer.accelerator=cpu", *data, *QUIET])


@pytest.mark.parametrize("recipe", list(recipes()))
def test_every_recipe_opens_with_its_command_and_what_it_reaches(recipe):
    header = [line for line in recipes()[recipe].read_text().splitlines() if line.startswith("#")]
    assert any(f"python -m rnn_lightning fit --config {recipe}" in line for line in header)
    assert any(line.startswith("# Measured: ") for line in header)


PROMISED = [
    run for run in plan() if run.seed == 0 and any(f"{{={run.name} " in words for _, words in PLAN["recipes"].values())
]


@pytest.mark.slow
@pytest.mark.parametrize("run", [pytest.param(run, id=run.name) for run in PROMISED])
def test_a_recipe_keeps_its_promise(run, request):
    """Trained again by the first seed, it is within the range over seeds, which README and the recipe's comment have."""
    data_dir = request.getfixturevalue("mnist_dir") if run.mnist else "data"
    assert len(PROMISED) == len(recipes()) - len(OWN_DATA)
    measured = [result["test"] for key, result in load()["runs"].items() if key.partition("/")[0] == run.name]
    found = reproduce.fit(run, str(data_dir))["test"]
    # Another machine rounds otherwise, so that a seed's result may differ as much as that of another seed.
    assert found["test/loss"] < 1.3 * max(result["test/loss"] for result in measured)
    if run.mnist and run.name != "mnist_pixels":  # which is far from the end of its training
        assert found["test/acc"] > min(result["test/acc"] for result in measured) - 0.005
    if run.name == "sine_deep_dropout_tutorial":
        assert found["test/loss"] > 1, "it does not learn"
