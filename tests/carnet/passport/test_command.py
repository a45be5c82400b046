"""The types of flags that the installed commands share."""

import argparse

import pytest

from carnet.passport import command


def test_data_are_named_as_for_training_or_by_their_path(tmp_path):
  odd = tmp_path / "odd:name"
  odd.mkdir()
  for text in (str(tmp_path), f"lerobot:{tmp_path}", f"hdf5:{tmp_path}"):
    assert command.recorded(text) == tmp_path
  assert command.recorded(str(odd)) == odd
  with pytest.raises(argparse.ArgumentTypeError, match="there is no"):
    command.recorded(f"lerobot:{tmp_path}/gone")
