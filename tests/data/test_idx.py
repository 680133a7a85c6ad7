import gzip
import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rnn_lightning.data.mnist_files import read_idx
from rnn_lightning.errors import ArgumentError


def idx_bytes(array, kind=0x08):
    return bytes((0, 0, kind, array.ndim)) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


IMAGES = idx_bytes(np.arange(60, dtype=np.uint8).reshape(5, 4, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("idx")


@given(array=arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=4, max_side=6)), packed=st.booleans())
def test_what_was_written_is_read(folder, array, packed):
    data = idx_bytes(array)
    path = folder / "array"
    path.write_bytes(gzip.compress(data) if packed else data)
    result = read_idx(path, array.ndim, hashlib.sha256(data).hexdigest())
    assert (result.dtype, result.shape) == (np.uint8, array.shape)
    assert np.array_equal(result, array)


def test_a_set_without_images_is_read(tmp_path):
    path = tmp_path / "empty"
    path.write_bytes(idx_bytes(np.zeros((0, 28, 28), np.uint8)))
    assert read_idx(path, 3).shape == (0, 28, 28)


@given(kept=st.integers(0, len(IMAGES) - 1), packed=st.booleans())
def test_every_truncation_is_one_line_with_file_and_remedy(folder, kept, packed):
    path = folder / "truncated"
    path.write_bytes(gzip.compress(IMAGES[:kept]) if packed else IMAGES[:kept])
    with pytest.raises(ArgumentError, match=r"truncated is .*: delete it") as caught:
        read_idx(path, 3)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@given(kept=st.integers(2, len(gzip.compress(IMAGES)) - 1))
def test_every_truncation_of_the_gzip_stream_is_found(folder, kept):
    path = folder / "truncated.gz"
    path.write_bytes(gzip.compress(IMAGES)[:kept])
    with pytest.raises(ArgumentError, match=r"truncated or corrupted .*: delete it"):
        read_idx(path, 3)


BROKEN = {
    "too long": IMAGES + b"\0",
    "labels for images": idx_bytes(np.zeros(5, np.uint8)),
    "floats": idx_bytes(np.zeros((5, 4, 3), np.uint8), kind=0x0D),
    "a web page": b"<!DOCTYPE html><html><head><title>404</title></head></html>",
    "nothing": b"",
    "damaged gzip": gzip.compress(IMAGES)[:20] + b"\xff\xff\xff" + gzip.compress(IMAGES)[23:],
    "wrong checksum": gzip.compress(IMAGES)[:-8] + bytes(8),
    "dimensions beyond all bounds": IMAGES[:4] + b"\xff" * 12 + IMAGES[16:],
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_another_or_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(ArgumentError, match=r"broken is .*: delete it") as caught:
        read_idx(path, 3)
    assert "\n" not in str(caught.value)


def test_a_wrong_hash_is_refused(tmp_path):
    path = tmp_path / "images"
    path.write_bytes(IMAGES)
    with pytest.raises(ArgumentError, match=r"SHA-256 .*: delete it .* or set verify to false"):
        read_idx(path, 3, hashlib.sha256(IMAGES + b"\0").hexdigest())


def test_a_file_that_is_gone_is_one_line(tmp_path):
    with pytest.raises(ArgumentError, match=r"cannot read .*gone .*No such file"):
        read_idx(tmp_path / "gone", 3)
