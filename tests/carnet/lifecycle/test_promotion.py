"""What is promoted is good, signed, copied whole, and on record."""

import hashlib
import json
import math
import os
import shutil
import stat

import numpy as np
import oms_sample
import pytest
import sample
import worlds

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import digest, directory
from carnet.lifecycle import copying, gate, promotion, simulated, status
from carnet.passport import context, oms, sign
from carnet.passport.checks import catalogue, contract, provenance, signoff


def test_a_promoted_checkpoint_is_copied_current_and_on_record(run, deployment):
  record = worlds.promote(run, deployment, "best of three")
  sha256 = digest.file(run / directory.PASSPORT)
  name = f"{sha256[:16]}-30"
  current = deployment / "current"
  assert os.readlink(current) == f"checkpoints/{name}"
  assert worlds.tree(current) == worlds.tree(run)
  assert stat.S_IMODE((current / "config.json").stat().st_mode) & 0o222 == 0
  (line,) = worlds.lines(deployment)
  told = json.loads(line)
  assert told == record.model_dump(mode="json")
  assert told["utc"].endswith("+00:00")
  assert (
    told.items()
    >= {
      "action": "promote",
      "by": "tester",
      "reason": "best of three",
      "checkpoint": name,
      "previous": None,
      "before": None,
      "passport_sha256": sha256,
      "signoff_sha256": digest.file(run / directory.SIGNOFF),
      "verdict": "pass",
      "step": 30,
      "run_id": "0" * 32,
      "source": str(run),
    }.items()
  )
  assert told["success"]["rate"] == 0.9
  assert told["success"]["episodes"] == 10
  assert sorted(path.name for path in deployment.iterdir()) == [
    *(".lock", "checkpoints", "current", "history.jsonl")
  ]


def test_each_line_seals_the_one_before(runs, deployment):
  for step in runs:
    worlds.promote(step, deployment)
  lines = worlds.lines(deployment)
  told = [json.loads(line) for line in lines]
  seals = [None, *(hashlib.sha256(line).hexdigest() for line in lines[:-1])]
  assert [row["before"] for row in told] == seals
  names = [row["checkpoint"] for row in told]
  assert [row["previous"] for row in told] == [None, *names[:-1]]
  assert len(set(names)) == 3


def test_a_checkpoint_is_copied_once_and_again_when_signed_anew(
  run, deployment
):
  first = worlds.promote(run, deployment)
  again = worlds.promote(run, deployment)
  assert again.checkpoint == first.checkpoint == again.previous
  sample.sign(run, reason="looked at it again")
  anew = worlds.promote(run, deployment)
  assert anew.checkpoint == f"{first.checkpoint}.2"
  assert len(list((deployment / "checkpoints").iterdir())) == 2


def test_a_damaged_copy_is_left_alone_and_another_one_made(run, deployment):
  first = worlds.promote(run, deployment)
  (deployment / "current" / "config.json").unlink()
  assert worlds.promote(run, deployment).checkpoint == f"{first.checkpoint}.2"
  assert status.status(deployment).record.checkpoint.endswith(".2")


def _unsigned(step):
  (step / directory.SIGNOFF).unlink()


def _no_papers(step):
  _unsigned(step)
  (step / directory.PASSPORT).unlink()


def _edited_passport(step):
  sample.write(step, **{"generator/version": "edited"})


def _flipped(step):
  place = next(step.glob("agent/**/d/*"))
  content = bytearray(place.read_bytes())
  content[-1] ^= 1
  place.write_bytes(content)


def _link(step):
  (step / "outside").symlink_to("/etc/passwd")


def _says_fail(step):
  sample.sign(step, verdict="fail")


@pytest.mark.parametrize(
  ("change", "code", "check"),
  [
    (_unsigned, 3, "signoff_present"),
    (_edited_passport, 3, "signoff_passport_sha"),
    (_says_fail, 3, "signoff_verdict"),
    (_no_papers, 1, "has no passport: generate-passport"),
    (_flipped, 1, "weight_hashes"),
    (_link, 1, "no_symlinks"),
  ],
)
def test_what_is_not_signed_off_is_refused(
  run, deployment, change, code, check
):
  change(run)
  with pytest.raises(gate.Refused, match=check) as refusal:
    worlds.promote(run, deployment)
  assert refusal.value.exit_code == code
  assert not deployment.exists()


def test_a_robot_must_fit(run, deployment, tmp_path, monkeypatch):
  checks = (*contract.CHECKS, *provenance.CHECKS, *signoff.CHECKS)
  monkeypatch.setattr(catalogue, "CHECKS", checks)
  devices = tmp_path / "devices.json"
  devices.write_text('{"elsewhere": {"serial": "1"}}')
  for unfit, check in (
    ({"device_map": devices}, "device_mapping"),
    ({"target_repo": tmp_path}, "deployment_repo_match"),
    ({"min_signed_utc": "2999-01-01T00:00:00Z"}, "signoff_recent"),
  ):
    with pytest.raises(gate.Refused, match=check):
      worlds.promote(run, deployment, **unfit)
  devices.write_text(f'{{"{sample.CAMERA}": {{"serial": "1"}}}}')
  fit = {"device_map": devices, "min_signed_utc": "2020-01-01T00:00:00Z"}
  worlds.promote(run, deployment, **fit)
  with pytest.raises(gate.Refused, match="deployment_repo_match"):
    status.status(deployment, context.Options(target_repo=tmp_path))


def test_a_key_must_have_signed(run, deployment, tmp_path):
  pem, public = oms_sample.private(), tmp_path / "key.pub"
  public.write_bytes(oms.public_key(pem))
  with pytest.raises(gate.Refused, match="signature_valid") as refusal:
    worlds.promote(run, deployment, public_key=public)
  assert refusal.value.exit_code == 3
  sign.sign(run, sign.Request(reason="all well", key=sign.Key(pem)))
  record = worlds.promote(run, deployment, public_key=public)
  assert record.public_key_sha256 == digest.file(public)
  assert (
    status.status(deployment, context.Options(public_key=public)).record
    == record
  )
  other = tmp_path / "other.pub"
  other.write_bytes(oms.public_key(oms_sample.private()))
  with pytest.raises(gate.Refused, match="signature_valid"):
    status.status(deployment, context.Options(public_key=other))


@pytest.mark.parametrize(
  ("successes", "demands", "refusal"),
  [
    (8, {}, None),
    (7, {}, "success rate 0.7 is below 0.8"),
    (7, {"min_success": 0.7}, None),
    (10, {"use_lower_bound": True}, "lower bound of the success rate 0.72"),
    (10, {"use_lower_bound": True, "min_success": 0.7}, None),
    (None, {}, "its task knows no success, say --min_return"),
    (None, {"min_return": 2.5}, None),
    (None, {"min_return": 2.51}, "mean return 2.5 is below 2.51"),
    # 2.5 - 1.96 * 0.25 = 2.01
    (None, {"min_return": 2.0, "use_lower_bound": True}, None),
    (None, {"min_return": 2.02, "use_lower_bound": True}, "lower bound"),
  ],
)
def test_success_in_simulation_decides(
  run, deployment, successes, demands, refusal
):
  worlds.evaluate(run, successes)
  asked = gate.Demands(**demands)
  if refusal is None:
    worlds.promote(run, deployment, demands=asked)
    return
  with pytest.raises(gate.Refused, match=refusal) as found:
    worlds.promote(run, deployment, demands=asked)
  assert found.value.exit_code == 1
  assert not deployment.exists()


@pytest.mark.parametrize(
  "demands",
  [
    {"min_success": math.nan},
    {"min_success": 1.5},
    {"min_success": -0.1},
    {"min_return": math.nan},
    {"min_return": -math.inf},
    {"min_return": math.inf},
  ],
)
def test_a_demand_that_is_no_number_is_a_mistake(demands):
  name = next(iter(demands))
  with pytest.raises(errors.UserError, match=f"^--{name} .*: give a ") as found:
    gate.Demands(**demands)
  assert not isinstance(found.value, gate.Refused)


@pytest.mark.parametrize("lower", [False, True])
def test_what_is_no_number_is_never_enough(run, lower):
  worlds.evaluate(run)
  found = simulated.best(run, directory.read_manifest(run))
  nothing = found.model_copy(update={"rate": math.nan, "low": math.nan})
  with pytest.raises(gate.Refused, match="success rate nan is below 0"):
    gate.Demands(0.0, use_lower_bound=lower).check(run, nothing)


def test_without_an_evaluation_nothing_is_promoted(run, deployment, tmp_path):
  place = worlds.evaluate(run)
  elsewhere = shutil.move(place, tmp_path / "elsewhere.json")
  with pytest.raises(gate.Refused, match="was never evaluated"):
    worlds.promote(run, deployment)
  record = worlds.promote(run, deployment, results=elsewhere)
  assert record.success.results_sha256 == digest.file(elsewhere)


def test_min_return_is_for_tasks_without_success(run, deployment):
  demands = gate.Demands(min_return=1.0)
  with pytest.raises(errors.UserError, match="has a success rate"):
    worlds.promote(run, deployment, demands=demands)


def test_the_source_may_not_change_while_it_is_copied(
  run, deployment, monkeypatch
):
  copy_files = copying._copy_files

  def slowly(source, parent, working):
    sample.write(run, **{"generator/version": "changed"})
    sample.sign(run)  # valid by itself
    copy_files(source, parent, working)

  monkeypatch.setattr(copying, "_copy_files", slowly)
  with pytest.raises(gate.Refused, match="was changed while it was copied"):
    worlds.promote(run, deployment)
  assert list((deployment / "checkpoints").iterdir()) == []
  assert not (deployment / "history.jsonl").exists()


def test_a_link_that_appears_while_copying_is_refused(
  run, deployment, monkeypatch
):
  copy_files = copying._copy_files

  def slowly(source, parent, working):
    (source / "config.json").unlink()
    (source / "config.json").symlink_to("/etc/hostname")
    copy_files(source, parent, working)

  monkeypatch.setattr(copying, "_copy_files", slowly)
  with pytest.raises(errors.UserError, match=r"config.json is a link"):
    worlds.promote(run, deployment)
  assert list((deployment / "checkpoints").iterdir()) == []


class _Replay:
  """A buffer of one chunk."""

  def state(self):
    chunk = checkpoint_lib.Chunk({"image": np.zeros((4, 8), np.uint8)})
    return checkpoint_lib.Chunked([chunk], {"added": 1})

  def load_state(self, state):
    del state


def test_chunks_beside_the_step_stay_there_and_are_not_needed(
  tmp_path, deployment, monkeypatch
):
  class WithReplay(checkpoint_lib.Checkpoint):
    def save(self, *words, **options):
      self.register("replay", _Replay())
      super().save(*words, **options)

  monkeypatch.setattr(checkpoint_lib, "Checkpoint", WithReplay, raising=False)
  step = sample.checkpoint(tmp_path / "run")
  files = sample.passport(step).weight_integrity.weight_files
  index = [row.path for row in files].index("replay/state.json")
  role = {f"weight_integrity/weight_files/{index}/role": "training_state"}
  sample.write(step, **role)
  sample.sign(step)
  worlds.evaluate(step)
  assert len(directory.read_manifest(step).chunks) == 1
  assert len(list(step.parent.glob("chunks/*/*"))) == 1
  worlds.promote(step, deployment)
  assert (deployment / "current/replay/state.json").exists()
  assert not list(deployment.rglob("*.safetensors"))
  shutil.rmtree(step.parent.parent)
  assert status.status(deployment).notes == ()


@pytest.mark.parametrize(
  "text", ["two\nlines", "", "  ", "\x1b[2J", "x" * 5000]
)
def test_reasons_are_one_printable_line(run, deployment, text):
  with pytest.raises(errors.UserError, match="--reason: give one line"):
    worlds.promote(run, deployment, text)
  assert not deployment.exists()


def test_the_login_name_is_recorded(run, deployment, monkeypatch):
  monkeypatch.setenv("LOGNAME", "somebody")
  request = promotion.Request("good")
  record = promotion.promote(run, deployment, request).record
  assert record.by == "somebody"


def test_a_soft_sign_off_is_told(original, tmp_path, deployment):
  step = worlds.run(
    original,
    tmp_path / "run",
    "run",
    verdict="soft_signal",
    accepted_soft_checks=["smoke_bounds"],
    reason="accepted: smoke_bounds",
  )
  assert worlds.promote(step, deployment).verdict == "soft_signal"
