import gzip
import hashlib
from urllib.error import URLError

import pytest
import torch

from rnn_lightning.data import SequenceMNIST, mnist_files, pixel_permutation
from rnn_lightning.errors import ArgumentError

LAYOUTS = {"rows": (28, 28), "pixels": (784, 1), "permuted": (784, 1)}


def fake(folder, **settings):
    return SequenceMNIST(folder, **{"val_size": 100, "batch_size": 50, "verify": False, **settings})


def joined(loader):
    batches = list(loader)
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sizes_are_known_at_once_and_batches_fit_them(fake_mnist_dir, layout):
    data = fake(fake_mnist_dir, layout=layout)
    assert (data.input_size, data.output_size, data.contiguous) == (LAYOUTS[layout][1], 10, False)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    assert batch["x"].shape == (50, *LAYOUTS[layout])
    assert batch["x"].dtype == torch.float32
    assert batch["x"].min() >= 0
    assert batch["x"].max() <= 1
    assert batch["y"].shape == (50,)
    assert batch["y"].dtype == torch.int64


def test_sizes_need_no_files():
    data = SequenceMNIST("nowhere")
    assert (data.input_size, data.output_size, data.contiguous) == (28, 10, False)


def test_layouts_hold_the_same_pixels(fake_mnist_dir):
    x = {}
    for layout in LAYOUTS:
        data = fake(fake_mnist_dir, layout=layout)
        data.setup("test")
        x[layout] = joined(data.test_dataloader())["x"]
    assert torch.equal(x["pixels"], x["rows"].reshape(200, 784, 1))
    assert torch.equal(x["permuted"], x["pixels"][:, pixel_permutation()])


def test_the_permutation_never_changes():
    permutation = pixel_permutation()
    assert sorted(permutation.tolist()) == list(range(784))
    # Trained weights depend on it: if this fails, all published numbers for "permuted" are void.
    digest = hashlib.sha256(permutation.numpy().astype("<i8").tobytes()).hexdigest()
    assert digest == "93e8521747986ca638fcf0d0ab984846935a89e753e3bb1443e0dd7f425ca445"


def test_the_permutation_takes_neighbours_apart():
    distance = pixel_permutation().diff().abs().double()
    assert abs(distance.mean() - 785 / 3) < 30  # of two random pixels


def test_split_is_first_validate_rest_train_and_each_image_once(fake_mnist_dir):
    data = fake(fake_mnist_dir)
    data.setup()
    images, labels = mnist_files.read_part(fake_mnist_dir, "train", verify=False)
    images = images.to(torch.float32) / 255
    val, train = joined(data.val_dataloader()), joined(data.train_dataloader())
    assert torch.equal(val["x"], images[:100])
    assert torch.equal(val["y"], labels[:100])
    assert len(train["y"]) == 500
    assert torch.equal(train["x"].sum((1, 2)).sort().values, images[100:].sum((1, 2)).sort().values)
    test, predict = joined(data.test_dataloader()), joined(data.predict_dataloader())
    assert torch.equal(test["y"], mnist_files.read_part(fake_mnist_dir, "t10k", verify=False)[1])
    assert torch.equal(predict["x"], test["x"])


def test_image_and_label_stay_together(fake_mnist_dir):
    data = fake(fake_mnist_dir)
    data.setup("fit")
    train = joined(data.train_dataloader())
    # images of one class share a template: they are nearer to their own class's mean than to any other
    means = torch.stack([train["x"][train["y"] == k].mean(0) for k in range(10)]).flatten(1)
    assert torch.equal(torch.cdist(train["x"].flatten(1), means).argmin(1), train["y"])


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("dotted", [False, True], ids=["own name", "dotted name"])
@pytest.mark.parametrize(
    "place", ["", "MNIST/raw", "raw", "MNIST"], ids=["data_dir", "torchvision", "its MNIST folder", "no raw"]
)
def test_a_set_is_found_in_each_place_under_each_name(make_mnist, tmp_path, packed, place, dotted):
    make_mnist(tmp_path / place, train=30, test=10, rows=6, columns=5, classes=3, packed=packed)
    for path in list((tmp_path / place).iterdir()) * dotted:
        path.replace(path.with_name(path.name.replace("-idx", ".idx")))
    assert all(mnist_files.find_file(tmp_path, name) for name in mnist_files.SHA256), "nothing would be downloaded"
    data = fake(tmp_path, val_size=10)
    assert (data.input_size, data.output_size) == (5, 3)
    data.setup()
    assert joined(data.train_dataloader())["x"].shape == (20, 6, 5)
    permuted = fake(str(tmp_path), val_size=10, layout="permuted")
    permuted.setup("test")
    assert joined(permuted.test_dataloader())["x"].shape == (10, 30, 1)


def test_a_file_in_a_folder_of_its_own_name_is_found(make_mnist, tmp_path):
    make_mnist(tmp_path, train=30, test=10, rows=6, columns=5, classes=3)
    for path in list(tmp_path.iterdir()):
        path.replace(tmp_path / "file")
        path.mkdir()
        (tmp_path / "file").replace(path / path.name)
    fake(tmp_path, val_size=10).setup()


BAD = {
    "layout": ({"layout": "columns"}, "layout must be one of rows, pixels, permuted"),
    "batch_size": ({"batch_size": 0}, "batch_size=0: give an integer of at least 1"),
    "batch_size type": ({"batch_size": 1.5}, "batch_size=1.5: give an integer of at least 1"),
    "eval_batch_size": ({"eval_batch_size": 0}, "eval_batch_size=0: give an integer"),
    "val_size 0": ({"val_size": 0}, "val_size=0: give an integer of at least 1"),
    "val_size all": ({"val_size": 600}, "val_size must be below the number of training images, 600"),
    "num_workers": ({"num_workers": -1}, "num_workers=-1: give an integer of at least 0"),
    "seed": ({"seed": -1}, "seed=-1: give an integer of at least 0"),
}


@pytest.mark.parametrize(("settings", "message"), BAD.values(), ids=BAD.keys())
def test_bad_values_are_refused_at_construction(fake_mnist_dir, settings, message):
    with pytest.raises(ArgumentError, match=message):
        fake(fake_mnist_dir, **settings)


def test_data_dir_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentError, match=r"data_dir .*file is a file"):
        SequenceMNIST(tmp_path / "file")


def test_another_set_that_is_missing_is_not_replaced_by_mnist(tmp_path):
    with pytest.raises(ArgumentError, match=r"there is no train-images-idx3-ubyte .*verify"):
        fake(tmp_path)


def test_parts_of_two_sets_are_refused(make_mnist, tmp_path):
    make_mnist(tmp_path, train=30, test=10)
    make_mnist(tmp_path / "other", train=30, test=20, rows=5)
    (tmp_path / "other" / "t10k-images-idx3-ubyte").replace(tmp_path / "t10k-images-idx3-ubyte")
    with pytest.raises(ArgumentError, match="20 t10k images but 10 labels"):
        fake(tmp_path, val_size=10)
    (tmp_path / "other" / "t10k-labels-idx1-ubyte").replace(tmp_path / "t10k-labels-idx1-ubyte")
    with pytest.raises(ArgumentError, match="differ in size"):
        fake(tmp_path, val_size=10)


def test_a_wrong_file_stops_before_training(fake_mnist_dir):
    data = SequenceMNIST(fake_mnist_dir)
    data.prepare_data()
    with pytest.raises(ArgumentError, match="SHA-256"):
        data.setup("fit")


def test_no_network_says_where_to_put_the_files(monkeypatch, tmp_path):
    def unreachable(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    with pytest.raises(ArgumentError, match=f"put the four files.* into {tmp_path} by hand") as caught:
        SequenceMNIST(tmp_path).prepare_data()
    assert all(name in str(caught.value) for name in mnist_files.SHA256)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_only_missing_files_are_downloaded_and_then_read(monkeypatch, make_mnist, tmp_path):
    source = make_mnist(tmp_path / "mirror", train=40, test=10)
    contents = {path.name: path.read_bytes() for path in source.iterdir()}
    packed = {name: gzip.compress(content) for name, content in contents.items()}
    for known, files in (("SHA256", contents), ("PACKED_SHA256", packed)):
        monkeypatch.setattr(mnist_files, known, {n: hashlib.sha256(c).hexdigest() for n, c in files.items()})
    monkeypatch.setattr(mnist_files, "MIRRORS", (source.as_uri() + "/",))
    for name, content in packed.items():
        (source / f"{name}.gz").write_bytes(content)
    present = tmp_path / "data" / "t10k-labels-idx1-ubyte.gz"
    present.parent.mkdir()
    (source / present.name).replace(present)

    data = SequenceMNIST(tmp_path / "data", val_size=10)
    data.setup()  # without a Trainer no one has called prepare_data
    assert len(joined(data.train_dataloader())["y"]) == 30
    assert len(joined(data.test_dataloader())["y"]) == 10
    raw = tmp_path / "data" / "MNIST" / "raw"
    assert {path.name for path in raw.iterdir()} == {f"{name}.gz" for name in contents} - {present.name}
    monkeypatch.setattr(torch.hub, "urlopen", None)  # nothing is missing any more
    data.prepare_data()


def test_hyperparameters_are_plain_values(tmp_path):
    assert dict(SequenceMNIST(tmp_path).hparams) == {
        "data_dir": str(tmp_path),
        "layout": "rows",
        "val_size": 5000,
        "verify": True,
        "batch_size": 150,
        "eval_batch_size": None,
        "num_workers": 0,
        "seed": None,
    }


def test_real_mnist_is_verified_and_officially_split(mnist_dir):
    data = SequenceMNIST(mnist_dir)
    data.setup()
    sizes = {split: len(dataset) for split, dataset in data.datasets.items()}
    assert sizes == {"train": 55_000, "val": 5_000, "test": 10_000, "predict": 10_000}
    assert len(data.train_dataloader()) == 367  # 366 full batches of 150 and one of 100
    val, test = data.datasets["val"].tensors, data.datasets["test"].tensors
    assert val["y"][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test["y"][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    x, train = next(iter(data.train_dataloader()))["x"], data.datasets["train"].tensors["x"]
    assert (x.dtype, x.min().item(), x.max().item()) == (torch.float32, 0.0, 1.0)
    mean = (5 / 60 * val["x"].double().mean() + 55 / 60 * train.double().mean()) / 255
    assert mean == pytest.approx(0.1307, abs=5e-5)  # the value that is quoted everywhere
