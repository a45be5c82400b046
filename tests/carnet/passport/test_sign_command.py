"""sign-checkpoint: mistakes touch nothing, and no stale sign-off survives."""

import fcntl
import os

import checking
import oms_sample
import pytest
import sample
from cryptography.hazmat.primitives import serialization

from carnet.checkpoint import directory
from carnet.passport import context, oms, sign, sign_command, writing
from carnet.passport.checks import signoff

KEY = oms_sample.private()
PAPERS = (directory.SIGNOFF, directory.SIGNATURE)


@pytest.fixture
def key(tmp_path):
  path = tmp_path / "key.pem"
  path.write_bytes(KEY)
  return path


@pytest.fixture(scope="module")
def signed_once(original, tmp_path_factory):
  step = sample.copy(original, tmp_path_factory.mktemp("signed"))
  sign.sign(step, sign.Request(key=sign.Key(KEY)))
  return step


@pytest.fixture
def signed(signed_once, tmp_path):
  """Returns a step that is signed with a key."""
  return sample.copy(signed_once, tmp_path)


def run(step, *words):
  try:
    return sign_command.main([str(step), *words])
  except SystemExit as stop:
    return stop.code


def papers(step):
  found = [step / name for name in PAPERS]
  return [path.read_bytes() if path.exists() else None for path in found]


def _soft(step):
  """Makes a soft finding, which changes the passport."""
  sample.write(step, generator=None)


def _protected(tmp_path):
  key = serialization.load_pem_private_key(KEY, None)
  path = tmp_path / "protected.pem"
  path.write_bytes(
    key.private_bytes(
      serialization.Encoding.PEM,
      serialization.PrivateFormat.PKCS8,
      serialization.BestAvailableEncryption(b"right"),
    )
  )
  return path


def test_what_is_signed_validates(signed, tmp_path):
  public = tmp_path / "key.pub"
  public.write_bytes(oms.public_key(KEY))
  assert checking.red(signed, require_signoff=True, public_key=public) == []
  assert os.listdir(signed.parent) == [signed.name]


@pytest.mark.parametrize(
  ("words", "message"),
  [
    (["--private-key={there}/none.pem"], "there is no file"),
    (["--private-key={there}/garbage"], "private key is unreadable"),
    (["--private-key={there}/key.pub"], "a public key cannot sign"),
    (["--private-key={there}/protected.pem"], "--password-variable"),
    (["--password-variable=WORD"], "with --private-key"),
    (["--reason=two\nlines"], "--reason: give one line"),
    (["--reason=" + "x" * 70_000], "--reason: 70000 characters, at most 65536"),
    (["--signer=two\nlines"], "--signer: give one line"),
    (["--signer=" + "x" * 100_000], "--signer: 100000 characters"),
    (["--signer=\udcff"], "--signer: give one line"),
    (["--device-map={there}/garbage"], "--device-map: "),
    (["--dataset-path={there}"], "--dataset-path: "),
  ],
)
def test_a_mistake_leaves_a_valid_signoff(
  signed, tmp_path, capsys, words, message
):
  (tmp_path / "garbage").write_text("garbage")
  (tmp_path / "key.pub").write_bytes(oms.public_key(KEY))
  _protected(tmp_path)
  before = papers(signed)
  assert run(signed, *(word.format(there=tmp_path) for word in words)) == 2
  err = capsys.readouterr().err
  assert err.count("\n") == 1
  assert message in err
  assert papers(signed) == before


def test_a_wrong_password_asks_for_no_new_key(
  signed, tmp_path, capsys, monkeypatch
):
  monkeypatch.setenv("WORD", "wrong")
  words = [f"--private-key={_protected(tmp_path)}", "--password-variable=WORD"]
  before = papers(signed)
  assert run(signed, *words) == 2
  err = capsys.readouterr().err
  assert "its password is another" in err
  assert "openssl" not in err
  assert papers(signed) == before
  monkeypatch.setenv("WORD", "right")
  assert run(signed, *words) == 0


def test_a_hard_failure_leaves_no_signoff(signed, capsys):
  (signed / "stats.json").write_text("{}")
  assert run(signed) == 1
  assert "weight_hashes" in capsys.readouterr().err
  assert papers(signed) == [None, None]


@pytest.mark.parametrize(
  "words", [["--device-map={there}/map.json"], ["--target-repo={there}"]]
)
@pytest.mark.parametrize("fault", ["", "stats.json", "soft"])
def test_a_wrong_robot_takes_no_signoff_that_holds(
  signed, tmp_path, key, capsys, words, fault
):
  (tmp_path / "map.json").write_text("{}")
  if fault == "soft":
    _soft(signed)
  elif fault:
    (signed / fault).write_text("{}")
  before = papers(signed)
  words = [f"--private-key={key}", "--reason=known", *words]
  assert run(signed, *(word.format(there=tmp_path) for word in words)) == 1
  assert "is not signed: " in capsys.readouterr().err
  assert papers(signed) == ([None, None] if fault else before)


def test_a_signoff_that_a_kill_took_away_is_back_before_a_mistake(
  signed, tmp_path, capsys
):
  before = papers(signed)
  left = signed / ".assets.7.writing/old"
  left.mkdir(parents=True)
  for name in (directory.PASSPORT, *PAPERS):
    (signed / name).rename(left / name)
  (tmp_path / "garbage").write_text("garbage")
  assert run(signed, f"--device-map={tmp_path / 'garbage'}") == 2
  assert papers(signed) == before
  assert checking.red(signed, require_signoff=True) == []


def test_without_a_reason_a_signoff_survives_that_still_holds(step, capsys):
  _soft(step)
  assert run(step, "--reason=known") == 0
  before = papers(step)
  assert run(step) == 2
  assert "--reason=" in capsys.readouterr().err
  assert papers(step) == before
  assert checking.red(step, require_signoff=True) == []


def test_without_a_reason_a_signoff_of_other_papers_goes(signed, capsys):
  _soft(signed)
  assert run(signed) == 2
  assert papers(signed) == [None, None]


def test_a_signature_that_goes_is_told(signed, capsys):
  assert run(signed) == 0
  out, err = capsys.readouterr()
  assert "SIGNOFF.json: pass" in out
  assert err.startswith("SIGNOFF.sig is gone")
  assert err.count("\n") == 1
  assert papers(signed)[1] is None
  assert run(signed) == 0
  assert capsys.readouterr().err == ""


def test_a_dry_run_changes_nothing(signed, capsys):
  (signed / ".SIGNOFF.json.1.writing").write_text("{")
  before = papers(signed)
  assert run(signed, "--dry-run") == 1
  assert papers(signed) == before
  assert "left by a killed" in capsys.readouterr().out


def test_leftovers_of_a_killed_process_are_swept(step):
  (step / ".SIGNOFF.json.1.writing").write_text("{")
  assert run(step) == 0
  assert not list(step.glob(".SIGNOFF*"))


def test_a_link_is_no_signoff_and_is_replaced(step, tmp_path):
  (step / directory.SIGNOFF).rename(tmp_path / "elsewhere")
  (step / directory.SIGNOFF).symlink_to(tmp_path / "elsewhere")
  assert run(step) == 0
  assert not (step / directory.SIGNOFF).is_symlink()
  assert checking.red(step, require_signoff=True) == []


def test_one_signs_at_a_time(signed, capsys):
  before = papers(signed)
  descriptor = os.open(signed, os.O_RDONLY)
  fcntl.flock(descriptor, fcntl.LOCK_EX)
  assert run(signed) == 2
  assert "is being written by another" in capsys.readouterr().err
  assert papers(signed) == before
  os.close(descriptor)
  assert run(signed) == 0


def test_half_a_signoff_is_none(signed, key, monkeypatch):
  whole = writing.write

  def stop(path, content):
    if path.name == directory.SIGNATURE:
      raise KeyboardInterrupt
    whole(path, content)

  monkeypatch.setattr(writing, "write", stop)
  assert run(signed, f"--private-key={key}") == 130
  assert papers(signed) == [None, None]


def test_who_signs_and_why_is_what_was_said(step):
  assert run(step, "--signer= N. N. ", "--reason= looked at it ") == 0
  found = context.Context(step).signoff
  assert (found.signer, found.reason) == ("N. N.", "looked at it")
  about_itself = {x.id for x in signoff.CHECKS}
  assert about_itself <= set(found.not_checked)
