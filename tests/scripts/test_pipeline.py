"""Collect, train, evaluate as a user does: three commands, real physics."""

import json
import pathlib
import subprocess
import sys

import av
import pytest

ROOT = pathlib.Path(__file__).parents[2]
NETWORK = (
  "--config.total_steps=4",
  "--config.batch_size=4",
  "--config.environment.height=32",
  "--config.environment.width=32",
  "--config.model.width=16",
  "--config.model.backbone_widths=(4,8,8,8)",
)


def _run(script, *arguments):
  return subprocess.run(
    [sys.executable, str(ROOT / f"scripts/{script}.py"), *arguments],
    capture_output=True,
    text=True,
    cwd=ROOT,
  )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """Returns the data and the workdir of a policy that was trained a little."""
  root = tmp_path_factory.mktemp("pipeline")
  collected = _run(
    "collect_demos",
    "--episodes=2",
    "--height=32",
    "--width=32",
    "--renderer=raycast",
    f"--directory={root}/data",
  )
  assert collected.returncode == 0, collected.stderr
  done = _run(
    "train",
    "--config=configs/act/quickstart.py:smoke",
    f"--workdir={root}/run",
    f"--config.dataset.path={root}/data",
    "--config.evaluation.every_steps=4",
    "--config.evaluation.episodes=2",
    *NETWORK,
  )
  assert done.returncode == 0, done.stderr
  return root


def test_training_evaluates_on_schedule(trained):
  lines = (trained / "run/metrics.jsonl").read_text().splitlines()
  last = json.loads(lines[-1])
  assert last["step"] == 4
  assert 0 <= last["evaluation/low"] <= last["evaluation/success_rate"]
  assert last["evaluation/success_rate"] <= last["evaluation/high"] <= 1
  assert last["evaluation/mean_return"] >= 0


def test_evaluation_reads_only_the_checkpoint(trained, tmp_path):
  moved = tmp_path / "elsewhere"
  newest = max((trained / "run/checkpoints").glob("0*"))
  subprocess.run(["cp", "-r", str(newest), str(moved)], check=True)
  done = _run(
    "eval",
    f"--checkpoint={moved}",
    "--episodes=2",
    "--video_height=48",
    f"--output={tmp_path}/out",
  )
  assert done.returncode == 0, done.stderr
  report = json.loads((tmp_path / "out/results.json").read_text())
  assert report["step"] == 4
  assert report["execution"] == {"n_action_steps": 25}
  assert [row["length"] for row in report["per_episode"]] == [400, 400]
  assert report["summary"]["episodes"] == 2
  (video,) = (tmp_path / "out").glob("*.mp4")
  with av.open(str(video)) as container:
    frames = sum(1 for _ in container.decode(video=0))
  assert frames == 200


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--checkpoint=/nowhere"], "/nowhere"),
    (["--n_action_steps=101"], "more than the 100 actions"),
    (["--episodes=0"], "episodes"),
  ],
)
def test_wrong_evaluations_end_with_one_line(trained, flags, message):
  done = _run("eval", f"--checkpoint={trained}/run", *flags)
  assert done.returncode == 2, done.stderr
  assert message in done.stderr
  assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--config.dataset.path=/nowhere"], "/nowhere"),
    (["--config.dataset.cameras=('tpo',)"], "did you mean 'top'"),
    (["--config.environment.height=64"], "--config.environment.height=32"),
    (["--config.model.backbone=resnet19"], "did you mean 'resnet18'"),
    (["--config.dataset.sampling=frame"], "did you mean 'frames'"),
    (["--config.model.heads=3"], "heads"),
  ],
)
def test_wrong_trainings_end_with_one_line(trained, tmp_path, flags, message):
  done = _run(
    "train",
    "--config=configs/act/quickstart.py:smoke",
    f"--workdir={tmp_path}/new",
    f"--config.dataset.path={trained}/data",
    *NETWORK,
    *flags,
  )
  assert done.returncode == 2, done.stderr
  assert message in done.stderr
  assert done.stderr.count("\n") == 1
  assert not (tmp_path / "new").exists()
