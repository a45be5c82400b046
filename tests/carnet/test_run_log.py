"""The log that travels: bounded, complete at both ends, silent on the place."""

import getpass
import itertools
import json
import socket

from carnet import run_log


def _write(path, rows, mode="a"):
  with path.open(mode) as file:
    file.writelines(json.dumps(row) + "\n" for row in rows)


def _steps(page, title):
  table = page.split(f"## {title}\n")[1].split("\n## ")[0]
  rows = [line for line in table.splitlines() if line.startswith("| ")]
  return [int(row.split("|")[1]) for row in rows[2:]]


def test_first_last_and_evenly_spaced_rows_of_a_long_run(tmp_path):
  path = tmp_path / "metrics.jsonl"
  _write(path, [{"step": i, "train/loss": i / 7} for i in range(1, 5001)])
  page = run_log.RunLog(path).render().decode()
  steps = _steps(page, "Training")
  assert (steps[0], steps[-1]) == (1, 5000)
  assert 9 <= len(steps) <= 18
  gaps = {b - a for a, b in itertools.pairwise(steps[:-1])}
  assert len(gaps) == 1
  assert len(page) < 5000
  assert "| 1 | 0.142857 |" in page


def test_each_save_reads_only_what_is_new(tmp_path):
  path = tmp_path / "metrics.jsonl"
  rows = [{"step": i, "train/loss": 1.0} for i in range(100)]
  log = run_log.RunLog(path)
  assert b"Nothing was measured" in log.render()
  for start in range(0, 100, 10):
    _write(path, rows[start : start + 10])
    assert _steps(log.render().decode(), "Training")[-1] == start + 9
  whole = run_log.RunLog(path).render()
  assert log.render() == whole
  # what was read is not read again: it may change unseen
  content = path.read_bytes()
  path.write_bytes(content.replace(b"1.0", b"2.0"))
  assert log.render() == whole


def test_a_file_that_a_resumption_cut_is_read_anew(tmp_path):
  path = tmp_path / "metrics.jsonl"
  _write(path, [{"step": i, "train/loss": 1.0} for i in range(9)])
  log = run_log.RunLog(path)
  log.render()
  draft = tmp_path / "draft"
  _write(draft, [{"step": i, "train/loss": 1.0} for i in range(4)])
  draft.replace(path)
  assert _steps(log.render().decode(), "Training") == [0, 1, 2, 3]


def test_a_line_that_is_being_written_waits(tmp_path):
  path = tmp_path / "metrics.jsonl"
  _write(path, [{"step": 1, "train/loss": 1.0}])
  with path.open("a") as file:
    file.write('{"step": 2, "train/lo')
  log = run_log.RunLog(path)
  assert _steps(log.render().decode(), "Training") == [1]
  with path.open("a") as file:
    file.write('ss": 0.5}\n')
  assert _steps(log.render().decode(), "Training") == [1, 2]


def test_more_than_may_be_read_at_once_comes_later(tmp_path, monkeypatch):
  monkeypatch.setattr(run_log, "_MOST_BYTES", 300)
  path = tmp_path / "metrics.jsonl"
  _write(path, [{"step": i, "train/loss": 1.0} for i in range(20)])
  log = run_log.RunLog(path)
  pages = [log.render().decode() for _ in range(3)]
  assert ["beyond what was read" in page for page in pages] == [1, 1, 0]
  assert _steps(pages[-1], "Training")[-1] == 19


def test_evaluations_have_tables_of_their_own(tmp_path):
  path = tmp_path / "metrics.jsonl"
  _write(path, [{"step": i, "train/loss": 1.0} for i in range(1, 400)])
  _write(path, [{"step": 400, "evaluation/success_rate": 0.5}])
  _write(path, [{"step": 400, "validation/l1": None, "frames": 3}])
  page = run_log.RunLog(path).render().decode()
  assert _steps(page, "Evaluation") == [400]
  assert "| step | success_rate |\n| ---: | ---: |\n| 400 | 0.5 |" in page
  assert "| 400 |  |" in page  # null
  assert "frames" not in page


def test_telling_columns_come_first_and_are_few(tmp_path):
  path = tmp_path / "metrics.jsonl"
  row = {f"train/{name}": 1.0 for name in "abcdefghij"} | {"train/opt/loss": 2}
  _write(path, [{"step": 1, **row}])
  page = run_log.RunLog(path).render().decode()
  assert "| step | opt/loss | a | b | c | d | e | f | g |\n" in page


def test_the_command_names_no_place_user_or_machine():
  command = run_log.sanitized(
    [
      "/home/someone/carnet/scripts/train.py",
      "--config=/home/someone/configs/x.py:small",
      "--workdir=~/runs/a",
      "--config.dataset.path=../data/cubes",
      "--config.environment.name=dmc/walker_walk",
      "--pair=('/data/a','/data/b')",
      "--odd=/home/someone/a=b",
      "--file=file:///home/someone/c",
      "~someone/d",
      "--mirror=https://example.org/data/x",
    ]
  )
  assert "someone" not in command
  assert command == (
    "train.py --config=x.py:small --workdir=a --config.dataset.path=cubes "
    "--config.environment.name=dmc/walker_walk "
    """'--pair=('"'"'a'"'"','"'"'b'"'"')' --odd=a=b --file=file:c d """
    "--mirror=https://example.org/data/x"
  )


def test_user_and_host_are_replaced(monkeypatch):
  monkeypatch.setattr(getpass, "getuser", lambda: "alice")
  monkeypatch.setattr(socket, "gethostname", lambda: "box7.lab.example")
  words = ["run", "--a=alice@box7", "--b=runs/alice/1", "--c=malice"]
  assert run_log.sanitized(words) == (
    "run --a=USER@HOST --b=runs/USER/1 --c=malice"
  )
