"""The script on data of each kind: what it prints, and its exit code."""

import json
import os
import pathlib
import shutil

import h5py
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from carnet import errors

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"
LEROBOT = pathlib.Path(
  os.environ.get("LEROBOT_DATASET_FIXTURES")
  or FIXTURES / "lerobot_dataset_v30_tiny"
)


@pytest.fixture(scope="module")
def script(load_script):
  """Returns the script as a module."""
  return load_script("dataset")


@pytest.fixture
def call(script, call_script):
  """Returns a function: words and flags -> exit code and standard output."""
  return lambda *words: call_script(script, words, 80)[:2]


def write(path, length=40, seed=0, cameras=("top",)):
  rng = np.random.default_rng(seed)
  states = np.sin(np.arange(length + 1)[:, None] / 6 + rng.uniform(0, 6, 7))
  with h5py.File(path, "w") as file:
    file["observations/qpos"] = states[:-1]
    file["action"] = states[1:] + rng.normal(0, 1e-3, (length, 7))
    for camera in cameras:
      pictures = rng.integers(0, 256, (length, 16, 16, 3)).astype(np.uint8)
      file[f"observations/images/{camera}"] = pictures


@pytest.fixture
def episodes(tmp_path):
  root = tmp_path / "episodes"
  root.mkdir()
  for number in range(3):
    write(root / f"episode_{number}.hdf5", seed=number)
  return root


def test_lerobot(call, tmp_path):
  info = json.loads((LEROBOT / "meta/info.json").read_text())
  page = tmp_path / "page.html"
  code, out = call(f"lerobot:{LEROBOT}", "--json", f"--html={page}")
  found = json.loads(out)
  assert code == (found["counts"]["severe"] > 0)
  assert found["fps"] == info["fps"]
  assert len(found["episodes"]) == info["total_episodes"]
  assert found["frames"] == info["total_frames"]
  assert found["differences"] == []
  names = {x["name"] for x in found["features"]}
  cameras = {k for k, x in info["features"].items() if len(x["shape"]) == 3}
  assert names >= cameras | {"action"}
  assert page.read_text().count("<img") >= len(cameras)


def test_lerobot_with_wrong_statistics(call, tmp_path):
  root = shutil.copytree(LEROBOT, tmp_path / "data")
  path = root / "meta/stats.json"
  stored = json.loads(path.read_text())
  stored["action"]["mean"][1] += 5 * stored["action"]["std"][1]
  path.write_text(json.dumps(stored))
  code, out = call(root)
  assert code == 1
  assert "statistics differ: action" in out
  assert "5 deviations apart" in " ".join(out.split())


def test_ours(call, tiny_demonstrations):
  code, out = call(tiny_demonstrations, "--json", "--full")
  found = json.loads(out)
  assert found["format"].startswith("carnet")
  # those of pictures are of samples, which are few here
  assert {x["feature"] for x in found["differences"]} <= {"top"}
  assert found["pictures_read"] == found["frames"]
  assert code == (found["counts"]["severe"] > 0)


@pytest.fixture
def tiny_demonstrations(tmp_path, monkeypatch):
  """Returns demonstrations of ours, by the writer that collects them."""
  monkeypatch.syspath_prepend(str(pathlib.Path(__file__).parents[1] / "act"))
  import fake_simulator

  from act import demonstrations

  settings = demonstrations.Settings(
    task="fake/numbers", episodes=2, cameras=("top",), height=32, width=32
  )
  return demonstrations.collect(
    settings,
    tmp_path / "ours",
    workers=1,
    simulator=fake_simulator.Simulator(),
  )


def test_hdf5_in_80_columns(call, episodes):
  code, out = call(f"hdf5:{episodes}")
  assert code == 0
  assert "Findings: 0 severe" in out
  assert "2.4 s" in out
  assert max(map(len, out.splitlines())) <= 80


def test_unsound_episodes_are_findings(call, episodes):
  write(episodes / "episode_3.hdf5", cameras=())
  code, out = call(episodes)
  assert code == 1
  assert "unsound episode: episode 3" in out
  assert "no camera 'top'" in out
  code, out = call(episodes, "--skip_bad_episodes", "--json")
  assert code == 0
  found = json.loads(out)
  assert found["counts"] == {"severe": 0, "warning": 1, "note": 2}
  assert call(episodes, "--episodes=3")[0] == 0


def test_progress_is_not_in_the_way(script, episodes, capsys):
  with flagsaver.flagsaver():
    script.main(flags.FLAGS(["dataset.py", f"hdf5:{episodes}", "--json"]))
  captured = capsys.readouterr()
  json.loads(captured.out)
  assert "episodes: 3/3" in captured.err


def test_mistakes(call, tmp_path, episodes):
  for words, message in (
    ((), "name one dataset"),
    ((episodes, "b"), "name one dataset"),
    ((f"hdf5:{tmp_path / 'nothing'}",), "no such file"),
    ((episodes, "--episodes=9"), "holds 3"),
    ((episodes, f"--html={tmp_path / 'no/page.html'}"), "no directory"),
  ):
    with pytest.raises(errors.UserError, match=message):
      call(*words)
  with pytest.raises(errors.UserError, match="Is a directory"):
    call(episodes, f"--html={tmp_path}")


def test_a_page_that_cannot_be_written_is_known_first(
  call, episodes, tmp_path, monkeypatch, script
):
  def refuse(*_):
    raise AssertionError("the data were opened")

  monkeypatch.setattr(script.opening, "open", refuse)
  kept = tmp_path / "kept.html"
  kept.write_text("old")
  link = tmp_path / "link.html"
  link.symlink_to(tmp_path / "gone/page.html")
  for page in (tmp_path, tmp_path / ("x" * 300), tmp_path / "a/b", link):
    with pytest.raises(errors.UserError, match="--html="):
      call(episodes, f"--html={page}")
  for page in (kept, tmp_path / "new.html"):
    with pytest.raises(AssertionError, match="were opened"):
      call(episodes, f"--html={page}")
  assert kept.read_text() == "old"
  assert not (tmp_path / "new.html").exists()
