"""Garbage in: a run, or one line that says what is wrong; never a traceback."""

import os
import random
import resource
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from rnn_lightning import ArgumentError, hub
from rnn_lightning.cli import main
from rnn_lightning.recipes import recipe_or_file

SMALL = {
    "trainer": {"fast_dev_run": True, "accelerator": "cpu", "enable_progress_bar": False, "logger": False},
    "data": {"init_args": {"steps_per_epoch": 2, "batch_size": 4}},
    "model": {"init_args": {"hidden_size": 4}},
}
RECIPES = ("sine_seq2seq", "sine_tbptt", "sine_deep_dropout", "adding_problem", "copy_memory")
MORE_KEYS = (
    "trainer.max_steps",
    "trainer.precision",
    "trainer.gradient_clip_val",
    "trainer.limit_train_batches",
    "trainer.devices",
    "trainer.strategy",
    "model.init_args.input_dropout",
    "model.init_args.state_dropout",
    "model.init_args.num_layers",
    "model.init_args.bidirectional",
    "model.init_args.weights",
    "model.init_args.tbptt",
    "model.init_args.tbptt.k1",
    "model.init_args.tbptt.k2",
    "model.init_args.tbptt.step_every",
    "model.init_args.carry_state",
    "model.init_args.input_size",
    "model.init_args.optimizer.init_args.lr",
    "model.init_args.optimizer.init_args.betas",
    "model.init_args.lr_scheduler",
    "data.init_args.num_workers",
    "data.init_args.eval_windows",
    "data.init_args.n_steps",
    "horizon",
    "ckpt_path",
    "name",
    "seed_everything",
)
FORBIDDEN = ("fast_dev_run", "default_root_dir", "profiler")  # they would make another run of it, or write elsewhere
VALUES = st.one_of(
    st.sampled_from([None, True, False, "", "abc", "1e-3", "0.1", "-1", "null", ".inf", ".nan", "[1", "{a: b"]),
    st.sampled_from(["\u00e9\u4e2d\U0001f600", "a b", "a/b", "~"]),
    st.integers(-3, 30),
    st.sampled_from([2**31, 2**63, -(2**63), 10**12, 10**30]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([[], {}, [1, 2], {"a": 1}, {"class_path": "no.such.Class"}, {"class_path": "Adam"}, [[[]]]]),
)  # fmt: skip


def flat(config, prefix=""):
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        yield prefix + key


def update(config, more):
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            update(config[key], value)
        else:
            config[key] = value


def base(name):
    config = yaml.safe_load(Path(recipe_or_file(name)).read_text())
    update(config, SMALL)
    config.get("trainer", {}).pop("callbacks", None)
    return config


KEYS = sorted({key for name in RECIPES for key in flat(base(name))} | set(MORE_KEYS))
EDITS = st.lists(
    st.tuples(st.sampled_from(["set", "set", "set", "drop", "misspell", "nest"]), st.sampled_from(KEYS), VALUES),
    min_size=1,
    max_size=3,
)


def edit(config, kind, key, value):
    """One change of a configuration; what is not there is left as it is."""
    *way, last = key.split(".")
    if any(word in key for word in FORBIDDEN):
        return
    for step in way:
        if not isinstance(config.get(step), dict):
            if kind != "set":
                return
            config[step] = {}
        config = config[step]
    if kind == "set":
        config[last] = value
    elif last in config and kind == "drop":
        del config[last]
    elif last in config and kind == "misspell":
        config[last[:-1] + "x"] = config.pop(last)
    elif last in config:
        config[last] = {last: config[last]}


def outcome(capsys, arguments):
    """Runs a command; asserts that it ran, or said one line."""
    capsys.readouterr()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 3 * 2**30, hard))
    code = 0
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        os.environ.pop("PL_GLOBAL_SEED", None)
    lines = capsys.readouterr().err.strip().splitlines()
    if code == 0:
        return None
    shown = "\n".join(lines)
    assert code == 2, shown
    assert lines, "an exit without a word"
    assert lines[-1].startswith("error: "), shown
    assert sum(line.startswith("error: ") or "Traceback" in line for line in lines) == 1, shown
    return lines[-1]


def fuzz(examples):
    def decorate(test):
        return settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # to make an example smaller takes many fits more
            database=None,
            suppress_health_check=list(HealthCheck),
        )(test)

    return decorate


def check_recipe(capsys, folder, name, edits, encoding):
    config = base(name)
    for change in edits:
        edit(config, *change)
    path = Path(folder, "recipe.yaml")
    text = yaml.safe_dump(config, allow_unicode=True)
    path.write_bytes(text.encode(encoding))
    note(f"{encoding}\n{text}")
    outcome(capsys, ["fit", f"--config={path}"])


ARGUMENTS = (st.sampled_from(RECIPES), EDITS, st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "latin-1"]))


def _encodes(edits, encoding):
    return encoding != "latin-1" or "\u4e2d" not in str(edits)


pytestmark = pytest.mark.filterwarnings("ignore")


@fuzz(6)
@given(*ARGUMENTS)
def test_edited_recipes(own_folder, capsys, name, edits, encoding):
    check_recipe(capsys, own_folder, name, edits, encoding if _encodes(edits, encoding) else "utf-8")


@pytest.mark.slow
@fuzz(500)
@given(*ARGUMENTS)
def test_many_edited_recipes(own_folder, capsys, name, edits, encoding):
    check_recipe(capsys, own_folder, name, edits, encoding if _encodes(edits, encoding) else "utf-8")


def damaged(content, seed):
    """Bytes that are cut off, changed in one place, or followed by others."""
    chance = random.Random(seed)
    kind = seed % 3
    if kind == 0:
        return content[: chance.randrange(len(content))]
    if kind == 1:
        place = chance.randrange(len(content))
        return content[:place] + bytes([content[place] ^ (1 << chance.randrange(8))]) + content[place + 1 :]
    place = chance.randrange(len(content))
    return content[:place] + chance.randbytes(40) + content[place:]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    before = Path.cwd()
    os.chdir(folder)
    try:
        more = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
        main(
            [
                "fit",
                "--config=sine_seq2seq",
                "--data.steps_per_epoch=2",
                "--data.eval_windows=10",
                "--model.hidden_size=4",
                *more,
            ]
        )
        main(["export", "--config=sine_seq2seq", "--ckpt_path=best", "--output=out", "--onnx=false"])
    finally:
        os.chdir(before)
        os.environ.pop("PL_GLOBAL_SEED", None)
    return folder  # fmt: skip


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 60), marks=pytest.mark.slow)])
def test_damaged_checkpoints(seeds, checkpoint, own_folder, capsys):
    content = next(checkpoint.rglob("best.ckpt")).read_bytes()
    for seed in seeds:
        path = own_folder / f"{seed}.ckpt"
        path.write_bytes(damaged(content, seed))
        line = outcome(
            capsys,
            [
                "test",
                "--config=sine_seq2seq",
                "--data.eval_windows=10",
                "--trainer.accelerator=cpu",
                f"--ckpt_path={path}",
            ],
        )
        assert line is None or str(path) in line or "the checkpoint" in line, line  # fmt: skip


@pytest.mark.parametrize("size", [0, 1, 4096, 65536])
def test_a_checkpoint_that_is_cut_off_is_named(size, own_folder, capsys):
    torch.save({"state_dict": {"net.w": torch.zeros(100_000)}, "pytorch-lightning_version": "2"}, "whole.ckpt")
    Path("cut.ckpt").write_bytes(Path("whole.ckpt").read_bytes()[:size])
    assert "cut.ckpt" in outcome(capsys, ["test", "--config=sine_seq2seq", "--ckpt_path=cut.ckpt"])


WRONG = (None, [], [1], {}, {"net.head.bias": None}, {"net.head.bias": [1.0]}, {1: 2}, "x")
PARTS = ("state_dict", "hyper_parameters", "training", "loops", "optimizer_states", "ranks", "callbacks", "metrics")
DEFAULT = [("state_dict", None), ("state_dict", [1]), ("training", [1])]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param(key, value, marks=[] if (key, value) in DEFAULT else pytest.mark.slow)
        for key in PARTS
        for value in WRONG
    ],
)
def test_checkpoints_of_wrong_types(key, value, checkpoint, own_folder, capsys):
    content = torch.load(next(checkpoint.rglob("last.ckpt")), weights_only=True)
    content[key] = value
    torch.save(content, "wrong.ckpt")
    more = ["--config=sine_seq2seq", "--data.steps_per_epoch=2", "--data.eval_windows=10", "--trainer.accelerator=cpu"]
    line = outcome(capsys, ["test", *more, "--ckpt_path=wrong.ckpt"])
    if key == "state_dict":
        assert line is not None
    outcome(capsys, ["fit", *more, "--trainer.max_epochs=2", "--trainer.logger=false", "--ckpt_path=wrong.ckpt"])


@pytest.mark.parametrize("seeds", [range(12), pytest.param(range(12, 200), marks=pytest.mark.slow)])
def test_damaged_exports(seeds, checkpoint, own_folder):
    files = {path.name: path.read_bytes() for path in (checkpoint / "out").iterdir() if path.is_file()}
    for seed in seeds:
        for name in files:
            for other, content in files.items():
                Path(other).write_bytes(damaged(content, seed) if other == name else content)
            with suppress(ArgumentError):
                hub.load_exported(".")


@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 60), marks=pytest.mark.slow)])
def test_damaged_idx_files(seeds, fake_mnist_dir, own_folder, capsys):
    files = {path.name: path.read_bytes() for path in fake_mnist_dir.iterdir()}
    names = sorted(files)
    for seed in seeds:
        damaged_name = names[seed % len(names)]
        for name, content in files.items():
            head = damaged(content[:64], seed) + content[64:] if seed % 2 else damaged(content, seed)
            Path(name).write_bytes(head if name == damaged_name else content)
        small = ["--model.hidden_size=4", "--trainer.fast_dev_run=true", "--trainer.accelerator=cpu"]
        data = [f"--data.data_dir={own_folder}", "--data.verify=false"]
        outcome(capsys, ["fit", "--config=mnist_rnn", *data, *small])
