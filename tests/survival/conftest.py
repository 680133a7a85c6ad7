"""Folders in which fits run in processes of their own."""

import pytest
from fits import Place


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def other(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("other"))
