"""generate-passport --static-only as a user calls it, without JAX."""

import json

import pytest

from carnet.checkpoint import directory
from carnet.passport import generate_command, schema

REASON = ["--reason", "of another lab"]


@pytest.fixture
def bare(step):
  for name in (directory.PASSPORT, directory.SIGNOFF):
    (step / name).unlink()
  return step


def generate(step, *flags):
  try:
    return generate_command.main([str(step), "--static-only", *flags])
  except SystemExit as error:  # of argparse
    return error.code


def test_what_nobody_recorded_is_asked_for_and_nothing_is_written(bare, capsys):
  assert generate(bare) == 2
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 1
  assert "model_class" in lines[0]
  assert not (bare / directory.PASSPORT).exists()


def test_flags_tell_it_and_what_is_left_is_listed(bare, capsys, tmp_path):
  issue = tmp_path / "issue.json"
  issue.write_text(
    json.dumps(
      {"id": "I1", "title": "slips", "severity": "low", "affected": "all"}
      | {"workaround": "", "check_type": "human", "check_id": None}
    )
  )
  flags = ["--dataset-repo=cubes@1f38", "--loader-class=mine.Loader"]
  flags += [f"--known-issue={issue}"]
  for name in ("training_commit", "model_class", "run_log"):
    flags += ["--allow-missing", name]
  assert generate(bare, *flags, *REASON) == 0
  found = schema.read(bare / directory.PASSPORT)
  rows = found.provenance.training_datasets
  assert [(x.id, x.revision) for x in rows] == [("cubes", "1f38")]
  assert [x.id for x in found.known_issues] == [
    "I1",
    "missing-training_commit",
    "missing-model_class",
    "missing-run_log",
  ]
  text = capsys.readouterr().out
  assert "by generate-passport, second phase" in text
  assert "model_internals/numerical_health" in text


@pytest.mark.parametrize(
  ("flags", "message"),
  [
    (["--dataset-repo=a@1"], "1 --dataset-repo and 0 --loader-class"),
    (["--training-repo=/nowhere"], "no git repository"),
    (["--target-repo=/nowhere"], "no git repository"),
    (["--setup=/nowhere"], "there is no file /nowhere"),
    (["--allow-missing=commit", *REASON], "unknown field of --allow-missing"),
    (["--allow-missing=run_log"], "together"),
  ],
  ids=["loader", "training", "target", "setup", "field", "reason"],
)
def test_wrong_flags_are_one_line_and_leave_the_papers(
  step, capsys, flags, message
):
  before = (step / directory.SIGNOFF).read_bytes()
  assert generate(step, *flags) == 2
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 1
  assert message in lines[0]
  assert (step / directory.SIGNOFF).read_bytes() == before
