"""The contract against recorded data: ours, and a LeRobotDataset."""

import json

import checking
import numpy as np
import pytest
import sample

from carnet import errors
from carnet.passport import dataset_facts
from carnet.passport.checks import contract


def one(step, **options):
  found = checking.findings(step, contract.CHECKS, **options)
  return found["input_contract_vs_dataset"].finding


def ours(tmp_path, **changes):
  """Writes the papers of demonstrations of the sample."""
  statistics = {
    "state": sample.sample_step.block(sample.STATE, 0.0),
    "action": sample.sample_step.block(sample.ACTION, 1.0),
  }
  body = {
    "cameras": {"top": {"height": sample.HEIGHT, "width": sample.WIDTH}},
    "sizes": {"state": sample.STATE, "action": sample.ACTION},
    "control_hz": 50.0,
    "statistics": statistics,
  } | changes
  place = tmp_path / "data"
  place.mkdir(exist_ok=True)
  (place / "metadata.json").write_text(json.dumps(body))
  return place


def lerobot(tmp_path, **features):
  height, width = sample.HEIGHT, sample.WIDTH
  rows = {
    "observation.images.top": {
      "dtype": "video",
      "shape": [3, height, width],
      "names": ["channels", "height", "width"],
    },
    "observation.state": {"dtype": "float32", "shape": [sample.STATE]},
    "action": {"dtype": "float32", "shape": [sample.ACTION]},
  } | features
  place = tmp_path / "lerobot"
  (place / "meta").mkdir(parents=True)
  info = {"fps": 50, "features": rows}
  (place / "meta" / "info.json").write_text(json.dumps(info))
  statistics = {"action": sample.sample_step.block(sample.ACTION, 1.0)}
  (place / "meta" / "stats.json").write_text(json.dumps(statistics))
  return place


def test_without_a_dataset_nothing_is_claimed(step):
  assert one(step).status == "not_checked"


@pytest.mark.parametrize("make", [ours, lerobot])
def test_the_dataset_of_the_training_agrees(step, tmp_path, make):
  found = one(step, dataset_path=make(tmp_path))
  assert found.status == "pass"


@pytest.mark.parametrize(
  ("changes", "where"),
  [
    ({"cameras": {}}, "/input_contract/images/0/short_key"),
    (
      {"cameras": {"top": {"height": 480, "width": 640}}},
      "/input_contract/images/0/shape",
    ),
    ({"sizes": {"state": 7, "action": 2}}, "/input_contract/state/dim"),
    ({"sizes": {"state": 3, "action": 7}}, "/input_contract/actions/dim"),
    ({"sizes": {"state": 3}}, "/input_contract/actions"),
    ({"control_hz": 30.0}, "/input_contract/temporal/control_hz"),
  ],
)
def test_another_dataset_is_told(step, tmp_path, changes, where):
  found = one(step, dataset_path=ours(tmp_path, **changes))
  assert found.status == "fail"
  assert found.where == where
  assert found.expected != found.found


def test_statistics_of_other_actions_are_told(step, tmp_path):
  """Lerobot PR #4700: relative actions with the statistics of absolute ones."""
  block = sample.sample_step.block(sample.ACTION, 1.0)
  block["mean"] = [0.0] * sample.ACTION
  block["std"] = [0.02] * sample.ACTION
  path = ours(tmp_path, statistics={"action": block})
  found = one(step, dataset_path=path)
  assert found.status == "fail"
  assert "2 of 2 dimensions differ" in found.evidence


def test_layouts_of_pictures_are_read_by_their_names(tmp_path):
  facts = dataset_facts.read(lerobot(tmp_path))
  assert facts.cameras == {"top": (sample.HEIGHT, sample.WIDTH, 3)}
  mean, std = facts.moments("action")
  np.testing.assert_allclose(mean, [1 / 8, 2 / 8])
  assert std.shape == (sample.ACTION,)
  assert facts.moments("nothing") is None


def test_what_is_no_dataset_is_one_line(step, tmp_path):
  with pytest.raises(errors.UserError, match="neither metadata"):
    dataset_facts.read(tmp_path)
  (tmp_path / "metadata.json").write_text('{"cameras": {"top": {}}}')
  with pytest.raises(errors.UserError, match="not as expected"):
    dataset_facts.read(tmp_path)


def test_features_are_found_by_the_names_that_the_data_have(step, tmp_path):
  """A policy calls "top" what the dataset calls "cam_high"."""
  place = lerobot(tmp_path)
  info = place / "meta/info.json"
  text = info.read_text()
  text = text.replace("observation.images.top", "observation.images.cam_high")
  info.write_text(text.replace("observation.state", "observation.joints"))
  assert one(step, dataset_path=place).status == "fail"
  names = {
    "images/top": "observation.images.cam_high",
    "state": "observation.joints",
  }
  (step / "dataset.json").write_text(json.dumps({"names": names}))
  found = one(step, dataset_path=place)
  assert found.status == "pass", found
