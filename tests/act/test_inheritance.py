"""Whose statistics a run normalises with."""

import hand_made
import numpy as np
import pytest
import tiny_config

from act import dataset, inheritance
from carnet import checkpoint, errors


@pytest.fixture
def data(monkeypatch):
  hand_made.install(monkeypatch)
  return dataset.open("lerobot:numbers", state="state", skip_bad=True)


def _saved(place, mean):
  with checkpoint.Checkpoint(place / "checkpoints") as saved:
    saved.register("agent", {"x": np.zeros(2)})
    saved.attach("stats.json", {"action": {"mean": [mean]}})
    saved.save(1)
  return place


def _config(parent="", source="parent"):
  config = tiny_config.get_config()
  config.from_checkpoint = str(parent)
  config.normalization.source = source
  return config


def test_the_data_s_unless_asked_otherwise(data, tmp_path):
  config = _config(_saved(tmp_path / "parent", 1.0), "data")
  assert inheritance.statistics(config, tmp_path / "new", data) is data


def test_the_parent_s_and_then_the_run_s_own(data, tmp_path):
  config = _config(_saved(tmp_path / "parent", 1.0))
  run = tmp_path / "run"
  found = inheritance.statistics(config, run, data)
  assert found.statistics == {"action": {"mean": [1.0]}}
  assert found.actions is data.actions
  _saved(run, 2.0)
  found = inheritance.statistics(config, run, data)
  assert found.statistics == {"action": {"mean": [2.0]}}


@pytest.mark.parametrize(
  ("config", "message"),
  [
    (_config(), "names none"),
    (_config(source="mother"), r"unknown config\.normalization\.source"),
    (_config("/nowhere/at/all"), "nowhere"),
  ],
)
def test_refusals(data, tmp_path, config, message):
  with pytest.raises(errors.UserError, match=message):
    inheritance.statistics(config, tmp_path, data)
