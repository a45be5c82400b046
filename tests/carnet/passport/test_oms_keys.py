"""Keys: those that sign models, and what is said of all others."""

import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from carnet import errors
from carnet.passport import oms, oms_keys

PASSWORD = b"correct horse"
MAKE = r"openssl ecparam -name prime256v1 -genkey -noout -out signing\.key"


def _pem(key, password=None, form=serialization.PrivateFormat.PKCS8):
  return key.private_bytes(
    serialization.Encoding.PEM,
    form,
    serialization.BestAvailableEncryption(password)
    if password
    else serialization.NoEncryption(),
  )


def _public(key):
  return key.public_key().public_bytes(
    serialization.Encoding.PEM,
    serialization.PublicFormat.SubjectPublicKeyInfo,
  )


KEY = ec.generate_private_key(ec.SECP256R1())
OTHERS = {
  "Ed25519": ed25519.Ed25519PrivateKey.generate(),
  "RSA": rsa.generate_private_key(public_exponent=65537, key_size=2048),
  "secp256k1": ec.generate_private_key(ec.SECP256K1()),
}


@pytest.fixture
def directory(tmp_path):
  (tmp_path / "file").write_bytes(b"x")
  return tmp_path


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_keys_with_a_password_sign(directory, form):
  pem = _pem(KEY, PASSWORD, getattr(serialization.PrivateFormat, form))
  bundle = oms.sign(directory, pem, PASSWORD)
  assert oms.verify(directory, bundle, _public(KEY)).digests.keys() == {"file"}
  assert oms.public_key(pem, PASSWORD) == _public(KEY)
  for none in (None, b""):
    with pytest.raises(errors.UserError, match="--password-variable"):
      oms.sign(directory, pem, none)
  with pytest.raises(errors.UserError, match="its password is another"):
    oms.sign(directory, pem, b"wrong")
  with pytest.raises(errors.UserError, match="has no password"):
    oms.sign(directory, _pem(KEY), PASSWORD)


def test_a_key_as_openssl_writes_it_by_default(directory):
  # without -noout, `openssl ecparam` puts the curve's name before the key
  curve = (
    b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n"
    b"-----END EC PARAMETERS-----\n"
  )
  form = serialization.PrivateFormat.TraditionalOpenSSL
  bundle = oms.sign(directory, curve + _pem(KEY, form=form))
  assert oms.verify(directory, bundle, _public(KEY)).facts == {}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_are_refused_with_the_command_that_makes_one(
  directory, kind
):
  message = f"of the kind {kind}.*; make one with: {MAKE}"
  with pytest.raises(errors.UserError, match=message):
    oms.sign(directory, _pem(OTHERS[kind]))
  with pytest.raises(errors.UserError, match=message):
    oms.verify(directory, b"{}", _public(OTHERS[kind]))


def test_private_and_public_are_not_mixed_up(directory):
  with pytest.raises(errors.UserError, match="a public key cannot sign"):
    oms.sign(directory, _public(KEY))
  with pytest.raises(errors.UserError, match="private key: get its public one"):
    oms.verify(directory, b"{}", _pem(KEY))


@pytest.mark.parametrize(
  "pem",
  [
    b"",
    b"\xff\x00",
    b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    _public(KEY).replace(b"PUBLIC KEY", b"THING")[:80],
  ],
  ids=["empty", "binary", "certificate", "unknown"],
)
def test_what_is_no_key_is_called_so(directory, pem):
  with pytest.raises(errors.UserError, match="private key is unreadable"):
    oms.sign(directory, pem)
  with pytest.raises(errors.UserError, match="public key is unreadable"):
    oms.verify(directory, b"{}", pem)


def test_a_cut_key_is_unreadable(directory):
  for cut in (40, 60, 150):
    with pytest.raises(errors.UserError, match="unreadable"):
      oms_keys.private(_pem(KEY)[:cut])
    with pytest.raises(errors.UserError, match="unreadable"):
      oms_keys.public(_public(KEY)[:cut])


def test_the_extra_is_named_where_it_is_absent(directory, monkeypatch):
  name = "cryptography.hazmat.primitives.serialization"
  monkeypatch.setitem(sys.modules, name, None)
  with pytest.raises(errors.UserError, match=r"pip install 'carnet\[signing\]"):
    oms.sign(directory, _pem(KEY))
  with pytest.raises(errors.UserError, match=r"pip install 'carnet\[signing\]"):
    oms.verify(directory, b"{}", _public(KEY))
