"""Every test of the plain layers draws the same random numbers in every run."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
