"""Key signatures and the released model_signing command, both ways.

It runs as a program, as its users run it: about a second each time.
"""

import os
import shutil
import subprocess
import sys

import oms_sample
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from carnet.passport import oms, oms_format

CURVES = {
  "P-256": ec.SECP256R1(),
  "P-384": ec.SECP384R1(),
  "P-521": ec.SECP521R1(),
}
KEYS = {name: oms_sample.private(curve) for name, curve in CURVES.items()}
KEY = KEYS["P-256"]
PUBLIC = oms.public_key(KEY)
ALL_FILES = "--no-ignore-git-paths"


@pytest.fixture
def directory(tmp_path):
  directory = oms_sample.write(tmp_path / "000000001")
  # as text "d.0" is before "d/0", as paths it is after it
  (directory / "agent/d.0").write_bytes(b"sorted elsewhere")
  return directory


def _run(verb, directory, key, *flags):
  """Returns the exit code and what the command said."""
  flag = {"sign": "--private_key", "verify": "--public_key"}[verb]
  path = directory.parent / f"{verb}.pem"
  path.write_bytes(key)
  done = subprocess.run(
    [
      *(sys.executable, "-m", "model_signing", verb, "key", str(directory)),
      *(flag, str(path), "--signature", str(directory / oms.NAME), *flags),
    ],
    capture_output=True,
    text=True,
    timeout=120,
    env={k: v for k, v in os.environ.items() if not k.startswith("OTEL_")},
  )
  return done.returncode, done.stdout + done.stderr


def _sign(directory, key=KEY, **options):
  (directory / oms.NAME).write_bytes(oms.sign(directory, key, **options))


def _verify(directory, key=KEY):
  bundle = (directory / oms.NAME).read_bytes()
  return oms.verify(directory, bundle, oms.public_key(key))


@pytest.mark.parametrize("curve", CURVES)
def test_signed_here_verifies_there(directory, curve):
  facts = {"verdict": "pass", "accepted": [], "nested": {"x": 0.5, "y": None}}
  _sign(directory, KEYS[curve], facts=facts if curve == "P-256" else None)
  code, output = _run("verify", directory, oms.public_key(KEYS[curve]))
  assert (code, output.strip()) == (0, "Verification succeeded")


@pytest.mark.parametrize("curve", CURVES)
def test_signed_there_verifies_here(directory, curve):
  code, output = _run("sign", directory, KEYS[curve], ALL_FILES)
  assert (code, output.strip()) == (0, "Signing succeeded")
  theirs = (directory / oms.NAME).read_bytes()
  found = _verify(directory, KEYS[curve])
  assert found.facts == {}
  _sign(directory, KEYS[curve])
  assert found == _verify(directory, KEYS[curve])
  # the same statement, in the same order, and the same name of the key
  ours = (directory / oms.NAME).read_bytes()
  assert oms_sample.statement(ours) == oms_sample.statement(theirs)
  hints = [oms_format.decode_bundle(bundle).hint for bundle in (ours, theirs)]
  assert hints == [found.key_hint] * 2


def test_tampering_is_found_there_and_here(directory, tmp_path):
  _sign(directory, facts={"verdict": "pass"})
  flipped = tmp_path / "flipped"
  shutil.copytree(directory, flipped)
  (flipped / "agent/d/0").write_bytes(bytes(256))
  added = tmp_path / "added"
  shutil.copytree(directory, added)
  (added / ".git").mkdir()
  (added / ".git/config").touch()
  expected = {
    flipped: ("Hash mismatch for 'agent/d/0'", "agent/d/0 was altered"),
    added: ("Extra files found", ".git/config was added: it is not signed"),
  }
  for place, (there, here) in expected.items():
    code, output = _run("verify", place, PUBLIC, ALL_FILES)
    assert code == 1
    assert there in output
    with pytest.raises(oms.SignatureError, match=here):
      _verify(place)


def test_another_key_is_refused_there_and_here(directory):
  _sign(directory, KEYS["P-384"])
  code, output = _run("verify", directory, PUBLIC)
  assert code == 1
  assert "Key mismatch" in output
  with pytest.raises(oms.SignatureError, match="signed with another key"):
    _verify(directory)


def test_files_of_git_that_they_leave_unsigned_are_named(directory):
  (directory / ".gitattributes").write_text("*.ocdbt filter=lfs")
  assert _run("sign", directory, KEY)[0] == 0
  with pytest.raises(oms.SignatureError) as caught:
    _verify(directory)
  assert caught.value.faults == (".gitattributes was added: it is not signed",)
  assert _run("sign", directory, KEY, ALL_FILES)[0] == 0
  assert ".gitattributes" in _verify(directory).digests


def test_files_that_they_are_told_to_ignore_are_named(directory):
  ignored = ["--ignore-paths", str(directory / "agent")]
  assert _run("sign", directory, KEY, *ignored)[0] == 0
  assert _run("verify", directory, PUBLIC)[0] == 0
  with pytest.raises(oms.SignatureError, match="agent/d/0 was added"):
    _verify(directory)
