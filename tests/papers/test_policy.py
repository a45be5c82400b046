"""A policy comes out of its checkpoint only with papers that hold."""

import json
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from carnet import errors, policy
from carnet.checkpoint import directory
from carnet.passport import oms, schema, sign


def _observation(loaded):
  return {
    "images/top": np.full((1, 32, 32, 3), 7, np.uint8),
    "qpos": np.linspace(-1, 1, 14, dtype=np.float32)[None],
  }


def test_it_acts_as_without_papers(act_step):
  with_papers = policy.load(act_step)
  without = policy.without_passport(act_step)
  actions = []
  for loaded in (with_papers, without):
    carry, key = loaded.policy.init(1), jax.random.key(0)
    _, action = loaded.policy.act(carry, _observation(loaded), key)
    actions.append(action)
  np.testing.assert_array_equal(actions[0], actions[1])
  assert with_papers.facts["passport"]["verdict"] in ("pass", "soft_signal")
  assert "passport" not in without.facts


def test_it_is_fed_as_the_passport_says(act_step, copied):
  """Another statistic in the pipeline moves the action: it is executed."""
  step = copied(act_step)
  found = schema.read(step / directory.PASSPORT)
  pipeline = list(found.transform_pipeline)
  place = next(i for i, x in enumerate(pipeline) if x.input_key == "qpos")
  params = pipeline[place].params.model_copy(update={"epsilon": 1.0})
  pipeline[place] = pipeline[place].model_copy(update={"params": params})
  usual = policy.without_passport(step)
  other = policy.without_passport(step, pipeline=tuple(pipeline))
  seen, key = _observation(usual), jax.random.key(0)
  first, second = (
    x.policy.act(x.policy.init(1), seen, key)[1] for x in (usual, other)
  )
  assert np.abs(first - second).max() > 1e-4


@pytest.mark.parametrize("name", ["catch", "walker"])
def test_dreamer_acts(name, request):
  loaded = policy.load(request.getfixturevalue(f"{name}_step"))
  env = loaded.make_env()
  step = env.reset(0)
  batch = {k: np.asarray(x)[None] for k, x in step.observation.items()}
  carry = loaded.policy.init(1)
  _, action = loaded.policy.act(carry, batch, jax.random.key(0))
  env.close()
  assert np.all(np.isfinite(action))


def test_no_passport(act_step, copied):
  step = copied(act_step)
  (step / directory.PASSPORT).unlink()
  with pytest.raises(errors.UserError, match=r"has no MODEL_PASSPORT\.json"):
    policy.load(step)
  assert policy.without_passport(step).facts["task"] == "fake/numbers"


def test_no_signoff(act_step, copied):
  step = copied(act_step)
  (step / directory.SIGNOFF).unlink()
  with pytest.raises(errors.UserError, match="signoff_present"):
    policy.load(step)
  policy.load(step, require_signoff=False)


def test_t24_an_old_signoff_that_is_put_back(act_step):
  policy.load(act_step, min_signed_utc="2020-01-01T00:00:00Z")
  with pytest.raises(errors.UserError, match="signoff_recent: signed 20"):
    policy.load(act_step, min_signed_utc="2999-01-01T00:00:00Z")
  with pytest.raises(errors.UserError, match="min_signed_utc='now' is no time"):
    policy.load(act_step, min_signed_utc="now")


def test_an_edited_passport(act_step, copied):
  step = copied(act_step)
  path = step / directory.PASSPORT
  path.write_bytes(path.read_bytes() + b"\n")
  with pytest.raises(errors.UserError, match="signoff_passport_sha"):
    policy.load(step)


def test_another_weight(act_step, copied):
  step = copied(act_step)
  place = max(
    (x for x in (step / "agent").rglob("*") if x.is_file()),
    key=lambda x: x.stat().st_size,
  )
  content = bytearray(place.read_bytes())
  content[len(content) // 2] ^= 1
  place.write_bytes(content)
  with pytest.raises(errors.UserError, match="weight_hashes"):
    policy.load(step)


def test_exchanged_between_verifying_and_loading(act_step, copied, monkeypatch):
  step = copied(act_step)
  original = policy.without_passport

  def exchange(path, *arguments):
    loaded = original(path, *arguments)
    (step / "stats.json").write_bytes((step / "stats.json").read_bytes())
    return loaded

  monkeypatch.setattr(policy, "without_passport", exchange)
  with pytest.raises(errors.UserError, match=r"changed while it was loaded"):
    policy.load(step)


@pytest.fixture
def keys(tmp_path):
  """Returns the PEM of a private key, and the file of its public one."""
  pytest.importorskip("cryptography")
  from cryptography.hazmat.primitives import serialization
  from cryptography.hazmat.primitives.asymmetric import ec

  def make(name):
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
      serialization.Encoding.PEM,
      serialization.PrivateFormat.PKCS8,
      serialization.NoEncryption(),
    )
    path = tmp_path / f"{name}.pub"
    path.write_bytes(oms.public_key(pem))
    return pem, path

  return make


def test_an_attacker_signs_off_anew(act_step, copied, keys):
  """Without a key the recomputed sign-off passes; with one it does not."""
  step = copied(act_step)
  ours, public = keys("ours")
  theirs, _ = keys("theirs")
  request = sign.Request(reason="ours", key=sign.Key(ours))
  sign.sign(step, request)
  policy.load(step, public_key=public)
  # the attacker changes nothing but who vouches for it
  forged = sign.Request(reason="theirs", key=sign.Key(theirs))
  sign.sign(step, forged)
  policy.load(step)
  with pytest.raises(errors.UserError, match="signature_valid"):
    policy.load(step, public_key=public)
  (step / oms.NAME).unlink()
  with pytest.raises(errors.UserError, match="signature_valid"):
    policy.load(step, public_key=public)


def test_a_failed_signing_leaves_no_signoff(act_step, copied):
  step = copied(act_step)
  (step / "unlisted").write_text("x")
  with pytest.raises(sign.Refused, match="unlisted_files"):
    sign.sign(step, sign.Request(reason="no"))
  assert not (step / directory.SIGNOFF).exists()


def test_soft_findings_want_a_reason(act_step, copied):
  step = copied(act_step)
  found = schema.read(step / directory.PASSPORT)
  path = step / directory.PASSPORT
  path.write_bytes(schema.encode(found.model_copy(update={"generator": None})))
  with pytest.raises(sign.ReasonMissing, match="generator_present"):
    sign.sign(step, sign.Request())
  signoff, _ = sign.sign(step, sign.Request(reason="accepted: a test"))
  assert signoff.verdict == "soft_signal"
  assert "generator_present" in signoff.accepted_soft_checks
  with pytest.raises(errors.UserError, match="one line"):
    sign.sign(step, sign.Request(reason="two\nlines"))


def test_a_dry_run_changes_nothing(act_step, copied):
  step = copied(act_step)
  before = (step / directory.SIGNOFF).read_bytes()
  sign.sign(step, sign.Request(reason="another", dry_run=True))
  assert (step / directory.SIGNOFF).read_bytes() == before


@pytest.mark.parametrize(
  ("module", "words", "code", "text"),
  [
    ("generate_command", ["/nowhere"], 2, "no checkpoint at /nowhere"),
    ("generate_command", [], 2, "CHECKPOINT"),
    ("sign_command", ["{step}", "--reason=x\ny"], 2, "one line"),
    ("sign_command", ["{step}", "--private-key=/nokey"], 2, "no file /nokey"),
  ],
)
def test_mistakes_are_one_line(act_step, copied, module, words, code, text):
  step = copied(act_step)
  command = [sys.executable, "-m", f"carnet.passport.{module}"]
  command += [word.replace("{step}", str(step)) for word in words]
  done = subprocess.run(command, capture_output=True, text=True)
  assert done.returncode == code, done.stderr
  assert re.search(text, done.stderr), done.stderr
  assert done.stderr.count("\n") == 1


def test_leaves_are_those_of_the_manifest(act_step):
  found = schema.read(act_step / directory.PASSPORT)
  rows = json.loads((act_step / "manifest.json").read_bytes())["leaves"]
  digests = {row["path"]: row["sha256"] for row in rows}
  assert found.model_internals.tree_digest.leaves == digests
