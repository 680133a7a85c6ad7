"""Every block of Python and every command of README and docs runs as it stands, page by page, on short fits.

The blocks of a page run in order, in one folder and one namespace, as a reader would run them. A block that begins with
a comment `# NAME.py` or `# NAME.yaml` is also written to that file.
"""

import ast
import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnn_lightning.cli import main
from rnn_lightning.recipes import recipes

ROOT = Path(__file__).parents[1]
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]}
ELSEWHERE = {
    "docs/text.md": "test_docs_own_data.py",
    "docs/arrays.md": "test_docs_own_data.py",
    "docs/streaming.md": "test_docs_own_data.py",
    "docs/time_series.md": "test_time_series_page.py",
    "docs/losses.md": "test_losses_on_the_command_line.py",
}
"""Pages that need more than they show, such as data; and who runs them."""
LONG = {
    *(f"docs/how_to/{name}.md" for name in ("export", "resume", "search", "tensorboard", "trained_networks")),
    "docs/reference/command_line.md",
    "docs/survival.md",
}
"""Pages of many fits, left to `-m slow`."""
NOT_RUN = ("python3 -m venv", "tensorboard ", "pip install")
"""Commands that install something, or never end. nox runs README's."""
SHORT = {"max_epochs": 1, "limit_train_batches": 3, "limit_val_batches": 2, "limit_test_batches": 2}
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(page):
    """Pairs of language and text."""
    return BLOCK.findall(PAGES[page])


def commands(text):
    """The single commands of a block: continued lines joined, loops unrolled, comments left out."""
    for line in text.replace("\\\n", " ").splitlines():
        loop = re.fullmatch(r"for (\w+) in (.*?); do (.*); done", line)
        rounds = [line] if loop is None else [loop[3].replace(f"${loop[1]}", value) for value in loop[2].split()]
        yield from (command.partition("  # ")[0].strip() for command in rounds)


def run_python(text, names):
    """Runs a block with short fits."""
    options = {**SHORT, "enable_progress_bar": False}
    short = ", ".join(f"{name}={value}" for name, value in options.items())
    text = re.sub(r"max_epochs=\d+", short, re.sub(r", enable_progress_bar=False", "", text))
    text = text.replace("path/to/checkout", str(ROOT)).replace("n_trials=20", "n_trials=2")
    exec(compile(text, "a block of the page", "exec"), names)


def run_command(command):
    """Runs a command with short fits; of one for several processes, its arguments are read."""
    words = shlex.split(command)
    if words[0] == "torchrun":
        options = dict(pair.split("=") for pair in words if pair.startswith("--trainer."))
        at = words.index("rnn_lightning")
        assert int(options["--trainer.devices"]) == int(words[words.index("--nproc_per_node") + 1])
        with pytest.raises(SystemExit) as end:
            main([*words[at + 1 :], "--print_config"])
        assert end.value.code == 0
        return
    assert words[:3] == ["python", "-m", "rnn_lightning"], command
    printed = [word for word in words if word == "--print_config" or word.endswith(".help")]
    if printed:
        with pytest.raises(SystemExit) as end:
            main(words[3:])
        assert end.value.code == 0
        return
    more = {} if words[3] == "export" else QUIET | (SHORT if words[3] == "fit" else {"limit_test_batches": 2})
    main([*words[3:], *(f"--trainer.{name}={str(value).lower()}" for name, value in more.items())])


def run_page(page):
    """Runs all blocks of a page in the current folder; returns the names that its Python has made."""
    names = {"torch": torch, "__name__": "page"}
    for language, text in blocks(page):
        if named := re.match(r"# (\w+\.(py|yaml))\n", text):
            Path(named[1]).write_text(text)
        if language == "python":
            run_python(text, names)
        elif language == "sh":
            for command in commands(text):
                if not command.startswith(NOT_RUN):
                    run_command(command)
        elif language == "yaml":
            assert isinstance(yaml.safe_load(text), dict)
        else:
            assert language == "text", f"{page}: name the language of every block"
    return names


@pytest.fixture
def folder(own_folder, monkeypatch):
    """An empty folder whose modules can be imported, and are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(own_folder))
    yield own_folder
    for name in ("my_model", "my_data"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page in LONG else [])
        for page in PAGES
        if BLOCK.search(PAGES[page]) and page not in ELSEWHERE
    ],
)
def test_a_page_runs(page, folder):
    names = run_page(page)
    if page == "README.md":
        assert names["y"].shape == (1, 50, 1)
    if page == "docs/explanation/dropout.md":
        assert names["layers"].state_dropout == 0.2
    if page == "docs/how_to/trained_networks.md":
        assert names["y"].shape == (4, 10)
    if page == "docs/tutorial/first.md":
        logged = {
            name
            for tags in (EventAccumulator("runs/sine_seq2seq/version_0").Reload().Tags(),)
            for kind in ("scalars", "images")
            for name in tags[kind]
        }
        listed = set(re.findall(r"`([^`]+)`", PAGES["docs/reference/logged.md"]))
        assert {"val/loss", "train/gradient_reach"} <= logged <= listed, "every logged name is in the reference"


@pytest.mark.parametrize("page", ELSEWHERE)
def test_other_pages_have_tests_of_their_own(page):
    text = (ROOT / "tests" / ELSEWHERE[page]).read_text()
    assert Path(page).name in text
    assert {language for language, _ in blocks(page)} <= {"python", "sh", "yaml", ""}


def test_an_own_model_takes_a_step_for_each_chunk(folder, silent_trainer):
    page = "docs/how_to/own_model.md"
    (text,) = [text for language, text in blocks(page) if "class Mine" in text and language == "python"]
    assert len(text.strip().splitlines()) <= 22
    exec(text, names := {"__name__": "page"})
    batch = {"x": torch.randn(4, 60, 1), "y": torch.randn(4, 60, 1)}
    trainer = silent_trainer(max_epochs=2)
    trainer.fit(names["Mine"](), *[torch.utils.data.DataLoader([batch] * 3, batch_size=None)] * 2)
    assert trainer.global_step == 2 * 3 * 3
    assert {"train/loss", "val/loss"} <= set(trainer.callback_metrics)


def test_readme_is_short_and_names_every_recipe():
    text = PAGES["README.md"]
    assert len(text.splitlines()) <= 102
    named = set(re.findall(r"--config (\w+)", text.replace("--config NAME", "")))
    table = text.partition("table recipes")[2].partition("<!-- end -->")[0]
    assert named <= set(recipes()) == set(re.findall(r"^\| `(\w+)` \|", table, re.M))


def test_every_page_is_on_the_site():
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert {f"docs/{name}" for name in re.findall(r": (\S+\.md)$", nav, re.M)} == set(PAGES) - {"README.md"}


@pytest.mark.parametrize("room", ["nn", "models", "data", "callbacks", "forecasts", "figures", "predictions", "hub"])
def test_every_public_name_is_documented(room):
    """Each room is on a page of the reference; a name that a file of the room bears too, by itself."""
    reference = "".join(text for page, text in PAGES.items() if page.startswith("docs/reference"))
    assert f"::: rnn_lightning.{room}\n" in reference
    module = importlib.import_module(f"rnn_lightning.{room}")
    page = PAGES.get(f"docs/reference/{room}.md", "")
    if chosen := re.search(r"^      members: \[(.*)\]$", page, re.M):  # in an order of its own
        assert sorted(chosen[1].split(", ")) == sorted(module.__all__)
    for name in getattr(module, "__all__", []):
        value = getattr(module, name)
        if callable(value) and getattr(value, "__module__", "").startswith("rnn_lightning"):
            assert (value.__doc__ or "").strip(), name
        file = ROOT / "rnn_lightning" / room / f"{name}.py"
        assert not file.exists() or f"::: rnn_lightning.{room}.{name}.{name}\n" in reference, name


def test_every_option_is_in_the_reference(capsys):
    text = PAGES["docs/reference/command_line.md"]
    for subcommand in ("fit", "validate", "test", "predict", "export"):
        with pytest.raises(SystemExit):
            main([subcommand, "--help"])
        shown = capsys.readouterr().out
        found = set(re.findall(r"\[?(--[a-z_]+)", shown.partition("options:")[0]))
        assert "functools" not in shown
        assert found
        assert not [option for option in found if option not in text], subcommand


def test_blocks_of_python_are_formatted_as_code():
    for page in PAGES:
        for language, text in blocks(page):
            if language == "python":
                ast.parse(text)
                assert max(map(len, text.splitlines())) <= 120, page
