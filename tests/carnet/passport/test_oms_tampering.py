"""What verification of a key signature reports, change by change.

The rows are those that were tried with the released model_signing command.
"""

import hashlib
import json
import os
import shutil

import oms_sample
import pytest

from carnet import errors
from carnet.passport import oms, plain_tree

KEY = oms_sample.private()
PUBLIC = oms.public_key(KEY)


@pytest.fixture
def directory(tmp_path):
  return oms_sample.write(tmp_path / "000000001")


@pytest.fixture
def signed(directory):
  (directory / oms.NAME).write_bytes(oms.sign(directory, KEY))
  return directory


def _verify(directory, **options):
  return oms.verify(
    directory, (directory / oms.NAME).read_bytes(), PUBLIC, **options
  )


def _faults(directory, **options):
  with pytest.raises(oms.SignatureError) as caught:
    _verify(directory, **options)
  line = str(caught.value)
  assert line.isprintable()
  assert all(fault in line for fault in caught.value.faults[:5])
  return list(caught.value.faults)


def test_an_altered_byte_is_named(signed):
  (signed / "agent/d/0").write_bytes(bytes(256))
  (fault,) = _faults(signed)
  assert fault.startswith("agent/d/0 was altered: its sha256 is 5341e6b26469")


@pytest.mark.parametrize(
  "name", ["extra", "agent/d/1", ".git/hooks/x", ".gitignore", ".github/x"]
)
def test_an_added_file_is_named(signed, name):
  (signed / name).parent.mkdir(parents=True, exist_ok=True)
  (signed / name).touch()
  assert _faults(signed) == [f"{name} was added: it is not signed"]
  assert (
    _verify(signed, ignore=[name]).digests.keys() == oms_sample.FILES.keys()
  )


def test_a_removed_and_a_renamed_file_are_named(signed):
  (signed / "agent/d/empty").unlink()
  (signed / "agent/d/0").rename(signed / "agent/d/1")
  assert _faults(signed) == [
    "agent/d/0 is missing",
    "agent/d/1 was added: it is not signed",
    "agent/d/empty is missing",
  ]


def test_a_signed_file_cannot_be_ignored(signed):
  (signed / "agent/d/0").unlink()
  assert _faults(signed, ignore=["agent/d/0"]) == ["agent/d/0 is missing"]


@pytest.mark.parametrize("target", ["{elsewhere}", "../absent", "0"])
def test_links_are_refused_whatever_they_lead_to(signed, tmp_path, target):
  elsewhere = tmp_path / "elsewhere"
  elsewhere.write_bytes(oms_sample.FILES["agent/d/empty"])
  (signed / "agent/d/empty").unlink()
  place = target.format(elsewhere=elsewhere)
  (signed / "agent/d/empty").symlink_to(place)
  (signed / "added").symlink_to(place)
  assert _faults(signed) == ["added is a link", "agent/d/empty is a link"]
  assert _faults(signed, ignore=["added"])[0] == "added is a link"
  with pytest.raises(errors.UserError, match=r"cannot sign .* added is a link"):
    oms.sign(signed, KEY)


def test_a_directory_behind_a_link_is_not_entered(signed, tmp_path):
  (signed / "agent").rename(tmp_path / "agent")
  (signed / "agent").symlink_to(tmp_path / "agent")
  assert _faults(signed) == [
    "agent is a link",
    "agent/d/0 is missing",
    "agent/d/empty is missing",
  ]


def test_a_link_that_comes_after_the_listing_is_not_followed(directory):
  with plain_tree.opened(directory) as root:
    files, _ = plain_tree.listing(root)
    (directory / "agent/d").rename(directory / "agent/e")
    (directory / "agent/d").symlink_to("e")
    (directory / "agent/e/empty").unlink()
    (directory / "agent/e/empty").symlink_to("0")
    assert "agent/d/0" in files
    for path in ("agent/d/0", "agent/e/empty"):
      with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        plain_tree.sha256(root, path)


def test_the_signature_itself_may_not_be_a_link(signed, tmp_path):
  (signed / oms.NAME).rename(tmp_path / "moved")
  (signed / oms.NAME).symlink_to(tmp_path / "moved")
  assert _faults(signed) == ["SIGNOFF.sig is a link"]


def test_a_pipe_is_refused_and_not_waited_for(signed):
  (signed / "agent/d/empty").unlink()
  os.mkfifo(signed / "agent/d/empty")
  assert _faults(signed) == ["agent/d/empty is not a plain file"]
  with (
    plain_tree.opened(signed) as root,
    pytest.raises(OSError, match="it is not a plain file"),
  ):
    plain_tree.sha256(root, "agent/d/empty")


def test_directories_may_be_renamed_and_modes_changed(signed, tmp_path):
  (signed / "agent/d/0").chmod(0o755)
  (signed / "nothing/within").mkdir(parents=True)  # holds nothing to load
  renamed = signed.rename(tmp_path / "renamed")
  (tmp_path / "current").symlink_to(renamed)  # what a deployment is
  assert _verify(tmp_path / "current").digests.keys() == oms_sample.FILES.keys()


def test_an_unlistable_directory_hides_nothing(signed):
  place = signed
  for _ in range(70):
    place = place / "d"
  place.mkdir(parents=True)
  (fault,) = _faults(signed)
  assert fault.endswith("/d is nested in more than 64 directories")


def test_an_unreadable_directory_hides_nothing(signed, monkeypatch):
  def refuse(*_):
    raise PermissionError(13, "Permission denied")

  monkeypatch.setattr(os, "scandir", refuse)
  assert _faults(signed)[0] == ". is unreadable: Permission denied"


def test_many_faults_are_summed_up(signed):
  for index in range(30):
    (signed / f"x{index}").touch()
  with pytest.raises(oms.SignatureError, match=r"; and 20 more$") as caught:
    _verify(signed)
  assert len(caught.value.faults) == 30


def test_names_cannot_speak_to_the_terminal(signed):
  (signed / "\x1b[2J\n").touch()
  assert _faults(signed) == [
    "\\x1b[2J\\n was added: it is not signed",
  ]
  with pytest.raises(errors.UserError, match="cannot be part of") as refused:
    oms.sign(signed, KEY)
  assert str(refused.value).isprintable()


def test_a_name_that_is_no_text_is_refused(signed):
  try:
    os.close(os.open(os.fsencode(signed) + b"/\xff", os.O_CREAT))
  except OSError:
    pytest.skip("this file system has only text as names")
  assert _faults(signed) == ["\\udcff was added: it is not signed"]
  with pytest.raises(errors.UserError, match="cannot be part of"):
    oms.sign(signed, KEY)


def test_an_older_signature_does_not_fit_newer_files(signed, tmp_path):
  shutil.copytree(signed, tmp_path / "older")
  (tmp_path / "older/agent/d/0").write_bytes(b"older weights")
  older = oms.sign(tmp_path / "older", KEY, facts={"signed_utc": "2020"})
  assert oms.verify(tmp_path / "older", older, PUBLIC).facts == {
    "signed_utc": "2020"
  }  # a replay as a whole verifies: its facts tell how old it is
  with pytest.raises(oms.SignatureError, match="agent/d/0 was altered"):
    oms.verify(signed, older, PUBLIC)


def test_recomputing_everything_takes_the_key(signed):
  (signed / "agent/d/0").write_bytes(b"other weights")
  theirs = oms.sign(signed, oms_sample.private())
  with pytest.raises(oms.SignatureError, match="signed with another key"):
    oms.verify(signed, theirs, PUBLIC)
  claimed = json.loads(theirs)
  hint = hashlib.sha256(PUBLIC).hexdigest()
  for told in ({"hint": hint}, {"hint": ""}, {}):
    claimed["verificationMaterial"]["publicKey"] = told
    with pytest.raises(oms.SignatureError, match="the signature does not fit"):
      oms.verify(signed, json.dumps(claimed).encode(), PUBLIC)
