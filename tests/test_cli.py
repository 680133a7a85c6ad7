"""The command line, through `main([...])` as a user types it."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnn_lightning import __version__
from rnn_lightning.cli import main
from rnn_lightning.recipes import recipes

pytestmark = pytest.mark.usefixtures("own_folder")
SINE = ["--data.eval_windows=60", "--data.steps_per_epoch=4", "--trainer.max_epochs=2", "--trainer.accelerator=cpu"]
SINE += [f"--{name}.enabled=false" for name in ("series_figures", "gradient_reach")]  # they take most of such a run
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory):
    """The folder `runs` of a short run of `sine_seq2seq`, with everything that a run writes."""
    folder = tmp_path_factory.mktemp("fitted")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(["fit", "--config=sine_seq2seq", *SINE[:4], *QUIET])
    return folder / "runs"


@pytest.fixture
def fitted(own_folder, whole_run):
    """A copy of it in the current folder."""
    shutil.copytree(whole_run, "runs")
    return Path("runs/sine_seq2seq/version_0")


def small_mnist(folder):
    return [f"--data.data_dir={folder}", "--data.verify=false", "--data.val_size=100", "--data.batch_size=50"]


def test_fit_ends_with_a_held_out_metric_and_how_to_look_at_it(fitted, capsys):
    main(["fit", "--config", "sine_seq2seq", *SINE, *QUIET])
    out = capsys.readouterr().out
    assert "test/loss" in out
    assert "tensorboard --logdir runs/sine_seq2seq" in out.strip().splitlines()[-1]
    assert sorted(p.name for p in fitted.parent.iterdir()) == ["version_0", "version_1"]


def test_a_run_keeps_config_checkpoints_and_scalars(fitted):
    assert sorted(p.name for p in (fitted / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    config = yaml.safe_load((fitted / "config.yaml").read_text())
    assert config["data"]["init_args"]["steps_per_epoch"] == 4
    saved = torch.load(fitted / "checkpoints/best.ckpt", weights_only=True)
    assert saved["hyper_parameters"]["input_size"] == saved["hyper_parameters"]["output_size"] == 1
    events = EventAccumulator(str(fitted))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert {"val/loss", "val/mae", "train/mae", "epoch"} <= set(tags)


def test_test_after_fit_in_all_the_ways_a_checkpoint_is_named(fitted, capsys):
    def loss(*arguments):
        capsys.readouterr()
        main(["test", *arguments, "--data.eval_windows=60", "--trainer.accelerator=cpu", *QUIET])
        return next(line for line in capsys.readouterr().out.splitlines() if "test/loss" in line).split()[-1]

    last = fitted / "checkpoints/last.ckpt"
    found = {
        loss("--config", "sine_seq2seq", "--ckpt_path", "last"),
        loss("--config", "sine_seq2seq", f"--ckpt_path={last}"),
        loss("--ckpt_path", str(last)),
        loss("--config", str(fitted / "config.yaml"), "--ckpt_path=last"),
    }
    assert len(found) == 1
    assert len(list(fitted.parent.iterdir())) == 1  # evaluating opens no run


@pytest.mark.parametrize("subcommand", ["validate", "predict"])
def test_validate_and_predict(subcommand, fitted):
    main([subcommand, "--config", "sine_seq2seq", "--ckpt_path=best", "--trainer.accelerator=cpu", *QUIET])
    if subcommand == "predict":
        with open(fitted / "predictions.csv") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["sequence", "step", "x_0", "y", "prediction"]
        assert len(rows) == 20
        assert sorted(p.name for p in fitted.glob("predictions*")) == [f"predictions.{s}" for s in ("csv", "png")]


def test_predict_goes_on_beyond_the_window(fitted, fail, fake_mnist_dir):
    predict = ["predict", "--config=sine_seq2seq", "--ckpt_path=best", "--trainer.accelerator=cpu", *QUIET]
    main([*predict, "--horizon=15"])
    with open(fitted / "predictions.csv") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(35))
    assert [row["y"] == "" for row in rows] == [False] * 20 + [True] * 15
    assert [float(row["x_0"]) for row in rows[20:]] == pytest.approx([float(r["prediction"]) for r in rows[19:-1]])
    assert "horizon" in fail(*predict, "--horizon=-1")
    assert "is for predict only" in fail("fit", "--config=sine_seq2seq", "--horizon=5", *SINE, *QUIET)
    main(["fit", "--config=mnist_rnn", *small_mnist(fake_mnist_dir), "--trainer.max_epochs=1", *QUIET])
    before = {p: p.stat().st_mtime_ns for p in Path("runs").rglob("*")}
    mnist = ["predict", "--config=mnist_rnn", "--ckpt_path=best", *small_mnist(fake_mnist_dir), *QUIET]
    assert "an output at every step" in fail(*mnist, "--horizon=5")
    assert before == {p: p.stat().st_mtime_ns for p in Path("runs").rglob("*")}, "nothing was written"
    main(mnist)
    names = {p.name for p in Path("runs/mnist_rnn/version_0").glob("predictions*")}
    assert {"predictions.csv", "predictions.png"} <= names
    assert "predictions.npz" not in names, "nobody asked for arrays"
    main([*mnist, "--arrays=true"])
    assert list(Path("runs/mnist_rnn/version_0").rglob("predictions.npz")), "beside the earlier predictions"


def test_the_checkpoint_fixes_the_network_and_what_is_typed_wins(fitted, capsys, fail):
    main(["fit", "--config=sine_seq2seq", "--model.hidden_size=9", *SINE, *QUIET])
    small = "runs/sine_seq2seq/version_1/checkpoints/last.ckpt"
    test = ["test", "--config=sine_seq2seq", f"--ckpt_path={small}", "--data.eval_windows=60", *QUIET]
    main(test)  # the recipe says 100, the checkpoint 9
    assert "does not fit" in fail(*test, "--model.hidden_size=8") or "hidden_size=9" in fail(
        *test, "--model.hidden_size=8"
    )


def test_a_fit_goes_on_from_its_last_checkpoint(fitted):
    main(["fit", "--config=sine_seq2seq", "--ckpt_path=last", *SINE, "--trainer.max_epochs=3", *QUIET])
    saved = torch.load("runs/sine_seq2seq/version_0/checkpoints/last.ckpt", weights_only=True)
    assert (saved["epoch"], saved["global_step"]) == (3, 12)  # what is over


def test_a_run_that_ends_within_an_epoch_keeps_its_last_state():
    main(["fit", "--config=sine_seq2seq", *SINE, *QUIET, "--trainer.max_steps=2"])
    saved = torch.load("runs/sine_seq2seq/version_0/checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 2


def test_a_run_without_a_logger_writes_no_config_here():
    main(["fit", "--config=sine_seq2seq", *SINE, *QUIET, "--trainer.logger=false"])
    main(["fit", "--config=sine_seq2seq", *SINE, *QUIET, "--trainer.logger=false"])
    assert not Path("config.yaml").exists()


def test_a_file_wins_over_a_recipe_of_its_name(capsys):
    text = recipes()["sine_seq2seq"].read_text().replace("hidden_size: 100", "hidden_size: 3")
    Path("sine_seq2seq").write_text(text)
    with pytest.raises(SystemExit):
        main(["fit", "--config", "sine_seq2seq", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]["hidden_size"] == 3


def test_a_second_config_overrides_the_first_and_the_printed_one_can_be_fed_back(capsys):
    Path("more.yaml").write_text("trainer: {max_epochs: 3}\n")
    with pytest.raises(SystemExit) as end:
        main(["fit", "--config", "sine_tbptt", "--config", "more.yaml", "--model.tbptt.k1=10", "--print_config"])
    assert end.value.code == 0
    Path("all.yaml").write_text(capsys.readouterr().out)
    config = yaml.safe_load(Path("all.yaml").read_text())
    assert config["trainer"]["max_epochs"] == 3
    assert config["model"]["init_args"]["tbptt"]["k1"] == 10
    main(["fit", "--config", "all.yaml", "--trainer.fast_dev_run=1", "--data.eval_windows=50", *QUIET])


def test_version_and_help(capsys):
    for arguments, words in (
        (["--version"], __version__),
        (["fit", "--model.help", "Seq2Seq"], "Dropout probability for the hidden state"),
        (["fit", "--data.help", "SyntheticSine"], "--data.n_steps"),
    ):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
        assert words in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config=sine_sequence"], "the recipes are adding_problem, "),
        (["--config=sine_tbptt", "--model.tbptt.k1=0"], "tbptt.k1=0"),
        (["--config=sine_tbptt", "--model.tbptt.k1=9", "--model.tbptt.k2=5"], "tbptt.k2=5"),
        (["--config=sine_seq2seq", "--model.state_dropout=1"], "state_dropout=1"),
        (["--config=sine_seq2seq", "--model.hiddn=3"], "hiddn"),
        (["--config=sine_seq2seq", "--model.cell=tcn"], "'rnn', 'lstm', 'gru'"),
        (["--config=sine_tbptt", "--model.bidirectional=true"], "bidirectional"),
        (["--config=sine_seq2seq", "--model.carry_state=true"], "carry_state"),
        (["--config=sine_tbptt", "--trainer.gradient_clip_val=1"], "tbptt.gradient_clip_val=1"),
        (["--config=sine_seq2seq", "--data.n_steps=2000"], "n_steps=2000"),
        (["--config=sine_seq2seq", "--length=-1"], "length"),
        (["--config=sine_seq2seq", "--model.output_size=2"], "model.output_size=2, but the data has 1: leave it out"),
        (["--config=sine_seq2seq", "--ckpt_path=nowhere.ckpt"], "nowhere.ckpt"),
        (["--config=sine_seq2seq", "--ckpt_path=best"], "no run in runs/sine_seq2seq"),
        (["--config=mnist_rnn", "--data.layout=columns"], "layout"),
        (["--config=mnist_rnn", "--data=SyntheticSine", "--model.lr_interval=hour"], "lr_interval"),
        ([], "required"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing_behind(arguments, words, fail):
    assert words in fail("fit", *arguments, "--trainer.accelerator=cpu")
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("subcommand", ["validate", "test", "predict"])
def test_evaluating_needs_a_checkpoint(subcommand, fail):
    assert "--ckpt_path" in fail(subcommand, "--config=sine_seq2seq")


def test_another_models_checkpoint_is_refused(fitted, fake_mnist_dir, fail):
    arguments = ["--config=mnist_rnn", f"--ckpt_path={fitted}/checkpoints/best.ckpt", *small_mnist(fake_mnist_dir)]
    assert "holds a Seq2Seq" in fail("test", *arguments)
    cut_off = fitted / "checkpoints/cut.ckpt"
    cut_off.write_bytes((fitted / "checkpoints/best.ckpt").read_bytes()[:3000])
    assert "is not a readable checkpoint" in fail("test", "--config=sine_seq2seq", f"--ckpt_path={cut_off}")


def test_a_missing_or_damaged_mnist_file_is_one_line(make_mnist, tmp_path, fail):
    folder = make_mnist(tmp_path / "mnist")
    arguments = ["fit", "--config=mnist_rnn", *small_mnist(folder), "--trainer.accelerator=cpu"]
    images = folder / "train-images-idx3-ubyte"
    content = images.read_bytes()
    images.write_bytes(content[:-1])
    assert "train-images-idx3-ubyte" in fail(*arguments)
    assert images.read_bytes() == content[:-1]
    images.unlink()
    assert "train-images-idx3-ubyte" in fail(*arguments)


def test_a_loss_that_is_not_finite_says_at_which_step(fail):
    line = fail("fit", "--config=sine_seq2seq", *SINE, *QUIET, "--model.optimizer.lr=1e30")
    assert "optimizer step 1:" in line


def test_data_without_sizes_gets_the_message_to_set_them(fail, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from lightning.pytorch import LightningDataModule\nclass Mine(LightningDataModule):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "Mine has no input_size, which the model needs: set self.input_size" in fail(
        "fit", "--config=sine_seq2seq", "--data=mine.Mine"
    )


def run_module(*arguments, **environment):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-m", "rnn_lightning", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow  # by default, the two processes of tests/test_runs.py are forked
@pytest.mark.parametrize("recipe", ["mnist_rnn", "sine_tbptt"])
def test_two_processes_fit_and_evaluate(recipe, make_mnist, tmp_path):
    """Over gloo; 201 test images are an odd number, which no rank may fill up with a duplicate."""
    data = ["--data.eval_windows=61", "--data.steps_per_epoch=3"]
    if recipe == "mnist_rnn":
        data = small_mnist(make_mnist(tmp_path / "mnist", train=301, test=201))
    settings = ["--trainer.accelerator=cpu", "--trainer.max_epochs=1", *data, *QUIET]
    done = run_module("fit", "--config", recipe, "--trainer.devices=2", "--trainer.strategy=ddp", *settings)
    assert done.returncode == 0, done.stderr
    assert "test/loss" in done.stdout

    def metrics(*more):
        shown = run_module("test", "--config", recipe, "--ckpt_path=last", *settings[:1], *data, *QUIET, *more)
        assert shown.returncode == 0, shown.stderr
        return [float(line.strip(" │").split()[-1]) for line in shown.stdout.splitlines() if "test/" in line]

    alone, together = metrics(), metrics("--trainer.devices=2", "--trainer.strategy=ddp")
    assert len(alone) == 2
    assert together == pytest.approx(alone, rel=1e-6)


def test_fast_dev_run_writes_nothing():
    main(["fit", "--config=sine_seq2seq", "--trainer.fast_dev_run=true", "--data.eval_windows=50", *QUIET])
    assert list(Path.cwd().iterdir()) == []


def test_a_resumed_runs_config_does_not_name_the_checkpoint_it_came_from(fitted, fail):
    main(["fit", "--config=sine_seq2seq", "--ckpt_path=last", *SINE, "--trainer.max_epochs=3", *QUIET])
    assert "--ckpt_path" in fail("test", "--config=runs/sine_seq2seq/version_0/config_1.yaml", *QUIET)


def test_best_and_last_lie_where_the_logger_writes(fail):
    elsewhere = "--trainer.logger.save_dir=elsewhere"
    main(["fit", "--config=sine_seq2seq", elsewhere, *SINE, *QUIET])
    assert "no run in runs/sine_seq2seq" in fail("test", "--config=sine_seq2seq", "--ckpt_path=best")
    main(["test", "--config=sine_seq2seq", elsewhere, "--ckpt_path=best", "--data.eval_windows=50", *QUIET])


def test_what_is_typed_holds_wherever_it_stands(capsys):
    for arguments in (["--model.hidden_size=7", "--config=sine_seq2seq"], ["-csine_seq2seq", "--model.hidden_size=7"]):
        with pytest.raises(SystemExit):
            main(["fit", *arguments, "--print_config"])
        assert yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]["hidden_size"] == 7


def test_another_nonlinearity_or_optimizer_is_refused(fitted, fail):
    relu = f"--ckpt_path={fitted}/checkpoints/last.ckpt"
    assert "nonlinearity='relu'" in fail("test", "--config=sine_seq2seq", relu, "--model.nonlinearity=tanh", *QUIET)
    assert "with Adam" in fail("fit", "--config=sine_seq2seq", relu, "--model.optimizer=SGD", *SINE, *QUIET)


def test_a_file_that_is_no_runs_checkpoint(fitted, fail):
    torch.save({"a": torch.zeros(1)}, "a.pt")
    assert "is not a checkpoint of a run" in fail("test", "--config=sine_seq2seq", "--ckpt_path=a.pt")
    torch.save({"a": 1}, "b.pt")
    assert "contains no state dict" in fail("fit", "--config=sine_seq2seq", "--model.weights=b.pt")


def test_a_configuration_as_a_dict(fitted, capsys):
    config = yaml.safe_load((fitted / "config.yaml").read_text())
    config |= {"ckpt_path": str(fitted / "checkpoints/last.ckpt"), "verbose": True}
    config["trainer"] |= {"enable_progress_bar": False, "enable_model_summary": False}
    main({"subcommand": "test", "test": config})
    assert "test/loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model.optimizer.lr=-1"], "optimizer cannot be made"),
        (["--trainer.accelerator=foo"], "foo"),
        (["--trainer.accumulate_grad_batches=0"], "trainer.accumulate_grad_batches=0: give at least 1"),
        (["--trainer.check_val_every_n_epoch=0"], "trainer.check_val_every_n_epoch=0: give at least 1"),
        (["--trainer.strategy=foo"], "foo"),
        (["--seed_everything=-1"], "-1"),
        (["--model.lr_scheduler=StepLR"], "step_size"),
    ],
)
def test_what_lightning_and_torch_refuse_is_one_line_too(arguments, words, fail):
    assert words in fail("fit", "--config=sine_seq2seq", *arguments, *QUIET)
    assert list(Path.cwd().iterdir()) == []


NULLS = [  # of the Trainer, the model, the data, and of what they and the callbacks are made of
    ("trainer.max_steps", "-1"),
    ("trainer.use_distributed_sampler", "True"),
    ("model.init_args.bias", "True"),
    ("model.init_args.hidden_size", "128"),
    ("model.init_args.optimizer.init_args.differentiable", "False"),
    ("model.init_args.tbptt.step_every", "'chunk'"),
    ("data.init_args.batch_size", "50"),
    ("forecasts.level", "0.9"),
    ("series_figures", None),
]


@pytest.mark.parametrize(("key", "default"), NULLS)
def test_null_where_a_value_is_needed_is_one_line(key, default, fail, tmp_path):
    """From a file, as jsonargparse refuses some of them where they are typed."""
    config = yaml.safe_load(recipes()["sine_tbptt"].read_text())
    *inner, last = key.split(".")
    place = config
    for name in inner:
        place = place.setdefault(name, {})
    place[last] = None
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(config))
    shown = key.replace("init_args.", "")
    ending = "give its arguments, or leave it out" if default is None else f"leave it out for the default, {default}"
    message = fail("fit", f"--config={path}", *QUIET)
    assert f"{shown}=null: " in message
    assert ending in message


@pytest.mark.parametrize("arguments", [["fit"], ["test", "--ckpt_path=last"]])
def test_no_trainer_at_all_is_one_line(arguments, fitted, fail):
    Path("mine.yaml").write_text("trainer: null\n")
    line = fail(*arguments, "--config=sine_seq2seq", "--config=mine.yaml")
    assert "trainer=null: give its arguments, or leave it out" in line


def test_null_is_a_value_where_the_type_says_so(tmp_path):
    """Each of these is null by default, or may be."""
    nulls = ["trainer.gradient_clip_val", "trainer.limit_val_batches", "model.lr_scheduler", "model.loss"]
    main(["fit", "--config=sine_seq2seq", *(f"--{name}=null" for name in nulls), "--trainer.fast_dev_run=true", *QUIET])


def test_a_folder_that_cannot_be_written_to_is_one_line(fail):
    Path("runs").write_text("a file")
    assert "runs" in fail("fit", "--config=sine_seq2seq", *SINE, *QUIET)


def test_a_schedule_that_ends_before_the_run_is_one_line(fail):
    line = fail("fit", "--config=sine_deep", "--data.eval_windows=50", "--trainer.max_epochs=16", *QUIET)
    assert "lr_scheduler.total_steps=1500" in line


def test_weights_that_are_useless_after_the_last_step_are_not_kept_as_best(fail):
    few = ["--data.steps_per_epoch=1", "--data.eval_windows=50", "--trainer.max_epochs=1"]
    line = fail("fit", "--config=sine_seq2seq", "--model.optimizer.lr=1e30", *few, *QUIET)
    assert "val/loss" in line
    assert not list(Path("runs").rglob("best.ckpt"))


def test_the_users_own_checkpoints_do_not_disturb_ours():
    mine = ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=3"]
    main(["fit", "--config=sine_seq2seq", *SINE, *QUIET, *mine, "--trainer.max_steps=6"])
    saved = torch.load("runs/sine_seq2seq/version_0/checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 6


def test_a_mnist_model_of_the_wrong_kind_is_one_line(fake_mnist_dir, fail):
    arguments = ["fit", "--config=mnist_rnn", *small_mnist(fake_mnist_dir), "--trainer.accelerator=cpu", *QUIET]
    assert "use Seq2Vec" in fail(*arguments, "--model=Seq2Seq", "--model.task=classification")


def print_config(capsys, *arguments):
    """What `fit --print_config` shows of the model."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["fit", *arguments, "--print_config"])
    assert end.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]


def test_a_recipes_nonlinearity_does_not_stand_in_the_way_of_another_cell(fail):
    gru = ["fit", "--config=sine_seq2seq", "--model.cell=gru", "--trainer.fast_dev_run=1", "--data.eval_windows=50"]
    main([*gru, *QUIET])
    assert "nonlinearity" in fail(*gru, "--model.nonlinearity=relu", *QUIET), "typed by hand it is refused"


@pytest.mark.parametrize("value", ["null", "None"])
def test_null_can_be_typed_within_tbptt(value, capsys):
    tbptt = print_config(capsys, "--config=sine_tbptt", f"--model.tbptt.k2={value}")["tbptt"]
    assert (tbptt["k1"], tbptt["k2"]) == (20, None)


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (["tbptt.help"], "--model.tbptt.k2"),
        (["optimizer.help=Adam"], "--model.optimizer.weight_decay"),
        (["optimizer.help", "torch.optim.SGD"], "--model.optimizer.momentum"),
        (["optimizer.help"], "--model.optimizer"),
        (["lr_scheduler.help", "WarmUp"], "--model.lr_scheduler.steps"),
        (["loss.help=HuberLoss"], "--model.loss.delta"),
        (["metrics.help=MeanSquaredError"], "--model.metrics.squared"),
    ],
)
def test_the_help_of_what_is_within_a_model(of, words, capsys):
    for config in ([], ["--config=sine_tbptt"]):
        with pytest.raises(SystemExit) as end:
            main(["fit", *config, f"--model.{of[0]}", *of[1:]])
        assert end.value.code == 0
        assert words in capsys.readouterr().out


def test_the_help_of_no_class_is_one_line(fail):
    assert "Nothing" in fail("fit", "--model.optimizer.help=Nothing")


def test_a_size_that_is_not_the_datas_is_refused(fail):
    settings = ["fit", "--config=sine_seq2seq", *SINE, *QUIET]
    assert "model.input_size=3, but the data has 1: leave it out" in fail(*settings, "--model.input_size=3")
    main([*settings, "--model.input_size=1", "--trainer.fast_dev_run=1"])


@pytest.mark.parametrize("state_dict", [None, [], "weights"])
def test_a_checkpoint_with_a_damaged_state_dict_is_one_line(state_dict, fitted, fail):
    saved = torch.load(fitted / "checkpoints/best.ckpt", weights_only=True)
    torch.save({**saved, "state_dict": state_dict}, "damaged.ckpt")
    for arguments in (["test", "--config=sine_seq2seq"], ["export", "--output=out"]):
        assert "'damaged.ckpt' is damaged: its state_dict is a" in fail(*arguments, "--ckpt_path=damaged.ckpt")


def test_options_are_given_in_full(fail):
    """`--co` was taken for `--config` in one place and refused in another."""
    assert "--co" in fail("fit", "--co=sine_seq2seq")
    assert "--config: expected one argument" in fail("fit", "--config")


def test_a_configuration_by_a_url(capsys):
    fsspec.filesystem("memory").pipe("/mine.yaml", recipes()["sine_tbptt"].read_bytes())
    assert print_config(capsys, "--config=memory://mine.yaml", "--model.hidden_size=7")["tbptt"]["k2"] == 40
    with pytest.raises(SystemExit):
        main(["fit", "--config=memory://nowhere.yaml"])
    assert "error: --config memory://nowhere.yaml cannot be read" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["fit", "--config=nowhere://mine.yaml"])
    assert "error: nowhere://mine.yaml cannot be opened (Protocol not known: nowhere)" in capsys.readouterr().err


def test_a_misspelt_subcommand_is_told_all(fail):
    """Though only the parser of the one that is typed is made, otherwise."""
    line = fail("fitt")
    assert all(f"'{name}'" in line for name in ("fit", "validate", "test", "predict", "export")), line


def test_export_is_a_subcommand_like_the_others(capsys):
    for arguments, words in (
        (["--help"], "export Writes a checkpoint's network"),
        (["export", "--help"], "--onnx {true,false}"),
        (["export", "--model.help=Seq2Seq"], "Dropout probability for the hidden state"),
    ):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
        assert words in " ".join(capsys.readouterr().out.split())
