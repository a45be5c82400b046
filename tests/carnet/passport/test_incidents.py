"""Incidents of others, replayed: each turns a check red, or soft.

The names in the docstrings are the public threads; what happened there is in
`docs/passport.md`. Before each replay nothing is red. Those of weights,
releases and verdicts are in `test_incidents_of_releases.py`.
"""

import json

import incidents
import numpy as np
import PIL.Image
import pytest
import sample
from incidents import PIPE, STATE, alarms, numbered, rows, statistics

from carnet.passport import cameras, prepared


@pytest.fixture(autouse=True)
def sound(step, monkeypatch):
  """Shows that it is the damage that raises the alarm."""
  monkeypatch.delenv("PYTHONPATH", raising=False)  # an alarm of its own
  assert alarms(step) == set()


def test_a_normaliser_that_returned_early(step, monkeypatch):
  """dexmal/dexbotic PR 82: without actions, the state stayed as it was."""

  def code(found):
    return lambda observed: {
      **prepared.by_pipeline(found, observed),
      **{key: observed[key] for key in left_alone},
    }

  left_alone = []
  monkeypatch.setattr(prepared, "by_code", code)
  assert alarms(step, rerun=True) == set()
  left_alone.append("state")
  assert alarms(step, rerun=True) == {"pipeline_matches_code"}


def test_a_second_resize(step):
  """huggingface/lerobot 2980: 80 to 90 % of successes became none."""
  size = {
    **{"height": sample.HEIGHT, "width": sample.WIDTH, "method": "bilinear"},
    **{"antialias": True, "keep_aspect": False, "pad_value": None},
  }
  step_row = {
    **{"stage": "pre", "op": "resize", "params": size, "invertible": False},
    **{"input_key": sample.CAMERA, "output_key": sample.CAMERA},
    **{"code_ref": "elsewhere", "executed_by": "policy"},
  }
  listed = numbered([step_row, step_row, *rows(step)])
  once = {**sample.passport(step).model_dump(mode="json")}
  trips = once["norm_round_trip_results"]
  moved = [{**row, "step_index": row["step_index"] + 2} for row in trips]
  sample.write(
    step,
    **{
      PIPE: listed,
      "input_contract/images/0/resize": size,
      "norm_round_trip_results": moved,
    },
  )
  assert alarms(step) == {"single_resize"}


def test_width_and_height_exchanged(step):
  """drive-any-robot 16: the deployment's resize had both flipped."""
  frames = [np.swapaxes(x, 0, 1) for x in sample.frames()]
  for index, pixels in enumerate(frames):
    PIL.Image.fromarray(pixels).save(step / sample.sample_step.frame(index))
  sample.write(step)
  assert alarms(step) == {"reference_shapes"}


def test_the_pad_value_of_another_release(step):
  """Lerobot 0.5.0: images were padded with 0 in the place of -1."""
  size = {
    **{"height": sample.HEIGHT, "width": sample.WIDTH, "method": "bilinear"},
    **{"antialias": True, "keep_aspect": True, "pad_value": -1.0},
  }
  image = {
    **{"op": "resize", "params": {**size, "pad_value": 0.0}, "stage": "pre"},
    **{"input_key": sample.CAMERA, "output_key": sample.CAMERA},
    **{"invertible": False, "code_ref": "x", "executed_by": "policy"},
  }
  listed = numbered([image, *rows(step)])
  sample.write(step, **{PIPE: listed, "input_contract/images/0/resize": size})
  found = incidents.findings(step)["pipeline_matches_contract"].finding
  assert found.status == "fail"
  assert "pad_value is 0.0, expected -1.0" in found.evidence


def test_statistics_under_prefixed_keys(step):
  """strands-labs/robots 985: z-scores reached the robot as degrees."""

  def prefix(blocks):
    for key in list(blocks):
      blocks[f"so100.{key}"] = blocks.pop(key)

  statistics(step, prefix)
  found = incidents.findings(step)["norm_stats_cover_features"].finding
  assert found.status == "fail"
  assert "there is 'so100.state'" in found.evidence


def test_statistics_that_no_loader_finds(step):
  """strands-labs/robots 513: only norm_stats.json was shipped."""
  (step / "stats.json").rename(step / "norm_stats.json")
  assert {"norm_stats_sha", "norm_stats_cover_features"} <= alarms(step)


def test_a_feature_whose_statistics_are_absent(step):
  """strands-labs/robots 3720: it passed through, in degrees."""
  statistics(step, lambda blocks: blocks.pop("state"))
  assert "norm_stats_cover_features" in alarms(step)


def test_no_statistics_at_all(step):
  """Lerobot 699, 1078: a checkpoint without any."""
  (step / "stats.json").unlink()
  assert "norm_stats_cover_features" in alarms(step)


def test_a_feature_that_was_never_normalised(step):
  """Lerobot PR 17: ("action") is no tuple, so actions stayed as they were."""
  listed = rows(step)
  del listed[3]
  sample.write(step, **{PIPE: numbered(listed)})
  assert "pipeline_matches_contract" in alarms(step)
  statistics(step, lambda blocks: blocks.pop("action"))
  assert "norm_stats_cover_features" in alarms(step)


def test_seven_numbers_for_six_joints(step):
  """strands-labs/robots 3422: told at the first query of a live robot."""

  def widen(blocks):
    for name, row in blocks["state"].items():
      blocks["state"][name] = [*row, row[-1]]

  statistics(step, widen)
  found = incidents.findings(step)["norm_stats_cover_features"].finding
  assert found.status == "fail"
  assert (found.expected, found.found) == ("3", "4")


def test_cameras_that_were_exchanged(tmp_path, step):
  """strands-labs/robots 517: cameras went to slots by position."""
  image = "input_contract/images/0"
  sample.write(step, **{f"{image}/camera_serial": "TOP-1"})
  place = tmp_path / "cameras.json"
  place.write_text('{"top": {"serial": "TOP-1"}}')
  assert alarms(step, device_map=place) == set()
  place.write_text('{"top": {"serial": "WRIST-7"}}')
  assert alarms(step, device_map=place) == {"device_mapping"}
  one, other = sample.frames()[:1], np.rot90(sample.frames()[:1], 2, (1, 2))
  recorded = {"top": one, "wrist": other}
  right = {"top": one[0], "wrist": other[0]}
  assert cameras.of_frames(right, recorded).swapped == ()
  live = {"top": other[0], "wrist": one[0]}
  swapped = cameras.of_frames(live, recorded).swapped
  assert swapped == (("top", "wrist"), ("wrist", "top"))


def test_a_camera_that_is_ignored(step):
  """strands-labs/robots 818: a slot that is fed nothing changes nothing."""
  base = "output_spec/smoke_results/liveness/input_sensitivity"
  sample.write(step, **{base: {"images/top": 0.0, "state": 0.25}})
  assert alarms(step) == {"smoke_liveness"}


def test_relative_actions_with_statistics_of_absolute_ones(step):
  """Lerobot PR 4700: the training succeeded silently."""

  def absolute(blocks):
    blocks["action"].update(mean=[1.5, -1.5], std=[0.2, 0.2])

  statistics(step, absolute)
  mask = "input_contract/actions/delta_dims/delta_mask"
  sample.write(step, **{mask: [True, True]})
  assert "norm_stats_vs_reference" in alarms(step)


def test_a_chunk_normalised_by_its_own_range(step):
  """Lerobot 1498: it could not be undone, and never was."""
  sample.write(step, **{f"{PIPE}/3/invertible": False})
  assert alarms(step) == {"norm_round_trip"}


def test_statistics_that_are_infinite(step):
  """Lerobot 694: buffers of infinities at run time."""
  place = step / "stats.json"
  blocks = json.loads(place.read_text())
  blocks["state"]["std"] = [float("inf")] * sample.STATE
  place.write_text(json.dumps(blocks))  # Infinity, which is no JSON
  sample.write(step)
  assert "norm_stats_finite_nonzero" in alarms(step)
  place.write_text(place.read_text().replace("Infinity", "0.0"))
  floor = {f"{STATE}/std_floor": 0.0, f"{PIPE}/2/params/std_floor": 0.0}
  sample.write(step, **floor)
  assert "norm_stats_finite_nonzero" in alarms(step)


def test_steps_in_another_order(step):
  """octo 14: a wrapper undid its steps in the wrong order."""
  listed = rows(step)
  listed[0], listed[1] = listed[1], listed[0]
  sample.write(step, **{PIPE: numbered(listed)})
  assert alarms(step) == {"pipeline_matches_contract"}


def test_a_gripper_of_another_range(step):
  """octo 137: the gripper's range differs between releases."""
  base = "output_spec/smoke_results/range_check"
  sample.write(step, **{f"{base}/high": [2.125, 100.0]})
  assert alarms(step) == {"smoke_range_check"}


def test_clipping_that_valid_syntax_hides(step):
  """openpi 1025: statistics of another robot, in the same layout."""

  def other(blocks):
    for name in ("mean", "min", "max", "q01", "q10", "q90", "q99"):
      blocks["state"][name] = [x + 30 for x in blocks["state"][name]]

  statistics(step, other)
  assert alarms(step) == {"norm_stats_vs_reference"}
