"""Bundles that are malformed: one clear line, and never another error."""

import base64
import copy
import json

import hypothesis
import oms_sample
import pytest
from hypothesis import strategies

from carnet.passport import fields, oms, oms_format, oms_keys

KEY = oms_sample.private()
PUBLIC = oms.public_key(KEY)
LARGEST = fields.LARGEST_INTEGER
JSON = strategies.recursive(
  strategies.none()
  | strategies.booleans()
  | strategies.integers(-LARGEST, LARGEST)  # others are refused everywhere
  | strategies.floats(allow_nan=False, allow_infinity=False)
  | strategies.text()
  | strategies.sampled_from(["", "..", "/etc/passwd", "a/../b", "\x1b[2J"]),
  lambda inner: (
    strategies.lists(inner, max_size=3)
    | strategies.dictionaries(strategies.text(), inner, max_size=3)
  ),
  max_leaves=8,
)
FEW = hypothesis.settings(max_examples=150, deadline=None)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
  return oms_sample.write(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def bundle(directory):
  return oms.sign(directory, KEY, facts={"verdict": "pass", "checks": [1]})


def _signed(payload):
  """Returns a sound bundle around bytes that the holder of the key signed."""
  key = oms_keys.private(KEY)
  content = oms_format.pre_authentication(oms_format.PAYLOAD_TYPE, payload)
  return oms_format.encode_bundle(
    oms_format.Envelope(
      payload, oms_keys.sign(key, content), oms_keys.hint(key)
    )
  )


def _refusal(directory, bundle):
  """Returns the one line, or nothing where the bundle is sound."""
  line = ""
  try:
    oms.verify(directory, bundle, PUBLIC)
  except oms.SignatureError as error:
    line = str(error) or "an empty message"
  assert line.isprintable()
  assert line != "an empty message"
  return line


def _places(value, path=()):
  yield path
  items = []
  if isinstance(value, dict):
    items = list(value.items())
  elif isinstance(value, list):
    items = list(enumerate(value))
  for key, item in items:
    yield from _places(item, (*path, key))


def _replaced(value, place, replacement):
  if not place:
    return replacement
  result = copy.deepcopy(value)
  at = result
  for key in place[:-1]:
    at = at[key]
  at[place[-1]] = replacement
  return result


def _bundle_with(bundle, place, replacement):
  return json.dumps(_replaced(json.loads(bundle), place, replacement)).encode()


@FEW
@hypothesis.given(content=strategies.binary(max_size=200))
def test_any_bytes_are_refused(directory, content):
  assert _refusal(directory, content).startswith("the signature is malformed: ")


@FEW
@hypothesis.given(data=strategies.data())
def test_altered_bytes_are_refused_or_mean_the_same(directory, bundle, data):
  at = data.draw(strategies.integers(0, len(bundle) - 1))
  until = data.draw(strategies.integers(at, min(at + 3, len(bundle))))
  altered = bundle[:at] + data.draw(strategies.binary(max_size=3))
  altered += bundle[until:]
  if not _refusal(directory, altered):
    assert oms_sample.statement(altered) == oms_sample.statement(bundle)


@FEW
@hypothesis.given(data=strategies.data(), value=JSON)
def test_altered_frames_are_refused(directory, bundle, data, value):
  body = json.loads(bundle)
  place = data.draw(strategies.sampled_from(list(_places(body))))
  altered = _replaced(body, place, value)
  line = _refusal(directory, json.dumps(altered).encode())
  unsigned = {"tlogEntries", "keyid"}  # of other ways of signing
  no_hint = place[-1:] == ("publicKey",) and value == {}
  blank_hint = place[-1:] == ("hint",) and value == ""
  same = altered == body or unsigned & set(place) or no_hint or blank_hint
  assert bool(line) != bool(same), (place, value, line)


@FEW
@hypothesis.given(data=strategies.data(), value=JSON)
def test_unsound_statements_are_refused_though_signed(
  directory, bundle, data, value
):
  body = oms_sample.statement(bundle)
  place = data.draw(strategies.sampled_from(list(_places(body))))
  altered = _replaced(body, place, value)
  line = _refusal(directory, _signed(json.dumps(altered).encode()))
  if not line:
    predicates = (statement["predicate"] for statement in (altered, body))
    assert len({str(found["resources"]) for found in predicates}) == 1


@pytest.mark.parametrize(
  ("place", "value", "message"),
  [
    ((), [], "the bundle is not an object"),
    (("extra",), 1, "the key extra is unknown"),
    (("mediaType",), "a\x1bb", r"mediaType is a\\x1bb, expected application/v"),
    (("verificationMaterial",), {"certificate": {}}, "it is of a certificate"),
    (
      ("verificationMaterial", "publicKey", "hint"),
      "0" * 64,
      "^the signature was altered: its key hint is another's$",
    ),
    (("dsseEnvelope", "payloadType"), "text/plain", "payloadType is text/pla"),
    (("dsseEnvelope", "payload"), "e3=0", "payload is not base64"),
    (("dsseEnvelope", "payload"), "é", "payload is not base64"),
    (("dsseEnvelope", "payload"), "e30=", "^the signature does not fit: "),
    (("dsseEnvelope", "signatures"), [], "signatures has 0 entries instead"),
    (("dsseEnvelope", "signatures"), [{}], "sig is missing"),
    (("dsseEnvelope", "signatures"), [1], "signatures is not an object"),
    (
      ("dsseEnvelope", "signatures", 0, "sig"),
      "AAAA",
      "^the signature does not fit: ",
    ),
  ],
)
def test_frames_are_checked_part_by_part(
  directory, bundle, place, value, message
):
  with pytest.raises(oms.SignatureError, match=message):
    oms.verify(directory, _bundle_with(bundle, place, value), PUBLIC)


@pytest.mark.parametrize(
  ("place", "value", "message"),
  [
    ((), [], "the statement is not an object"),
    (("_type",), "x", "_type is x, expected https://in-toto.io/Statement/v1"),
    (
      ("predicateType",),
      "https://model_signing/Digests/v0.1",
      "expected https://model_signing/signature/v1.0",
    ),
    (("subject",), [], "subject has 0 entries"),
    (("subject", 0, "digest", "sha256"), "0" * 64, "its root digest is not"),
    (("predicate", "passport"), [], "passport is not an object"),
    (("predicate", "serialization", "method"), "shards", "lists shards by sha"),
    (("predicate", "serialization", "hash_type"), "blake3", "files by blake3"),
    (("predicate", "resources", 0), 1, "a resource is not an object"),
    (("predicate", "resources", 0, "name"), "../x", "the name '..' in"),
    (("predicate", "resources", 0, "name"), "/x", "the name '' in"),
    (("predicate", "resources", 0, "name"), "agent/d/0", "is listed twice"),
    (("predicate", "resources", 0, "name"), "a\x00b", r"the name 'a\\x00b' in"),
    (("predicate", "resources", 0, "algorithm"), "md5", "is md5, expected sha"),
    (("predicate", "resources", 0, "digest"), "0" * 63, "is no sha256"),
  ],
)
def test_statements_are_checked_part_by_part(
  directory, bundle, place, value, message
):
  statement = _replaced(oms_sample.statement(bundle), place, value)
  signed = _signed(json.dumps(statement).encode())
  with pytest.raises(
    oms.SignatureError, match=f"^the signed statement is unfit: .*{message}"
  ):
    oms.verify(directory, signed, PUBLIC)


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"", "no sound JSON"),
    (b"{", "no sound JSON"),
    (b"[" * 100_000, "nested in more than 64 levels"),
    (b"[" * 120 + b"]" * 120, "nested in more than 64 levels"),
    (b'{"a": 1, "a": 2}', "the key 'a' is there twice"),
    (b'{"a": NaN}', "NaN is no number of JSON"),
    (b'{"a": ' + b"9" * 5000 + b"}", "beyond 2\\^53"),
    (b"\xef\xbb\xbf{}", "BOM|is not an object|mediaType"),
    ('{"a": 1}'.encode("utf-16"), "malformed"),
    (b" " * (1 << 24) + b"{}", "16777218 bytes: at most 16777216 are read"),
  ],
  ids=lambda value: repr(value[:12]),
)
def test_json_is_bounded_and_has_one_meaning(directory, content, message):
  assert len(_refusal(directory, content)) < 300
  with pytest.raises(oms.SignatureError, match=message):
    oms.verify(directory, content, PUBLIC)


def test_nothing_is_signed_that_could_not_be_read_again(directory, monkeypatch):
  monkeypatch.setattr(oms_format, "LARGEST_BYTES", 500)
  with pytest.raises(oms.errors.UserError, match="could not be read again"):
    oms.sign(directory, KEY)


def test_other_fields_of_the_predicate_are_ignored(directory, bundle):
  body = _replaced(oms_sample.statement(bundle), ("predicate", "card"), "x")
  found = oms.verify(directory, _signed(json.dumps(body).encode()), PUBLIC)
  assert found.facts == {"verdict": "pass", "checks": [1]}


def test_the_payload_is_unread_before_its_signature_fits(directory, bundle):
  # whoever has no key reaches no more than base64 of what is in the frame
  hostile = base64.b64encode(b"[" * 100_000).decode()
  altered = _bundle_with(bundle, ("dsseEnvelope", "payload"), hostile)
  assert _refusal(directory, altered).startswith("the signature does not fit")
