"""Where runs lie, and how they are found again: with the loggers, folders, models and data that people bring along."""

import multiprocessing
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import fsspec
import numpy as np
import own_parts
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnn_lightning import hub, runs
from rnn_lightning.callbacks import TENSORBOARD_CALLBACKS
from rnn_lightning.cli import main
from rnn_lightning.cli.run_name import name_of_file

pytestmark = pytest.mark.usefixtures("own_parts_folder")
SHORT = [
    "--trainer.max_epochs=1",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]
SHORT += [f"--{name}.enabled=false" for name in TENSORBOARD_CALLBACKS]  # they take most of such a run
OWN = ["--model=Seq2Seq", "--model.hidden_size=5", "--data=own_parts.Sales"]
MODULE = ["--model=own_parts.Mine", "--data=own_parts.Sales"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/co2.csv", "co2"),
        ("a/jargon.dict.dz", "jargon"),
        ("ptb.train.txt.gz", "ptb.train"),
        ("books", "books"),
        ("/", None),
        (".hidden", ".hidden"),
    ],
)
def test_a_run_is_named_after_its_file(path, name):
    assert name_of_file(path) == name


def test_a_run_on_the_folder_one_is_in_has_a_name(tmp_path, monkeypatch):
    (tmp_path / "books" / "one").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "books")
    assert name_of_file(".") == name_of_file("one/..") == "books"


def test_every_start_keeps_the_files_of_all_earlier_ones(tmp_path):
    for text in ("one", "two", "three"):
        run = runs.Run.begin(str(tmp_path), "name", "a.Model", "a.Data", text)
        assert runs.Run.read(str(tmp_path)) == run
        assert (tmp_path / run.config).read_text() == text
        (tmp_path / "metrics.csv").write_text(text)
        runs.keep(str(tmp_path / "metrics.csv"))
    for name in ("config.yaml", "config_1.yaml", "config_2.yaml"):
        assert (tmp_path / name).is_file()
    assert [(tmp_path / f"metrics_{n}.csv").read_text() for n in (1, 2, 3)] == ["one", "two", "three"]


def test_a_version_is_free_if_no_run_has_files_where_the_logger_writes(tmp_path):
    (tmp_path / "both" / "csv").mkdir(parents=True)
    (tmp_path / "both" / "csv" / "metrics.csv").touch()
    assert runs.free_version(str(tmp_path), "both") == "both"
    assert runs.free_version(str(tmp_path), "both", below="csv") == "both-1"


def test_the_predictions_of_one_process_are_not_written_over(tmp_path):
    (tmp_path / "predictions_rank1.csv").touch()
    assert runs.folder_of_predictions(f"{tmp_path}/checkpoints/best.ckpt", "name") == f"{tmp_path}/predictions_1"


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A remote file system, `bucket://`; returns the folder that it is in truth."""
    monkeypatch.setenv("BUCKET", str(tmp_path / "far away"))
    fsspec.register_implementation("bucket", own_parts.Bucket, clobber=True)
    own_parts.Bucket.clear_instance_cache()
    return tmp_path / "far away"


@pytest.fixture
def printed(capsys):
    """Runs a command, and returns what it prints to the standard output."""

    def run(*arguments):
        capsys.readouterr()
        main([*arguments])
        return capsys.readouterr().out

    return run


LOGGERS = {
    "TensorBoard": [],
    "CSV": ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=runs"],
    "CSV added": ["--trainer.logger+=CSVLogger", "--trainer.logger.version=both"],
    "both": ["--trainer.logger+=CSVLogger", "--trainer.logger.save_dir=logs"],
    "none": ["--trainer.logger=false"],
    "Lightning's": ["--trainer.logger=true"],
    "a named version": ["--trainer.logger.version=baseline"],
    "another folder": ["--trainer.default_root_dir=elsewhere"],
    "a folder below": ["--trainer.logger.sub_dir=of/mine"],
    "a logger with a place of its own": ["--trainer.logger=own_parts.Elsewhere"],
    "a logger without a folder": ["--trainer.logger=own_parts.Silent"],
    "a logger with one folder for all": ["--trainer.logger=own_parts.Shared", "--trainer.logger.save_dir=."],
    "wandb": ["--trainer.logger=WandbLogger", "--trainer.logger.save_dir=.", "--trainer.logger.offline=true"],
}
QUICK = {"both"}
"""The others differ in the logger alone; the default set has TensorBoard's in a remote folder, too."""
OTHERS = {"runs", "logs", "elsewhere", "out", "again", "config.yaml", "wandb"}


def all_of_a_run(printed, logger, shown):
    """A fit, and all that follows it; `shown` is where the first run must lie."""
    Path("config.yaml").write_text("mine")
    fit = ["fit", *OWN, *SHORT, *logger]
    printed(*fit)
    assert "test/loss" in printed("test", *OWN, *SHORT, *logger, "--ckpt_path=best")
    assert runs.Run.read(shown) is not None
    printed(*fit, "--trainer.max_epochs=2", "--ckpt_path=last")
    root = shown.rpartition("/Seq2Seq-Sales")[0] if "Seq2Seq-Sales" in shown else shown.rpartition("/lightning_logs")[0]
    newest = runs.find_checkpoint("last", root, "Seq2Seq-Sales")
    assert newest == f"{shown}/checkpoints/last.ckpt", "the run continues in its folder"
    assert runs.Run.read(shown).config == "config_1.yaml"
    predictions = (
        printed("predict", *OWN, *SHORT, *logger, "--ckpt_path=last").split("Predictions: ")[1].splitlines()[0]
    )
    assert all(Path(path.strip()).is_file() for path in predictions.split(","))
    printed("export", *OWN, *logger, "--ckpt_path=best", "--output=out", "--onnx=false")
    assert hub.load_exported("out").layers.hidden_size == 5
    printed("test", f"--config={runs.config_of(newest)}", "--ckpt_path=best", *SHORT)
    printed("export", f"--config={runs.config_of(newest)}", "--ckpt_path=best", "--output=again", "--onnx=false")
    assert Path("config.yaml").read_text() == "mine"
    return newest


@pytest.mark.parametrize("logger", [pytest.param(x, marks=[] if x in QUICK else pytest.mark.slow) for x in LOGGERS])
@pytest.mark.filterwarnings("ignore:There is a wandb run already in progress")  # a process for each, without a test
def test_what_follows_a_fit_finds_it(logger, printed, monkeypatch):
    if logger == "wandb":
        pytest.importorskip("wandb")
        for name in ("MODE", "SILENT"):
            monkeypatch.setenv(f"WANDB_{name}", {"MODE": "offline", "SILENT": "true"}[name])
    name = {"Lightning's": "lightning_logs", "CSV": "Seq2Seq-Sales"}.get(logger, "Seq2Seq-Sales")
    root = "elsewhere" if logger == "another folder" else "runs"
    version = {"a named version": "baseline", "a folder below": "version_0/of/mine"}.get(logger, "version_0")
    newest = all_of_a_run(printed, LOGGERS[logger], f"{root}/{name}/{version}")
    assert Path(newest).is_file()
    assert {p.name for p in Path.cwd().iterdir()} <= {root, *OTHERS}


@pytest.mark.filterwarnings("ignore:.*use of fork")  # later Pythons, of threads that the tests have
def test_a_remote_folder_holds_all_of_a_run(printed, bucket):
    all_of_a_run(
        printed,
        ["--trainer.logger.save_dir=bucket://team/runs", "--series_figures.enabled=true"],
        "bucket://team/runs/Seq2Seq-Sales/version_0",
    )
    first = bucket / "team/runs/Seq2Seq-Sales/version_0"
    assert {"run.json", "config.yaml", "checkpoints"} <= {p.name for p in first.iterdir()}
    events = EventAccumulator(str(first))
    events.Reload()
    assert "val/loss" in events.Tags()["scalars"]
    assert not any(":" in p.name for p in Path.cwd().iterdir()), "no local folder is named after the URL"
    # Another process sees the same.

    def test():
        own_parts.Bucket.clear_instance_cache()
        with open("shown.txt", "w") as file, redirect_stdout(file):
            main(["test", *OWN, *SHORT, "--trainer.logger.save_dir=bucket://team/runs", "--ckpt_path=last"])

    process = multiprocessing.get_context("fork").Process(target=test)
    process.start()
    process.join(300)
    assert process.exitcode == 0
    assert "test/loss" in Path("shown.txt").read_text()


@pytest.mark.slow
def test_the_root_of_the_trainer_may_be_remote(printed, bucket):
    settings = [*OWN, *SHORT, "--trainer.logger=false", "--trainer.default_root_dir=bucket://team"]
    printed("fit", *settings)
    assert (bucket / "team/Seq2Seq-Sales/version_0/checkpoints/best.ckpt").is_file()
    assert "test/loss" in printed("test", *settings, "--ckpt_path=best")


def test_no_file_of_another_run_or_of_the_user_is_written_over(printed):
    """Two runs under one version keep a folder each; a configuration that lay there before stays."""
    version = ["--trainer.logger.version=baseline", "--name=mine"]
    folder = Path("runs/mine/baseline")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("hand-written")
    printed("fit", *OWN, *SHORT, *version)
    checkpoint = (folder / "checkpoints/best.ckpt").read_bytes()
    printed("fit", *OWN, *SHORT, *version, "--model.hidden_size=6")
    assert (folder / "config.yaml").read_text() == "hand-written"
    assert (folder / "checkpoints/best.ckpt").read_bytes() == checkpoint
    run = runs.Run.read(str(folder))
    assert run.config == "config_1.yaml"
    assert yaml.safe_load((folder / run.config).read_text())["model"]["init_args"]["hidden_size"] == 5
    assert Path("runs/mine/baseline-1/checkpoints/best.ckpt").is_file()
    # A checkpoint by its path finds the configuration of its own run.
    assert "test/loss" in printed("test", f"--ckpt_path={folder}/checkpoints/best.ckpt", *SHORT)


@pytest.mark.parametrize(
    "added", [pytest.param(False, marks=pytest.mark.slow), True], ids=["alone", "beside TensorBoard's"]
)
def test_loggers_of_one_version_write_over_nothing(added, printed):
    """Lightning's CSVLogger deletes the `metrics.csv` that it finds."""
    logger = f"--trainer.logger{'+' * added}=CSVLogger"
    fit = ["fit", *OWN, *SHORT, logger, "--trainer.logger.version=3", "--name=mine"]
    root = Path("runs/mine")
    versions = ["version_3", "version_3-1", "version_3-2"] if not added else ["version_3", "version_3-1"]
    before = {}
    for version in versions:
        printed(*fit)
        assert (root / version / "metrics.csv").is_file()
        assert all(file.read_bytes() == content for file, content in before.items())
        before = {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}
    recorded = {file.parent.name for file in root.rglob("run.json")}
    assert recorded == {*versions} if not added else len(recorded) == 2


def test_a_resumed_run_keeps_the_metrics_of_its_first_part(printed):
    fit = ["fit", *OWN, *SHORT, "--trainer.logger=CSVLogger"]
    printed(*fit)
    first = Path("runs/Seq2Seq-Sales/version_0/metrics.csv")
    content = first.read_bytes()
    printed(*fit, "--ckpt_path=last", "--trainer.max_epochs=2")
    assert first.with_name("metrics_1.csv").read_bytes() == content
    assert first.is_file()


def test_runs_are_found_however_deep_they_lie(printed, tmp_path):
    printed("fit", *OWN, *SHORT, "--name=a/b/c/d", "--trainer.logger.sub_dir=of/mine")
    Path("runs/again").symlink_to(tmp_path / "runs")  # a link that leads back
    assert "test/loss" in printed("test", *OWN, *SHORT, "--name=a/b/c/d", "--ckpt_path=best")


def test_a_run_that_was_moved_is_found(printed):
    printed("fit", *OWN, *SHORT)
    Path("archive").mkdir()
    Path("runs/Seq2Seq-Sales").rename("archive/old")
    assert "test/loss" in printed("test", *OWN, *SHORT, "--trainer.default_root_dir=archive", "--ckpt_path=best")


def test_best_and_last_are_of_the_same_model_data_and_name(printed, fail):
    printed("fit", *OWN, *SHORT)
    printed("fit", *MODULE, *SHORT)
    printed("fit", *OWN, *SHORT, "--name=small", "--model.hidden_size=3")
    assert "test/loss" in printed("test", *OWN, *SHORT, "--ckpt_path=best")
    assert "test/loss" in printed("test", *MODULE, *SHORT, "--ckpt_path=best")
    printed("export", "--name=small", "--ckpt_path=best", "--output=out", "--onnx=false")
    assert hub.load_exported("out").layers.hidden_size == 3
    other = ["--model=Seq2Seq", "--data=own_parts.OtherSales", "--ckpt_path=best"]
    assert "no run in runs/Seq2Seq-OtherSales has a checkpoint" in fail("test", *other, *SHORT)
    assert "has a checkpoint of Mine and Sales" in fail("test", *MODULE, *SHORT, "--name=small", "--ckpt_path=best")


def test_a_run_that_lasts_longer_is_not_newer(printed):
    """The newest run is the one that began last, whatever its folder is called."""
    printed("fit", *OWN, *SHORT, "--trainer.logger.version=z", "--model.hidden_size=3")
    time.sleep(0.01)
    printed("fit", *OWN, *SHORT, "--trainer.logger.version=a", "--model.hidden_size=4")
    assert "/a/" in runs.find_checkpoint("best", "runs", "Seq2Seq-Sales")


def test_a_loggers_folder_is_the_only_one_searched(printed):
    there = ["--trainer.logger.save_dir=there"]
    printed("fit", *OWN, *SHORT, *there, "--model.hidden_size=3")
    printed("fit", *OWN, *SHORT, "--model.hidden_size=4")
    printed("export", *OWN, *there, "--ckpt_path=best", "--output=out", "--onnx=false")
    assert hub.load_exported("out").layers.hidden_size == 3, "the newer run lies elsewhere"


def test_what_a_module_saves_beside_its_arguments_is_no_argument(printed):
    noted = ["--model=own_parts.WithNote", "--data=own_parts.Sales", *SHORT]
    printed("fit", *noted, "--model.width=7")
    assert "test/loss" in printed("test", *noted, "--ckpt_path=best")
    printed("fit", *noted, "--trainer.max_epochs=2", "--ckpt_path=last")


@pytest.mark.parametrize("model", [OWN[:2], ["--model=own_parts.Mine"]])
def test_a_text_like_a_number_stays_a_text_in_the_saved_configuration(model, printed):
    loss = ["--model.loss=torch.nn.MSELoss", "--model.output_size=1"] if model == OWN[:2] else []
    printed("fit", *model, *loss, "--data=own_parts.Noted", *SHORT, "--name=1e3", "--data.note=-1.5E3")
    first, second = (Path(f"runs/1e3/version_{number}/config.yaml") for number in (0, 1))
    printed("fit", f"--config={first}")
    assert second.read_text() == first.read_text()


@pytest.mark.slow
def test_own_models_and_data_in_any_order(printed):
    printed("fit", *MODULE, *SHORT, "--model.width=7")
    for arguments in (
        ["--ckpt_path=best", "--data=own_parts.Sales", "--model=own_parts.Mine"],
        ["--data=own_parts.Sales", "--ckpt_path=best", "--model=own_parts.Mine"],
        ["--model=own_parts.Mine", "--data=own_parts.Sales", "--ckpt_path=best"],
    ):
        for subcommand in ("test", "validate"):
            assert "loss" in printed(subcommand, *arguments, *SHORT)
    printed("fit", *MODULE, *SHORT, "--trainer.max_epochs=2", "--ckpt_path=last")
    printed("fit", *OWN, *SHORT)
    assert "Predictions" in printed("predict", "--data=own_parts.Sales", "--model=Seq2Seq", "--ckpt_path=best", *SHORT)


@pytest.mark.parametrize(
    ("given", "columns"),
    [("steps", "sequence,step,prediction"), ("last", "sequence,prediction"), ("named", "sequence,step,")],
)
def test_predictions_of_any_module_are_written(given, columns, printed):
    predicting = [
        "--model=own_parts.Predicting",
        f"--model.given={given}",
        "--model.cell=gru",
        "--data=own_parts.Sales",
    ]
    printed("fit", *predicting, *SHORT)
    assert "Predictions: " in printed("predict", *predicting, "--ckpt_path=best", "--arrays=true", *SHORT)
    folder = Path("runs/Predicting-Sales/version_0")
    lines = (folder / "predictions.csv").read_text().splitlines()
    assert lines[0].startswith(columns)
    assert len(lines) == 1 + 12 * (1 if given == "last" else 5)
    with np.load(folder / "predictions.npz") as arrays:
        assert arrays["prediction"].shape == ((12, 1) if given == "last" else (12, 5, 1))
        assert float(lines[-1].split(",")[-1]) == pytest.approx(float(arrays["prediction"].flat[-1]))


def test_what_is_no_prediction_gets_a_line(printed, fail):
    mean = ["--model=own_parts.Predicting", "--model.given=mean", "--data=own_parts.Sales"]
    for model, words in (
        (mean, "predict_step gave a tensor of shape ()"),
        (MODULE, "Mine has neither predict_step nor"),
    ):
        printed("fit", *model, *SHORT)
        assert words in fail("predict", *model, "--ckpt_path=best", *SHORT)
    assert not list(Path("runs").rglob("predictions*"))


@pytest.mark.slow
def test_a_checkpoint_sets_the_network_of_a_subclass_too(printed):
    mine = ["--model=own_parts.MySeq2Seq", "--data=own_parts.Sales"]
    printed("fit", *mine, *SHORT, "--model.cell=gru", "--model.hidden_size=5", "--model.power=1.5")
    assert "test/loss" in printed("test", *mine, *SHORT, "--ckpt_path=best")
    printed("fit", *mine, *SHORT, "--trainer.max_epochs=2", "--ckpt_path=last")


def test_a_long_text_among_the_datas_arguments_is_no_file(printed):
    long = ["--data=own_parts.Noted", f"--data.note={'word ' * 80}", "--model=Seq2Seq"]
    printed("fit", *long, *SHORT)
    assert Path("runs/Seq2Seq-Noted/version_0/run.json").is_file()


def test_a_subclass_is_exported(printed):
    runtime = pytest.importorskip("onnxruntime")
    mine = ["--model=own_parts.MySeq2Seq", "--data=own_parts.Sales"]
    printed("fit", *mine, "--model.hidden_size=5", "--model.power=1.5", *SHORT)
    printed("export", *mine, "--ckpt_path=best", "--output=out")
    net, x = hub.load_exported("out"), torch.randn(3, 7, 2)
    assert net.layers.hidden_size == 5
    module = own_parts.MySeq2Seq.load_from_checkpoint("runs/MySeq2Seq-Sales/version_0/checkpoints/best.ckpt").eval()
    with torch.no_grad():
        expected = module(x)[0]
        torch.testing.assert_close(net(x)[0], expected)
    session = runtime.InferenceSession("out/network.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], expected.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model", ["Seq2Seq", "own_parts.Mine"])
def test_data_without_a_test_or_validation_end_a_fit_in_success(model, printed, fail):
    mine = [f"--model={model}", "--data=own_parts.TrainingOnly", *SHORT]
    out = printed("fit", *mine)
    assert "Last checkpoint: " in out
    assert list(Path("runs").rglob("last.ckpt"))
    assert "logged no val/loss: give --ckpt_path last" in fail("test", *mine, "--ckpt_path=best")


@pytest.mark.parametrize("parts", [("own_parts.Unranked", "Sales"), ("Seq2Seq", "Untold")])
def test_a_validation_without_a_loss_ends_a_fit_in_success(parts, printed):
    mine = [f"--model={parts[0]}", f"--data=own_parts.{parts[1]}", *SHORT]
    out = printed("fit", *mine)
    assert "No best checkpoint and no test: no val/loss was logged" in out
    (last,) = Path("runs").rglob("*.ckpt")
    assert f"Last checkpoint: {last}" in out
    printed("fit", *mine, "--ckpt_path=last", "--trainer.max_epochs=2")


def test_a_test_that_fails_does_not_fail_the_fit(capsys):
    main(["fit", "--model=own_parts.BrokenTest", "--data=own_parts.Sales", *SHORT])
    shown = capsys.readouterr()
    assert "No test: IndexError('the bug')" in shown.out
    assert "in test_step" in shown.err, "a bug shows where it is"
    assert "Best checkpoint: " in shown.out


def test_the_console_script_finds_modules_in_the_current_folder(monkeypatch):
    Path("mydata.py").write_text("from own_parts import Sales as Csv\n")
    here = {"", str(Path.cwd())}
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder not in here])
    arguments = ["fit", "--model=Seq2Seq", "--data=mydata.Csv", "--trainer.fast_dev_run=1", *SHORT[1:]]
    monkeypatch.setattr(sys, "argv", ["rnn-lightning", *arguments])
    main()
    assert Path(sys.modules["mydata"].__file__).parent == Path.cwd()
    del sys.modules["mydata"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="no fork with CUDA's threads")
@pytest.mark.filterwarnings("ignore:.*use of fork")  # later Pythons, of threads that the tests have
@pytest.mark.filterwarnings("ignore:Using `DistributedSampler` with the dataloaders")
def test_forked_processes(printed):
    settings = ["--trainer.devices=2", "--trainer.strategy=ddp_fork"]
    assert "Best checkpoint: runs/Seq2Seq-Sales/version_0" in printed("fit", *OWN, *SHORT, *settings)
    assert [folder.name for folder in Path("runs/Seq2Seq-Sales").iterdir()] == ["version_0"]
    assert "test/loss" in printed("test", *OWN, *SHORT, "--ckpt_path=best")


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [OWN[:2], [*OWN[:2], "--model.loss=HuberLoss", "--model.metrics=[R2Score]"], ["--model=own_parts.Mine"]]
)
def test_spawned_processes(model, printed):
    """All that the Trainer holds can be pickled."""
    mine, settings = [*model, "--data=own_parts.Sales"], ["--trainer.devices=2", "--trainer.strategy=ddp_spawn"]
    name = f"{model[0].rpartition('.')[2].removeprefix('--model=')}-Sales"
    shown = printed("fit", *mine, *SHORT, *settings, "--data.num_workers=1")
    assert f"Best checkpoint: runs/{name}/version_0" in shown
    assert [folder.name for folder in Path(f"runs/{name}").iterdir()] == ["version_0"]
    assert "test/loss" in printed("test", *mine, *SHORT, "--ckpt_path=best")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Consider setting `persistent_workers=True`")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("model", ["Seq2Seq", "own_parts.Mine"])
def test_workers_of_ones_own_data(method, model, printed, monkeypatch):
    """As macOS and Windows start them, and Linux from Python 3.14 on."""
    before = multiprocessing.get_start_method(allow_none=True)
    mine = [f"--model={model}", "--data=own_parts.Sales", *SHORT]
    losses = []
    for workers in (0, 1):
        multiprocessing.set_start_method(method, force=True)
        try:
            printed("fit", *mine, f"--data.num_workers={workers}", f"--name=with{workers}")
        finally:
            multiprocessing.set_start_method(before, force=True)
        checkpoint = torch.load(f"runs/with{workers}/version_0/checkpoints/last.ckpt", weights_only=True)
        losses.append(checkpoint["state_dict"])
    assert all(torch.equal(value, losses[1][name]) for name, value in losses[0].items())


@pytest.mark.parametrize(
    "name",
    [
        "..",
        pytest.param("../x", marks=pytest.mark.slow),
        pytest.param("a/../../x", marks=pytest.mark.slow),
        pytest.param("/tmp/x", marks=pytest.mark.slow),
        pytest.param("", marks=pytest.mark.slow),
        pytest.param("a//b", marks=pytest.mark.slow),
        pytest.param("C:/x", marks=pytest.mark.slow),
        "memory://x",
        pytest.param("..\\x", marks=pytest.mark.slow),
    ],
)
def test_a_name_that_leads_out_of_the_runs_is_refused(name, fail):
    before = sorted(Path.cwd().parent.rglob("*"))
    for subcommand in ("fit", "test"):
        assert f"--name {name!r}: " in fail(subcommand, *OWN, *SHORT, f"--name={name}", "--ckpt_path=best")
    assert f"--name {name!r}: " in fail("fit", *OWN, *SHORT, f"--name={name}")
    assert sorted(Path.cwd().parent.rglob("*")) == before


@pytest.mark.slow
def test_predictions_of_a_remote_run_say_where_they_are(printed, bucket):
    settings = [*OWN, *SHORT, "--trainer.logger.save_dir=bucket://team"]
    printed("fit", *settings)
    shown = printed("predict", *settings, "--ckpt_path=best")
    assert "They are on this machine; their run is bucket://team/Seq2Seq-Sales/version_0" in shown
    assert Path("runs/Seq2Seq-Sales/predictions.csv").is_file()


def test_earlier_predictions_stay(printed):
    printed("fit", *OWN, *SHORT)
    predict = ["predict", *OWN, *SHORT, "--ckpt_path=best"]
    printed(*predict)
    first = Path("runs/Seq2Seq-Sales/version_0/predictions.csv")
    before = first.read_bytes()
    assert "predictions_1/predictions.csv" in printed(*predict)
    assert "predictions_2/predictions.csv" in printed(*predict)
    assert first.read_bytes() == before


@pytest.mark.parametrize("model", [["Needs"], ["NeedsToo", "--model.scale=2.5"]], ids=["its own", "passed on"])
def test_a_required_argument_comes_from_the_checkpoint(model, printed, fail):
    needs, typed = [f"--model=own_parts.{model[0]}", "--data=own_parts.Sales", *SHORT], model[1:]
    fit = ["fit", *needs, *typed]
    assert "required" in fail("fit", *needs)
    printed(*fit, "--model.width=4")
    printed(*fit, "--model.width=5", "--name=other")  # newer
    best = f"runs/{model[0]}-Sales/version_0/checkpoints/best.ckpt"
    for path in ("best", best):
        for subcommand in ("test", "validate"):
            assert "loss" in printed(subcommand, *needs, f"--ckpt_path={path}")
    Path("mine.yaml").write_text(f"model: own_parts.{model[0]}\n")
    assert "test/loss" in printed("test", "--config=mine.yaml", *needs[1:], f"--ckpt_path={best}")
    printed("fit", *needs, "--trainer.max_epochs=2", "--ckpt_path=last", f"--name={model[0]}-Sales")
    config = yaml.safe_load(Path(f"runs/{model[0]}-Sales/version_0/config_1.yaml").read_text())
    assert config["model"]["init_args"]["width"] == 4
    line = fail("test", *needs, "--model.width=7", "--ckpt_path=best")  # what you type counts
    assert "the checkpoint's weights do not fit the model (size mismatch for layers.0.weight" in line
    assert "own_parts.Needs" not in fail("test", *needs, "--ckpt_path=best", "--name=nothing")


def test_weights_of_other_arguments_are_one_line(printed, fail):
    """A module that keeps no arguments in its checkpoints is made with those that are typed."""
    forgetful = ["--model=own_parts.Forgetful", "--data=own_parts.Sales", *SHORT]
    printed("fit", *forgetful, "--model.width=4")
    line = fail("test", *forgetful, "--model.width=3", "--ckpt_path=best")
    assert "give the arguments that its run had, or the run's config.yaml as --config" in line
    assert "test/loss" in printed(
        "test", "--config=runs/Forgetful-Sales/version_0/config.yaml", "--ckpt_path=best", *SHORT
    )


def test_a_required_argument_that_no_checkpoint_has_is_asked_for(printed, fail):
    forgetful = ["--model=own_parts.Forgetful", "--data=own_parts.Sales", *SHORT]
    printed("fit", *forgetful, "--model.width=4")
    line = fail("test", *forgetful, "--ckpt_path=best")
    assert (
        "Forgetful requires arguments that runs/Forgetful-Sales/version_0/checkpoints/best.ckpt does not have" in line
    )
    assert "give --model.width" in line
    assert "test/loss" in printed("test", *forgetful, "--ckpt_path=best", "--model.width=4")
    on_one_line = "{class_path: own_parts.Forgetful, init_args: {width: 4}}"
    assert "test/loss" in printed("test", "--model", on_one_line, *forgetful[1:], "--ckpt_path=best")


def test_a_null_is_a_required_arguments_value_where_its_type_says_so(printed):
    given = ["--model=own_parts.Bounded", "--data=own_parts.Sales", *SHORT, "--model.width=4", "--model.bound=null"]
    printed("fit", *given)
    assert "test/loss" in printed("test", *given, "--ckpt_path=best")


def test_a_configuration_as_a_dict_gives_its_own_required_arguments(own_parts_folder, capsys):
    parts = {"model": {"class_path": "own_parts.Forgetful", "init_args": {"width": 4}}, "data": "own_parts.Sales"}
    trainer = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}
    main({"subcommand": "fit", "fit": {**parts, "trainer": trainer}})
    for subcommand, epochs in (("test", 1), ("fit", 2)):
        main(
            {
                "subcommand": subcommand,
                subcommand: {**parts, "trainer": {**trainer, "max_epochs": epochs}, "ckpt_path": "last"},
            }
        )
        assert "test/loss" in capsys.readouterr().out


@pytest.mark.parametrize("subcommand", ["test", "export"])
@pytest.mark.parametrize("path", ["foo://x.ckpt", ""])
def test_a_checkpoint_that_cannot_be_looked_for_is_one_line(subcommand, path, fail):
    line = fail(subcommand, "--ckpt_path", path)
    assert ("foo://x.ckpt cannot be opened" if path else "--ckpt_path : there is no such file") in line


def test_runs_in_the_home_folder_have_a_path_that_holds_anywhere(own_folder, monkeypatch):
    monkeypatch.setenv("HOME", str(own_folder))
    folder = own_folder / "kept" / "mine" / "version_0"
    runs.Run.begin(str(folder), name="mine", model="A", data="B", config="")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "best.ckpt").write_bytes(b"")
    assert runs.find_checkpoint("best", "~/kept", "mine") == str(folder / "checkpoints/best.ckpt")
    assert runs.find_checkpoint("best", "kept", "mine") == "kept/mine/version_0/checkpoints/best.ckpt"
