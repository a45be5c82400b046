"""Which directory is meant, and what is said of one that has no passport."""

import json
import pathlib

import pytest

from carnet import errors, policy
from carnet.checkpoint import directory, manifest
from carnet.passport import context, sign_command, validate_command

NO_PASSPORT = "has no MODEL_PASSPORT.json: generate-passport"


@pytest.fixture(
  params=[
    "_METADATA",
    "params/_METADATA",
    "7/default/_METADATA",
    "a.safetensors",
  ]
)
def foreign(request, tmp_path):
  """Returns a checkpoint of another program, without papers."""
  place = tmp_path / "ck" / request.param
  place.parent.mkdir(parents=True)
  place.write_text("{}")
  return tmp_path / "ck"


def test_a_passport_decides(foreign):
  (foreign / directory.PASSPORT).write_text("{}")
  assert context.resolve(foreign) == foreign


def test_a_passport_that_a_kill_took_away_is_named_and_put_back(
  foreign, capsys
):
  left = ".assets.7.writing/old/MODEL_PASSPORT.json"
  (foreign / left).parent.mkdir(parents=True)
  (foreign / left).write_text("{}")
  for command, words in ((validate_command, []), (sign_command, ["--dry-run"])):
    assert command.main([str(foreign), *words]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert f"left it at {left}; the next sign-checkpoint" in out
    assert (foreign / left).exists()
  assert sign_command.main([str(foreign)]) == 1
  assert (foreign / directory.PASSPORT).read_text() == "{}"
  assert not (foreign / ".assets.7.writing").exists()


def test_another_programs_checkpoint_has_no_passport_yet(foreign, capsys):
  for refuse in (context.resolve, policy.load):
    with pytest.raises(errors.UserError, match=NO_PASSPORT):
      refuse(foreign)
  for command in (validate_command, sign_command):
    assert command.main([str(foreign)]) == 2
    said = capsys.readouterr().err
    assert NO_PASSPORT in said
    assert said.count("\n") == 1


def test_another_program_loads_its_own(foreign):
  (foreign / "config.json").write_text(json.dumps({"rate": 1}))
  with pytest.raises(errors.UserError, match="program's own code loads it"):
    policy.without_passport(foreign)


@pytest.mark.parametrize(
  "name", ["notes.txt", "checkpoints/0/_METADATA", "000000010/a/_METADATA"]
)
def test_what_is_none_stays_none(name, tmp_path):
  (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
  (tmp_path / name).write_text("")
  assert not context.foreign(tmp_path)
  for place in (tmp_path, pathlib.Path("/nowhere")):
    with pytest.raises(errors.UserError, match="no checkpoint at"):
      context.resolve(place)


def test_a_step_of_ours_is_a_step(step):
  assert (step / manifest.NAME).exists()
  assert not context.foreign(step)
  assert context.resolve(step) == step
