"""Each fault is found where it is, and sound data have none."""

import dataclasses
import json

import numpy as np
import pytest

from act.inspection import examine, report
from act.recordings import base

SOUND = {("action ahead of state", "note"), ("statistics missing", "warning")}
CAMERAS = ("top", "wrist")


def look(scene, **options):
  return examine.examine(scene.recording(), **options)


def kinds(found):
  return {(x.kind, x.severity) for x in found.findings} - SOUND


def one(found, kind):
  rows = [x for x in found.findings if x.kind == kind]
  assert len(rows) == 1, [x.kind for x in found.findings]
  return rows[0]


@pytest.mark.parametrize("full", [False, True])
def test_sound_data_have_no_fault(scene, full):
  found = look(scene, full=full)
  assert kinds(found) == set()
  lag = one(found, "action ahead of state")
  assert "after 2 frames (0.1 s)" in lag.said
  assert (found.frames, found.seconds) == (360, 18.0)
  assert found.tasks == {"push": 6}
  assert found.pictures_read == (360 if full else 48)
  assert found.differences == ()


def test_ranges_are_those_of_the_data(scene):
  feature = next(x for x in look(scene).features if x.name == "action")
  values = scene.actions.reshape(-1, 3).astype(np.float64)
  waist = feature.dimensions[0]
  assert waist.name == "waist"
  expected = [values[:, 0].min(), values[:, 0].mean(), values[:, 0].std()]
  np.testing.assert_allclose([waist.min, waist.mean, waist.std], expected)
  assert sum(waist.histogram) == 360
  top = next(x for x in look(scene, full=True).features if x.name == "top")
  mean = scene.pictures["top"].mean() / 255
  assert top.dimensions[0].mean == pytest.approx(mean)
  std = scene.pictures["top"].std() / 255
  assert top.dimensions[0].std == pytest.approx(std, rel=0.02)


def frozen(scene):
  scene.pictures["top"][2, 10:] = scene.pictures["top"][2, 10]


def shortly_frozen(scene):
  scene.pictures["top"][2, 10:35] = scene.pictures["top"][2, 10]


def jump(scene):
  scene.actions[3, 30, 1] += 2


def turn(scene):
  scene.actions[3, 30:, 0] += 2 * np.pi


def still(scene):
  scene.states[..., 1] = 0.25
  del scene.statistics["observation.state"]


def nearly_still(scene):
  scene.states[..., 1] *= 1e-6
  del scene.statistics["observation.state"]


def outlier(scene):
  scene.states[..., 1] *= 4e-3
  scene.states[4, 7, 1] = 5
  del scene.statistics["observation.state"]


def twin(scene):
  scene.states[5], scene.actions[5] = scene.states[1], scene.actions[1]


def nan(scene):
  scene.states[2, 9, 2] = np.nan


def copied(scene):
  scene.actions[:] = scene.states


def next_state(scene):
  scene.actions[:, :-1] = scene.states[:, 1:]
  scene.actions[:, -1] = scene.states[:, -1]


def behind(scene):
  scene.states[:, :-4] = scene.states[:, 4:].copy()


def no_end(scene):
  scene.actions[:, -1] = 0


def drift(scene):
  times = np.arange(60) / 20.0 * 1.05
  scene.more["observation.timestamp"] = np.tile(times, (6, 1))[
    ..., None
  ].astype(np.float32)


FAULTS = {
  "frozen": (frozen, "frozen camera", "severe", ("top", 5)),
  "shortly": (shortly_frozen, "frozen camera", "warning", ("top", 5)),
  "black": (
    lambda x: x.pictures["wrist"].__setitem__(1, 2),
    *("black camera", "severe", ("wrist", 4)),
  ),
  "black frames": (
    lambda x: x.pictures["wrist"].__setitem__((1, slice(30)), 2),
    *("black camera", "warning", ("wrist", 4)),
  ),
  "grey": (
    lambda x: x.pictures["wrist"].__setitem__(slice(None), 99),
    *("camera of one colour", "severe", ("wrist", 3)),
  ),
  "same": (
    lambda x: x.pictures.update(wrist=x.pictures["top"]),
    *("same view twice", "severe", ("top", None)),
  ),
  "broken": (
    lambda x: x.broken.add(6),
    *("unreadable pictures", "severe", ("", 6)),
  ),
  "jump": (jump, "action jumps", "warning", ("action", 6)),
  "turn": (turn, "action wraps around", "severe", ("action", 6)),
  "still": (still, "constant joint", "warning", ("observation.state", None)),
  "nearly": (
    nearly_still,
    *("near-constant joint", "warning", ("observation.state", None)),
  ),
  "outlier": (
    outlier,
    *("still but for outliers", "warning", ("observation.state", 7)),
  ),
  "copied": (copied, "action equals state", "severe", ("action", None)),
  "next": (next_state, "action is the next state", "note", ("action", None)),
  "behind": (behind, "action behind state", "warning", ("action", None)),
  "end": (no_end, "last action empty", "warning", ("action", None)),
  "nan": (nan, "not a number", "severe", ("observation.state", 5)),
  "twin": (twin, "episode twice", "warning", ("", 8)),
  "short": (
    lambda x: x.lengths.__setitem__(2, 15),
    *("short episode", "warning", ("", 5)),
  ),
  "long": (
    lambda x: x.lengths.__setitem__(slice(5), [12] * 5),
    *("long episode", "warning", ("", 8)),
  ),
  "silent": (
    lambda x: x.tasks.__setitem__(1, " "),
    *("task without text", "warning", ("", 4)),
  ),
  "all silent": (
    lambda x: x.tasks.__setitem__(slice(None), [""] * 6),
    *("task without text", "note", ("", None)),
  ),
  "rate": (
    lambda x: x.changes.update(fps=None),
    *("unknown rate", "warning", ("", None)),
  ),
  "drift": (
    drift,
    *("clock drifts", "warning", ("observation.timestamp", 3)),
  ),
  "remark": (
    lambda x: x.changes.update(
      details={"notes": ["episode 7: timestamps are late"]}
    ),
    *("clock drifts", "warning", ("", 7)),
  ),
  "skipped": (
    lambda x: x.changes.update(skipped=(base.Skipped(9, "no camera 'top'"),)),
    *("unsound episode", "severe", ("", 9)),
  ),
}


PICTURES = ("frozen", "black", "black frames", "grey", "same", "broken")
CASES = [
  *((name, False) for name in FAULTS if name != "shortly"),
  *((name, True) for name in (*PICTURES, "shortly")),
]


@pytest.mark.parametrize(("name", "full"), CASES)
def test_faults_are_found(scene, name, full):
  spoil, kind, severity, (feature, episode) = FAULTS[name]
  spoil(scene)
  found = look(scene, full=full)
  finding = one(found, kind)
  assert (finding.severity, finding.feature) == (severity, feature)
  assert finding.episode == episode
  others = {x for x in kinds(found) if x[0] != "statistics differ"}
  assert others == {(kind, severity)}
  json.dumps(found.to_json(), allow_nan=False)


def test_where_a_fault_is(scene):
  frozen(scene)
  jump(scene)
  nearly_still(scene)
  found = look(scene, full=True)
  stuck = one(found, "frozen camera")
  assert stuck.frame in (9, 10)
  assert stuck.where == f"top, episode 5, frames {stuck.frame}-59"
  jumped = one(found, "action jumps")
  assert jumped.frame in (30, 31)
  assert jumped.dimensions == ("elbow",)
  assert one(found, "near-constant joint").dimensions == ("elbow",)
  severities = [x.severity for x in found.findings]
  assert severities == sorted(severities, key=report.SEVERITIES.index)


def test_a_robot_that_rests_freezes_no_camera(scene):
  scene.states[:, 20:50] = scene.states[:, 20:21]
  scene.actions[:, 20:50] = scene.actions[:, 20:21]
  for camera in CAMERAS:
    scene.pictures[camera][:, 20:50] = scene.pictures[camera][:, 20:21]
  assert "frozen camera" not in {x for x, _ in kinds(look(scene, full=True))}


def test_noise_of_a_sensor_is_no_motion(scene):
  scene.states[:, 20:50] = scene.states[:, 20:21]
  scene.actions[:, 20:50] = scene.actions[:, 20:21]
  for camera in CAMERAS:
    scene.pictures[camera][:, 20:50] = scene.pictures[camera][:, 20:21]
  noise = np.random.default_rng(3).normal(size=(6, 60, 1)).astype(np.float32)
  scene.more["observation.effort"] = noise
  assert "frozen camera" not in {x for x, _ in kinds(look(scene, full=True))}


def test_joints_that_jump_together_are_told_together(scene):
  jump(scene)
  scene.actions[3, 30, 0] += 3
  scene.actions[1, 20:, 0] += 2.5
  found = one(look(scene), "action jumps")
  assert found.dimensions == ("waist", "elbow")
  assert found.said.startswith("3 jumps in 2 episodes; here elbow goes by 2")
  assert (found.episode, found.frame) == (6, 31)  # back again


def test_a_gripper_jumps_by_right(scene):
  scene.actions[..., 2] = scene.actions[..., 2] > 0
  assert "action jumps" not in {x for x, _ in kinds(look(scene))}


def test_statistics_are_compared_in_deviations(scene):
  action = scene.statistics["action"]
  std = action["std"][1]
  action["mean"][1] += 2 * std
  action["std"][0] *= 1.01
  found = look(scene)
  rows = {(x.feature, x.statistic, x.dimension): x for x in found.differences}
  assert set(rows) == {("action", "mean", "elbow"), ("action", "std", "waist")}
  assert rows["action", "mean", "elbow"].deviations == pytest.approx(2, 1e-4)
  assert one(found, "statistics differ").severity == "severe"
  assert one(look(scene, whole=False), "statistics differ").severity == "note"
  action["mean"][1] -= 2 * std
  assert one(look(scene), "statistics differ").severity == "warning"


def test_statistics_of_cameras_are_compared_loosely(scene):
  pictures = scene.pictures["top"] / 255
  mean, std = [pictures.mean()] * 3, [pictures.std()] * 3
  scene.statistics["images/top"] = {"mean": mean, "std": std}
  assert look(scene).differences == ()
  scene.statistics["images/top"]["mean"] = [0.485, 0.456, 0.406]
  assert {x.feature for x in look(scene).differences} == {"top"}


def test_lacking_statistics_are_named(scene):
  finding = one(look(scene), "statistics missing")
  assert finding.said == "There are none of top, wrist."
  scene.statistics.clear()
  assert "statistics missing" not in {x.kind for x in look(scene).findings}


def test_asked_for_skipping_is_no_severe_fault(scene):
  FAULTS["skipped"][0](scene)
  assert one(look(scene, skip_bad=True), "unsound episode").severity == (
    "warning"
  )


def test_what_a_cache_left_out_on_request_is_no_severe_fault(scene):
  FAULTS["skipped"][0](scene)
  recording = scene.recording()
  rows = [{"episode": x.episode, "reason": ""} for x in recording.skipped]
  cached = dataclasses.replace(
    recording, details={"format_version": 2, "source": {"skipped": rows}}
  )
  found = one(examine.examine(cached), "unsound episode")
  assert found.severity == "warning"
  assert "--skip-bad-episodes" in found.advice


def test_data_without_cameras_or_actions(scene):
  scene.pictures.clear()
  assert kinds(look(scene)) == set()
  recording = scene.recording()
  bare = dataclasses.replace(recording, vectors={})
  found = examine.examine(bare)
  assert kinds(found) == set()
