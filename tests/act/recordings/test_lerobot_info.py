"""Metadata that cannot be true are refused, before anything is opened."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import spoilt_lerobot


@pytest.mark.parametrize(
  ("version", "words"),
  [
    ("v1.6", "convert_dataset_v1_to_v2.py"),
    ("v2.2", "convert it with the LeRobot that wrote it"),
    ("v4.0", "update carnet"),
    (None, "no codebase_version"),
    (3, "update carnet"),
    ("latest" * 50, "codebase_version 'latest"),
  ],
)
def test_versions_that_nobody_reads(lerobot_copy, version, words):
  root = lerobot_copy()
  spoilt_lerobot.change_info(
    root, lambda info: info.update(codebase_version=version)
  )
  message = spoilt_lerobot.told(root)
  assert words in message
  assert "read are v2.0, v2.1, v3.0" in message
  assert "meta/info.json" in message


@pytest.mark.parametrize(
  "template",
  [
    "../../{video_key}",
    "/etc/{chunk_index}",
    "videos/../../{file_index}",
    "{video_key.__class__}",
    "{video_key!r}",
    "{chunk_index:99999999999d}",
    "{nothing}",
    "{0}",
    "{}",
    "a\nb",
    "c:\\{file_index}",
    "",
    3,
  ],
)
def test_paths_that_lead_elsewhere(lerobot_copy, template):
  root = lerobot_copy()
  spoilt_lerobot.change_info(
    root, lambda info: info.update(video_path=template)
  )
  assert "info.json: the path" in spoilt_lerobot.told(root, skip_bad=True)


@pytest.mark.parametrize("key", ["../up", "a/b", "..", "", "new\nline"])
def test_features_whose_names_are_paths(lerobot_copy, key):
  root = lerobot_copy()
  video = {"dtype": "video", "shape": [64, 96, 3], "names": None}
  spoilt_lerobot.change_info(
    root, lambda info: info["features"].update({key: video})
  )
  assert "cannot be part of a path" in spoilt_lerobot.told(root)


@pytest.mark.parametrize(
  "values",
  [
    {"fps": 0},
    {"fps": -3},
    {"fps": float("nan")},
    {"fps": "10"},
    {"fps": 10**9},
    {"total_episodes": -1},
    {"total_episodes": 10**30},
    {"total_frames": 1.5},
    {"total_frames": 0},
    {"features": {}},
    {"features": []},
    {"features": {"action": {"shape": [7]}}},
    {"features": {"action": {"dtype": "float32", "shape": [-7]}}},
    {"features": {"action": {"dtype": "float32", "shape": [1 << 20] * 3}}},
    {"features": {"action": {"dtype": "float32", "shape": "7"}}},
    {"features": {"top": {"dtype": "video", "shape": [64, 96]}}},
    {"features": {"top": {"dtype": "video", "shape": [1 << 19, 9, 3]}}},
  ],
)
def test_infos_that_cannot_be_true(lerobot_copy, values):
  root = lerobot_copy()
  spoilt_lerobot.change_info(root, lambda info: info.update(values))
  assert "meta/info.json: " in spoilt_lerobot.told(root)


@pytest.mark.parametrize(
  ("content", "words"),
  [
    (b"[]", "list, not an object"),
    (b"{", "not JSON"),
    (b"\xff\xfe", "not JSON"),
    (b"[" * 100_000, "not JSON"),
    (b" " * (1 << 26) + b"{}", "at most 67108864 are read"),
  ],
)
def test_an_info_that_is_none(lerobot_copy, content, words):
  root = lerobot_copy()
  (root / "meta/info.json").write_bytes(content)
  assert words in spoilt_lerobot.told(root)


def test_statistics_that_are_none(lerobot_copy):
  root = lerobot_copy()
  path = root / "meta/stats.json"
  for content, words in (
    ('{"action": {"mean": ["a"]}}', "mean of 'action': 'a' is no number"),
    ('{"action": {"std": [NaN]}}', "std of 'action': nan is no number"),
    ("[]", "not an object"),
  ):
    path.write_text(content)
    message = spoilt_lerobot.told(root)
    assert "stats.json" in message
    assert words in message
