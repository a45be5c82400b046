"""Sign-offs that are missing, edited, old, or of other files."""

import dataclasses

import checking
import oms_sample
import pytest
import sample

from carnet.checkpoint import directory
from carnet.passport import oms, outcome
from carnet.passport.checks import signoff

FAIL, NOT_CHECKED = outcome.Status.FAIL, outcome.Status.NOT_CHECKED
KEY = oms_sample.private()


@pytest.fixture
def public(tmp_path):
  path = tmp_path / "signing.pub"
  path.write_bytes(oms.public_key(KEY))
  return path


def _sign(step, key=KEY, **changes):
  sample.sign(step, **changes)
  (step / directory.SIGNATURE).write_bytes(oms.sign(step, key))


def _red(step, **options):
  return checking.red(step, signoff.CHECKS, **options)


def test_without_a_signoff_nothing_is_a_pass(step):
  (step / directory.SIGNOFF).unlink()
  results = checking.findings(step, signoff.CHECKS)
  assert {r.status for r in results.values()} == {NOT_CHECKED}
  gate = checking.findings(step, signoff.CHECKS, require_signoff=True)
  assert gate.pop("signoff_present").status is FAIL
  assert {r.status for r in gate.values()} == {NOT_CHECKED}


@pytest.mark.parametrize(
  "content", [b"", b"{}", b"[" * 100, b"\xff", b"{" * 99]
)
def test_an_unsound_signoff_fails_whether_required_or_not(step, content):
  (step / directory.SIGNOFF).write_bytes(content)
  assert _red(step) == ["signoff_present"]
  found = checking.one(step, "signoff_present")
  assert "sign-checkpoint" in found.remedy
  assert found.evidence.isprintable()


def test_a_link_or_a_directory_is_no_signoff(step, tmp_path):
  path = step / directory.SIGNOFF
  path.rename(tmp_path / "elsewhere")
  path.symlink_to(tmp_path / "elsewhere")
  assert _red(step) == ["signoff_present"]
  path.unlink()
  path.mkdir()
  assert _red(step) == ["signoff_present"]


def test_a_passport_that_was_edited_after_signing_is_found(step):
  path = step / directory.PASSPORT
  path.write_bytes(path.read_bytes() + b"\n")
  found = checking.one(step, "signoff_passport_sha")
  assert found.status is FAIL
  assert found.expected != found.found
  assert _red(step) == ["signoff_passport_sha"]


def test_signed_listed_and_present_files_are_the_same(step):
  rows = [x.model_dump(mode="json") for x in sample.signoff(step).files]
  other = {**rows[0], "sha256": "0" * 64}
  more = {**rows[0], "path": "agent/more"}
  for changed, match in (
    (rows[1:], f"{rows[0]['path']} is not signed"),
    ([other, *rows[1:]], "is signed with another size or digest"),
    ([{**rows[0], "size_bytes": 1}, *rows[1:]], "another size or digest"),
    ([*rows, more], "agent/more is signed, and not in the passport"),
    ([*rows, rows[0]], "a file is signed twice"),
  ):
    sample.sign(step, files=changed)
    found = checking.one(step, "signoff_files_equal_passport")
    assert found.status is FAIL
    assert match in found.evidence


def test_files_on_the_disk_are_those_that_were_signed(step):
  (step / "stats.json").write_text("{}")
  found = checking.one(step, "signoff_files_equal_passport")
  assert found.evidence == "stats.json is not on the disk as it was signed"
  (step / "more").write_text("")
  found = checking.one(step, "signoff_files_equal_passport")
  assert "more is not signed (and 1 more" in found.evidence


def test_the_content_of_the_arrays_is_signed(step):
  sample.sign(step, tree_digest_root="0" * 64)
  assert _red(step) == ["signoff_tree_digest"]
  sample.sign(step, tree_digest_root=None)
  assert _red(step) == ["signoff_tree_digest"]


@pytest.mark.parametrize(
  ("verdict", "accepted", "red"),
  [
    ("pass", [], []),
    ("soft_signal", ["generator_present"], []),
    ("fail", [], ["signoff_verdict"]),
    ("pass", ["generator_present"], ["signoff_verdict"]),
    ("soft_signal", [], ["signoff_verdict"]),
  ],
)
def test_verdicts_say_what_was_accepted(step, verdict, accepted, red):
  sample.sign(step, verdict=verdict, accepted_soft_checks=accepted)
  assert _red(step) == red


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "two\u2028lines"])
def test_reasons_are_one_line_where_something_was_accepted(step, reason):
  sample.sign(step, reason=reason)
  found = checking.one(step, "signoff_reason")
  assert found.status is outcome.Status.SOFT
  soft = {"verdict": "soft_signal", "accepted_soft_checks": ["a"]}
  sample.sign(step, reason=reason, **soft)
  assert checking.one(step, "signoff_reason").status is FAIL


def test_t24_old_signoffs_are_refused_on_request(step):
  at = sample.UTC
  for least, status in (
    (at, "pass"),
    ("2026-01-02", "pass"),
    ("2026-01-02T03:04:06Z", "fail"),
    ("2026-01-02T03:04:05+02:00", "pass"),
    ("2026-01-02T03:04:05-00:30", "fail"),
    ("yesterday", "fail"),
  ):
    found = checking.one(step, "signoff_recent", min_signed_utc=least)
    assert found.status == status, least
  assert checking.one(step, "signoff_recent").status is NOT_CHECKED


def test_a_signature_is_checked_with_a_key(step, public):
  _sign(step)
  assert checking.one(step, "signature_valid").status is NOT_CHECKED
  gate = {"require_signoff": True, "public_key": public}
  assert checking.red(step, **gate) == []
  found = checking.one(step, "signature_valid", **gate)
  count = sum(path.is_file() for path in step.rglob("*")) - 1  # the signature
  assert found.evidence.startswith(f"{count} files, key ")


def test_where_nobody_signed_a_public_key_is_not_asked_for(step):
  found = checking.one(step, "signature_valid")
  assert found.remedy == "sign-checkpoint --private-key FILE"
  _sign(step)
  found = checking.one(step, "signature_valid")
  assert found.remedy == "--public-key FILE"


def test_a_missing_signature_is_asked_for_by_the_right_flag(step, public):
  found = checking.one(step, "signature_valid", public_key=public)
  assert "sign-checkpoint --private-key FILE" in found.remedy


def test_a_missing_signature_fails_once_a_key_is_given(step, public):
  assert _red(step, public_key=public) == ["signature_valid"]
  sample.sign(step, signature_file=directory.SIGNATURE)
  assert _red(step) == ["signature_valid"]


def test_t23_papers_that_an_attacker_made_anew_pass_without_a_key(step, public):
  _sign(step)
  with (step / "stats.json").open("r+") as file:
    file.write(" ")
  sample.write(step, generator=None)
  sample.sign(step)
  assert "signature_valid" not in checking.red(step, require_signoff=True)
  assert "signature_valid" in checking.red(step, public_key=public)


def test_every_part_of_a_signoff_is_under_the_signature(step, public):
  for change in (
    {"reason": "another reason"},
    {"signed_utc": "2027-01-01T00:00:00Z"},
    {"signer": "somebody else"},
    {"not_checked": ["weight_hashes"]},
    {"validator/version": "2.0"},
  ):
    _sign(step)
    sample.sign(step, **change)
    assert checking.red(step, require_signoff=True) == []
    assert _red(step, public_key=public) == ["signature_valid"], change


def test_another_key_and_a_file_that_is_no_key_are_refused(step, public):
  _sign(step, oms_sample.private())
  found = checking.one(step, "signature_valid", public_key=public)
  assert "another key" in found.evidence
  for content in (b"", b"not a key", KEY):
    public.write_bytes(content)
    assert _red(step, public_key=public) == ["signature_valid"]
  public.unlink()
  assert _red(step, public_key=public) == ["signature_valid"]


def test_a_signature_of_a_directory_without_a_signoff_is_none(step, public):
  content = (step / directory.SIGNOFF).read_bytes()
  (step / directory.SIGNOFF).unlink()
  (step / directory.SIGNATURE).write_bytes(oms.sign(step, KEY))
  found = checking.one(step, "signature_valid", public_key=public)
  assert found.evidence == "the key signed no sign-off"
  (step / directory.SIGNOFF).write_bytes(content)
  found = checking.one(step, "signature_valid", public_key=public)
  assert "SIGNOFF.json was added" in found.evidence


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[" * 1000])
def test_an_unsound_signature_is_one_line(step, public, content):
  (step / directory.SIGNATURE).write_bytes(content)
  found = checking.one(step, "signature_valid", public_key=public)
  assert found.status is FAIL
  assert found.evidence.isprintable()


def test_t28_texts_of_a_signoff_are_escaped(step):
  sample.sign(
    step,
    reason="\x1b[2J all fine " + "x" * 300,
    verdict="soft_signal",
    accepted_soft_checks=["\x1b]0;title\x07"],
  )
  for result in checking.findings(step).values():
    texts = dataclasses.astuple(result.finding)
    assert all(text.isprintable() for text in texts)
    assert len(result.finding.evidence) < 300
