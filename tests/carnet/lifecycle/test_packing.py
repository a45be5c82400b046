"""A signed checkpoint as an archive: all of it, the same each time, or none."""

import pathlib
import subprocess
import tarfile

import oms_sample
import pytest
import sample
import worlds

from carnet import errors
from carnet.checkpoint import directory
from carnet.lifecycle import gate, packing
from carnet.passport import plain_tree, sign


def test_what_is_unpacked_is_the_checkpoint_and_valid(run, tmp_path):
  place, out = tmp_path / "a.tar", tmp_path / "out"
  signed = packing.pack(run.parent.parent, place)
  out.mkdir()
  subprocess.run(["tar", "-xf", place, "-C", out], check=True)
  assert [path.name for path in out.iterdir()] == [signed.name]
  assert worlds.tree(out / signed.name) == worlds.tree(run)
  again = gate.require_signed(out / signed.name)
  assert again.passport_sha256 == signed.passport_sha256
  with tarfile.open(place) as archive:
    facts = {(x.mtime, x.uid, x.gid, x.uname, x.mode) for x in archive}
  assert facts == {(0, 0, 0, "", 0o444)}


def test_the_same_checkpoint_gives_the_same_archive(run, tmp_path):
  copy = sample.copy(run, tmp_path / "elsewhere")
  for path, name in ((run, "a.tar"), (copy, "b.tar")):
    packing.pack(path, tmp_path / name)
  a, b = (tmp_path / name for name in ("a.tar", "b.tar"))
  assert a.read_bytes() == b.read_bytes()


def test_what_is_not_signed_is_not_packed(run, tmp_path):
  (run / "SIGNOFF.json").unlink()
  with pytest.raises(gate.Refused, match="signoff_present"):
    packing.pack(run, tmp_path / "a.tar")
  assert not list(tmp_path.glob("*.tar*"))


def test_a_file_that_changes_meanwhile_leaves_nothing(
  run, tmp_path, monkeypatch
):
  listing = plain_tree.listing

  def late(root):
    found = listing(root)
    if late.count:
      path = run / "config.json"
      path.write_bytes(path.read_bytes().replace(b":", b" ", 1))
    late.count += 1
    return found

  late.count = 0
  monkeypatch.setattr(plain_tree, "listing", late)
  with pytest.raises(gate.Refused, match="changed while it was packed"):
    packing.pack(run, tmp_path / "a.tar")
  assert not list(tmp_path.glob("*.tar*")) + list(tmp_path.glob(".*.writing"))


def test_places_that_cannot_be(run, tmp_path):
  there = tmp_path / "there.tar"
  there.write_bytes(b"mine")
  for place, message in (
    (there, "is there already"),
    (run / "a.tar", "lies in the checkpoint"),
    (pathlib.Path("/nowhere/a.tar"), "cannot write /nowhere/a.tar"),
  ):
    with pytest.raises(errors.UserError, match=message):
      packing.pack(run, place)
  assert there.read_bytes() == b"mine"


def test_no_archive_is_written_into_another_checkpoint(run, runs):
  before = worlds.tree(runs[0])
  with pytest.raises(errors.UserError, match="lies in the checkpoint"):
    packing.pack(run, runs[0] / "a.tar")
  assert worlds.tree(runs[0]) == before


def test_what_comes_after_the_validation_is_not_packed(
  run, tmp_path, monkeypatch
):
  pem = oms_sample.private()
  sign.sign(run, sign.Request(reason="a test", key=sign.Key(pem)))
  require = gate.require_signed
  for name in ("evil.py", directory.SIGNATURE):

    def late(path, asked=None, name=name):
      found = require(path, asked)
      (run / name).write_bytes(b"late")
      return found

    monkeypatch.setattr(gate, "require_signed", late)
    with pytest.raises(gate.Refused, match="changed while it was packed"):
      packing.pack(run, tmp_path / "a.tar")
    assert not list(tmp_path.glob("*.tar*"))
    (run / name).unlink()


def test_a_deployment_takes_no_archive(run, deployment, tmp_path):
  worlds.promote(run, deployment)
  for place in (deployment / "a.tar", deployment / "checkpoints" / "a.tar"):
    with pytest.raises(errors.UserError, match="lies in the deployment"):
      packing.pack(run, place)
