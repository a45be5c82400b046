import json

import pytest

from carnet import metrics


def _steps(path):
  return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_resume_drops_what_the_killed_run_wrote_after_its_checkpoint(tmp_path):
  path = tmp_path / "metrics.jsonl"
  writer = metrics.JsonLines(path)
  for step in (1, 2, 3):
    writer.write(step, {"loss/l1": 1.0 / step})
  writer.close()
  with path.open("a") as file:
    file.write('{"step": 4, "loss/l')  # a kill in the middle of a line
  metrics.JsonLines(path, first_step=2).close()
  assert _steps(path) == [1, 2]


def test_a_fresh_run_starts_an_empty_file(tmp_path):
  writer = metrics.JsonLines(tmp_path / "metrics.jsonl")
  writer.write(5, {"loss/l1": float("nan"), "loss/kl": 2.0})
  writer.close()
  line = (tmp_path / "metrics.jsonl").read_text()
  assert json.loads(line) == {"step": 5, "loss/l1": None, "loss/kl": 2.0}


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboardX")
def test_tensorboard_events_are_written_beside_the_lines(tmp_path):
  writer = metrics.open_writer(tmp_path)
  writer.write(1, {"loss/l1": 0.5})
  writer.close()
  assert _steps(tmp_path / "metrics.jsonl") == [1]
  events = list((tmp_path / "tensorboard").iterdir())
  assert len(events) == 1
  assert b"loss/l1" in events[0].read_bytes()
