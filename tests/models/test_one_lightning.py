"""A module of `lightning.pytorch` and the Trainer of `pytorch_lightning`."""

import copy
import pickle

import pytest
import torch
from lightning.pytorch import LightningModule

from rnn_lightning import ArgumentError
from rnn_lightning.models import Seq2Seq, SequenceModule

pytestmark = pytest.mark.filterwarnings("ignore")  # what importing the other package says


@pytest.mark.parametrize("what", ["fit", "validate", "test", "predict"])
def test_the_other_trainer_gets_one_line_that_says_what_to_import(what):
    other = pytest.importorskip("pytorch_lightning")
    trainer = other.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    with pytest.raises(ArgumentError, match=r"import Trainer from lightning\.pytorch") as error:
        getattr(trainer, what)(Seq2Seq(1, 1), [(torch.randn(2, 5, 1), torch.randn(2, 5, 1))])
    assert "\n" not in str(error.value)


def test_the_module_is_what_it_was_to_all_others():
    pytest.importorskip("pytorch_lightning")
    module = Seq2Seq(1, 1)
    assert module.__class__ is type(module) is Seq2Seq
    assert isinstance(module, (LightningModule, SequenceModule, torch.nn.Module))
    assert not isinstance(module, torch.nn.Linear)
    x = torch.randn(2, 5, 1)
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert type(again) is Seq2Seq
        assert torch.equal(again(x)[0], module(x)[0])
    compiled = torch.compile(module, backend="eager")
    torch.testing.assert_close(compiled(x)[0], module(x)[0])
