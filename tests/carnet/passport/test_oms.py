"""Key signatures: what exactly is signed, and what cannot be."""

import hashlib
import subprocess
import sys

import oms_sample
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from carnet import errors
from carnet.passport import oms, oms_format

KEY = oms_sample.private()
PUBLIC = oms.public_key(KEY)


@pytest.fixture
def directory(tmp_path):
  return oms_sample.write(tmp_path / "000000001")


def test_what_is_signed_has_its_lengths_before_it():
  # the example of the DSSE protocol, and a body counted in bytes
  assert oms_format.pre_authentication(
    "http://example.com/HelloWorld", b"hello world"
  ) == (b"DSSEv1 29 http://example.com/HelloWorld 11 hello world")
  assert oms_format.pre_authentication("é", "ü".encode() * 6) == (
    b"DSSEv1 2 \xc3\xa9 12 " + b"\xc3\xbc" * 6
  )


def test_statement_lists_files_in_order_of_their_path(tmp_path):
  (tmp_path / "a").mkdir()
  (tmp_path / "a/b").write_bytes(b"1")
  (tmp_path / "a.b").write_bytes(b"2")  # as text it is before a/b
  bundle = oms.sign(tmp_path, KEY, facts={"verdict": "pass"})
  one, two = (hashlib.sha256(content) for content in (b"1", b"2"))
  assert oms_sample.statement(bundle) == {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [
      {
        "name": tmp_path.name,
        "digest": {
          "sha256": hashlib.sha256(one.digest() + two.digest()).hexdigest()
        },
      }
    ],
    "predicateType": "https://model_signing/signature/v1.0",
    "predicate": {
      "serialization": {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": ["SIGNOFF.sig"],
      },
      "resources": [
        {"name": "a/b", "algorithm": "sha256", "digest": one.hexdigest()},
        {"name": "a.b", "algorithm": "sha256", "digest": two.hexdigest()},
      ],
      "passport": {"verdict": "pass"},
    },
  }


@pytest.mark.parametrize(
  ("curve", "algorithm"),
  [
    (ec.SECP256R1(), hashes.SHA256()),
    (ec.SECP384R1(), hashes.SHA384()),
    (ec.SECP521R1(), hashes.SHA512()),
  ],
  ids=lambda value: value.name,
)
def test_each_curve_signs_with_the_hash_of_its_size(
  directory, curve, algorithm
):
  private = oms_sample.private(curve)
  public = oms.public_key(private)
  bundle = oms.sign(directory, private, facts={"run_id": "7"})
  found = oms.verify(directory, bundle, public)
  assert found.facts == {"run_id": "7"}
  assert found.digests == {
    name: hashlib.sha256(content).hexdigest()
    for name, content in oms_sample.FILES.items()
  }
  assert found.key_hint == hashlib.sha256(public).hexdigest()
  envelope = oms_format.decode_bundle(bundle)
  serialization.load_pem_public_key(public).verify(
    envelope.signature,
    oms_format.pre_authentication(oms_format.PAYLOAD_TYPE, envelope.payload),
    ec.ECDSA(algorithm),
  )


def test_known_digests_are_signed_unread(directory):
  claimed = hashlib.sha256(b"what it once was").hexdigest()
  bundle = oms.sign(directory, KEY, digests={"agent/d/0": claimed})
  actual = hashlib.sha256(oms_sample.FILES["agent/d/0"]).hexdigest()
  with pytest.raises(oms.SignatureError) as caught:
    oms.verify(directory, bundle, PUBLIC)
  assert caught.value.faults == (
    f"agent/d/0 was altered: its sha256 is {actual[:12]}..., signed was "
    f"{claimed[:12]}...",
  )


@pytest.mark.parametrize(
  ("digests", "message"),
  [
    ({"gone": "0" * 64}, "gone is not there"),
    ({"agent/d/0": "unreadable: denied"}, "agent/d/0 unreadable: denied"),
    ({"agent/d/0": "A" * 64}, "agent/d/0 AAAA"),
  ],
)
def test_unsound_digests_are_not_signed(directory, digests, message):
  with pytest.raises(errors.UserError, match=f"cannot sign .*{message}"):
    oms.sign(directory, KEY, digests=digests)


def test_facts_are_json_and_optional(directory):
  assert oms.verify(directory, oms.sign(directory, KEY), PUBLIC).facts == {}
  for facts in ({"x": float("nan")}, {"x": {1: 2}}, {"x": object()}):
    with pytest.raises(errors.UserError, match="which JSON changes"):
      oms.sign(directory, KEY, facts=facts)
  deep = {}
  for _ in range(200):
    deep = {"x": deep}
  with pytest.raises(errors.UserError, match="nested"):
    oms.sign(directory, KEY, facts=deep)


def test_nothing_and_nowhere_cannot_be_signed(tmp_path):
  (tmp_path / "empty" / "within").mkdir(parents=True)
  with pytest.raises(errors.UserError, match="it has no files"):
    oms.sign(tmp_path / "empty", KEY)
  for place in ("absent", "file"):
    (tmp_path / "file").touch()
    with pytest.raises(errors.UserError, match="is no readable directory"):
      oms.sign(tmp_path / place, KEY)


def test_importing_loads_neither_jax_nor_cryptography():
  program = (
    "import sys\n"
    "from carnet.passport import oms\n"
    "heavy = {'jax', 'flax', 'orbax', 'tensorstore', 'cryptography'}\n"
    "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
  )
  done = subprocess.run([sys.executable, "-c", program], capture_output=True)
  assert done.returncode == 0, done.stderr
