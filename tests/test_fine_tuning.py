"""`--model.weights`: a run that begins from trained weights, through the command line."""

import re
from pathlib import Path

import pytest
import torch

from rnn_lightning import hub
from rnn_lightning.cli import main
from rnn_lightning.saved import load_network

pytestmark = pytest.mark.usefixtures("own_folder")
SINE = ["--config=sine_long", "--model.weights=seq2seq_sine", "--trainer.accelerator=cpu", "--data.eval_windows=500"]
SHORT = ["--trainer.max_epochs=1", "--data.steps_per_epoch=2", "--model.optimizer.lr=1e-6", "--model.lr_scheduler=null"]
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
LAST = "runs/{}/version_0/checkpoints/last.ckpt"


def loss(text):
    return float(re.search(r"test/loss\D+([\d.]+)", text)[1])


def test_a_fit_begins_where_the_trained_network_is(capsys):
    main(["fit", *SINE, *SHORT, *QUIET])
    assert loss(capsys.readouterr().out) < 0.04
    tuned, trained = load_network(LAST.format("sine_long")), hub.seq2seq_sine()
    torch.testing.assert_close(tuned.state_dict(), trained.state_dict(), rtol=0, atol=1e-5)
    assert not torch.equal(tuned.head.weight, trained.head.weight), "and goes on from there"


def test_trained_weights_are_tested_without_a_checkpoint(capsys):
    main(["test", *SINE, *QUIET])
    assert loss(capsys.readouterr().out) < 0.04


def test_a_head_of_another_size(make_mnist, fail, capsys, caplog):
    folder = make_mnist("four", train=300, test=100, classes=4)
    data = [f"--data.data_dir={folder}", "--data.verify=false", "--data.val_size=100", "--trainer.accelerator=cpu"]
    recipe = ["--config=mnist_rnn", "--model.weights=seq2vec_mnist", *data, *QUIET]
    main(["fit", *recipe, "--trainer.max_epochs=1", "--model.optimizer.lr=1e-9"])
    assert "(10, 150) there, (4, 150) in the model; it is reinitialised" in caplog.text
    tuned, trained = load_network(LAST.format("mnist_rnn")), hub.seq2vec_mnist()
    assert tuned.head.out_features == 4
    torch.testing.assert_close(tuned.layers.state_dict(), trained.layers.state_dict(), rtol=0, atol=1e-6)
    assert "untrained: fit first" in fail("test", *recipe)


@pytest.mark.slow
def test_a_run_needs_its_first_weights_no_more(fail, capsys):
    """Its checkpoints have all weights, so the file may be gone when they are tested or the run is resumed."""
    torch.save(hub.seq2seq_sine().state_dict(), "start.pt")
    main(["fit", *SINE, "--model.weights=start.pt", *SHORT, *QUIET])
    Path("start.pt").unlink()
    capsys.readouterr()
    checkpoint = f"--ckpt_path={LAST.format('sine_long')}"
    main(["test", checkpoint, *QUIET])
    assert loss(capsys.readouterr().out) < 0.04
    main(["fit", checkpoint, "--trainer.max_epochs=2", *QUIET])
    assert "start.pt" in fail("fit", *SINE, "--model.weights=start.pt", *SHORT, *QUIET)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model.weights=seq2seq_cosine"], "no such trained network: choose one of seq2seq_sine,"),
        (["--model.weights=seq2vec_mnist"], "belongs to another network, with input_size=28 (the model has 1)"),
        (["--model.weights=seq2seq_sine", "--model.hidden_size=9"], "hidden_size=100 (the model has 9)"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(arguments, words, fail):
    assert words in fail("fit", *SINE, *arguments, *SHORT, *QUIET)
    assert not Path("runs").exists()
