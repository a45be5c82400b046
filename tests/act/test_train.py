"""The loop ends with the same parameters however often it is stopped."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.numpy
import tiny_config

from act import train
from carnet import checkpoint, errors

ROOT = pathlib.Path(__file__).parents[2]


def _config(dataset, **overrides):
  config = tiny_config.get_config()
  config.dataset.path = str(dataset)
  config.update(overrides)
  return config


def _flat(tree, prefix=""):
  for name, value in sorted(tree.items()):
    if isinstance(value, dict):
      yield from _flat(value, f"{prefix}{name}/")
    else:
      yield prefix + name, np.asarray(value)


def _final(workdir):
  return dict(_flat(checkpoint.read(workdir, components=("agent",))))


def _steps(workdir):
  return [
    (line["step"], line.get("train/loss"), line.get("validation/l1"))
    for line in map(
      json.loads, (workdir / "metrics.jsonl").read_text().splitlines()
    )
  ]


@pytest.fixture(scope="module")
def whole(tiny_dataset, tmp_path_factory):
  """Returns the workdir of a run that nobody interrupted."""
  workdir = tmp_path_factory.mktemp("train") / "whole"
  train.train(_config(tiny_dataset), workdir)
  return workdir


def _start(dataset, workdir):
  command = [
    sys.executable,
    str(ROOT / "scripts/train.py"),
    f"--config={ROOT}/tests/act/tiny_config.py",
    f"--config.dataset.path={dataset}",
    f"--workdir={workdir}",
  ]
  return subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
  )


def _wait_for(path, process):
  deadline = time.monotonic() + 120
  while not path.exists():
    if process.poll() is not None or time.monotonic() > deadline:
      output = process.communicate()
      raise AssertionError(f"the run ended before {path.name}: {output}")
    time.sleep(0.001)


def _assert_equal_runs(left, right):
  before, after = _final(left), _final(right)
  assert before.keys() == after.keys()
  for name, value in before.items():
    np.testing.assert_array_equal(value, after[name], err_msg=name)


def test_killed_and_resumed_is_bit_equal(whole, tiny_dataset, tmp_path):
  for step in (2, 6):
    process = _start(tiny_dataset, tmp_path)
    _wait_for(tmp_path / f"checkpoints/{step:09d}", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
  process = _start(tiny_dataset, tmp_path)
  output = process.communicate()
  assert process.returncode == 0, output
  _assert_equal_runs(whole, tmp_path)
  assert _steps(whole) == _steps(tmp_path)


def test_sigterm_saves_and_says_how_to_go_on(whole, tiny_dataset, tmp_path):
  process = _start(tiny_dataset, tmp_path)
  _wait_for(tmp_path / "checkpoints/000000002", process)
  process.send_signal(signal.SIGTERM)
  _, message = process.communicate()
  if process.returncode != 0:  # it may have been past its last step
    assert process.returncode == 128 + signal.SIGTERM, message
    assert b"run the same command again" in message
  train.train(_config(tiny_dataset), tmp_path)
  _assert_equal_runs(whole, tmp_path)


def test_a_finished_run_returns_at_once(whole, tiny_dataset):
  before = (whole / "metrics.jsonl").read_bytes()
  train.train(_config(tiny_dataset), whole)
  assert (whole / "metrics.jsonl").read_bytes() == before


def test_best_latest_and_periodic_checkpoints_stay(tiny_dataset, tmp_path):
  config = _config(tiny_dataset)
  config.checkpoint.update(keep_latest=2, keep_best=1, keep_every_steps=4)
  train.train(config, tmp_path)
  losses = {s: v for s, _, v in _steps(tmp_path) if v is not None}
  best = min(losses, key=lambda step: (losses[step], -step))
  kept = {int(p.name) for p in (tmp_path / "checkpoints").glob("0*")}
  assert kept == {4, 8, 10} | {best}


def test_starting_from_another_run_takes_only_what_matches(
  whole, tiny_dataset, tmp_path
):
  config = _config(tiny_dataset, total_steps=1, from_checkpoint=str(whole))
  config.from_checkpoint_regex = "agent/params/backbone/.*"
  config.optimizer.update(learning_rate=0.0, backbone_learning_rate=0.0)
  config.optimizer.weight_decay = 0.0
  train.train(config, tmp_path)
  parent, child = _final(whole), _final(tmp_path)
  for name, value in child.items():
    if name.startswith("agent/params/backbone/"):
      np.testing.assert_array_equal(value, parent[name], err_msg=name)
  other = "agent/params/action_head/kernel"
  assert not np.array_equal(child[other], parent[other])
  assert child["agent/step"] == 1


def test_starting_from_another_format_under_other_names(
  whole, tiny_dataset, tmp_path
):
  parent = _final(whole)
  params = {k: v for k, v in parent.items() if k.startswith("agent/params/")}
  file = tmp_path / "model.safetensors"
  safetensors.numpy.save_file(
    {k.replace("agent/params/", "net/"): v for k, v in params.items()}, file
  )
  config = _config(tiny_dataset, total_steps=1, from_checkpoint=str(file))
  config.from_checkpoint_rename = (r"net/(.*) => agent/params/\1",)
  config.from_checkpoint_regex = "agent/params/.*"
  config.from_checkpoint_exclude = "agent/params/action_head/.*"
  config.optimizer.update(learning_rate=0.0, backbone_learning_rate=0.0)
  config.optimizer.weight_decay = 0.0
  train.train(config, tmp_path / "run")
  child = _final(tmp_path / "run")
  for name in params:
    equal = np.array_equal(child[name], parent[name])
    assert equal is not name.startswith("agent/params/action_head/"), name
  (origin,) = checkpoint.read_manifest(tmp_path / "run").lineage
  assert origin["path"] == str(file)
  assert origin["rename"] == {"net/(.*)": r"agent/params/\1"}
  assert len(origin["taken_tree_sha256"]) == 64


def test_a_dry_run_shows_what_it_would_restore_and_writes_nothing(
  whole, tiny_dataset, tmp_path, capsys
):
  config = _config(tiny_dataset, from_checkpoint=str(whole))
  config.from_checkpoint_regex = "agent/params/backbone/.*"
  train.train(config, tmp_path / "run", dry_run=True)
  assert "To be restored" in capsys.readouterr().err
  config.model.update(width=32)
  config.from_checkpoint_regex = "agent/params/.*"
  with pytest.raises(checkpoint.MismatchError, match="shape or dtype changed"):
    train.train(config, tmp_path / "run", dry_run=True)
  assert not (tmp_path / "run").exists()


def test_a_parent_may_bring_its_counter_and_optimizer(
  whole, tiny_dataset, tmp_path
):
  config = _config(tiny_dataset, from_checkpoint=str(whole), total_steps=12)
  config.from_checkpoint_regex = "agent/.*"
  train.train(config, tmp_path / "more")
  steps = checkpoint.Checkpoint(tmp_path / "more/checkpoints").steps()
  assert (min(steps), max(steps)) in ((10, 12), (11, 12), (12, 12))
  assert _final(tmp_path / "more")["agent/step"] == 12
  for total in (9, 10):  # beyond, and nothing left to train
    config.total_steps = total
    with pytest.raises(errors.UserError, match=f"10, and total_steps={total}"):
      train.train(config, tmp_path / f"to {total}")


def test_a_workdir_of_another_run_is_refused(whole, tiny_dataset):
  config = _config(tiny_dataset, batch_size=2)
  with pytest.raises(errors.UserError, match="another batch_size"):
    train.train(config, whole)


def test_pictures_must_be_those_of_the_demonstrations(tiny_dataset, tmp_path):
  config = _config(tiny_dataset)
  config.environment.renderer = "gl"
  with pytest.raises(errors.UserError, match="renderer is 'gl'"):
    train.train(config, tmp_path / "new")
  assert not (tmp_path / "new").exists()


def test_a_loss_that_is_not_finite_stops_the_run(tiny_dataset, tmp_path):
  config = _config(tiny_dataset)
  config.optimizer.update(learning_rate=1e30, backbone_learning_rate=1e30)
  with pytest.raises(errors.UserError, match="lower --config"):
    train.train(config, tmp_path)
