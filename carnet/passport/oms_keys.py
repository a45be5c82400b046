"""Elliptic keys in PEM, as OpenSSF Model Signing has them.

  openssl ecparam -name prime256v1 -genkey -noout -out signing.key
  openssl ec -in signing.key -pubout -out signing.pub

`openssl ec -aes256 -in signing.key -out protected.key` gives a key a password.
"""

import hashlib
import pathlib
from typing import Any

from carnet import errors, extras

MAKE = "openssl ecparam -name prime256v1 -genkey -noout -out signing.key"
MAKE_PUBLIC = "openssl ec -in signing.key -pubout -out signing.pub"
_LARGEST = 1 << 16  # bytes of a file
# Sigstore's curves, each with the hash of its size
_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}


def read(path: pathlib.Path) -> bytes:
  """Returns the content of a file of a key; UserError when it cannot."""
  try:
    with path.open("rb") as file:
      return file.read(_LARGEST)
  except OSError as error:
    raise errors.UserError(
      f"the key {path} cannot be read: {error.strerror}"
    ) from error


def private(pem: bytes, password: bytes | None = None) -> Any:
  """Returns the private key in `pem`.

  Raises:
    UserError: it is none, of another kind, or its password does not fit.
  """
  if b"PUBLIC KEY" in pem:
    raise errors.UserError("a public key cannot sign: give the private key")
  serialization = _part("serialization")
  try:
    key = serialization.load_pem_private_key(pem, password or None)
  except TypeError as error:  # what cryptography raises about passwords
    need = "has no password: leave --password-variable away"
    if not password:
      need = "is protected: name its password's --password-variable"
    raise errors.UserError(f"the private key {need}") from error
  except _unreadable() as error:
    if password:
      raise errors.UserError(
        "the private key is unreadable: its password is another, or it is no "
        "PEM"
      ) from error
    raise errors.UserError(
      f"the private key is unreadable, PEM is expected; make one with: {MAKE}"
    ) from error
  return _checked(key, "EllipticCurvePrivateKey")


def public(pem: bytes) -> Any:
  """Returns the public key in `pem`.

  Raises:
    UserError: it is none, or of another kind.
  """
  if b"PRIVATE KEY" in pem:
    raise errors.UserError(
      f"this is a private key: get its public one with: {MAKE_PUBLIC}"
    )
  serialization = _part("serialization")
  try:
    key = serialization.load_pem_public_key(pem)
  except _unreadable() as error:
    raise errors.UserError(
      f"the public key is unreadable, PEM is expected; get it with: "
      f"{MAKE_PUBLIC}"
    ) from error
  return _checked(key, "EllipticCurvePublicKey")


def read_public(path: pathlib.Path) -> Any:
  """Returns the public key in a file; UserError when there is none."""
  return public(read(path))


def public_pem(key: Any) -> bytes:
  """Returns the public part of a key, in the form that its hint is made of."""
  serialization = _part("serialization")
  public_part = key.public_key() if hasattr(key, "public_key") else key
  return public_part.public_bytes(
    serialization.Encoding.PEM,
    serialization.PublicFormat.SubjectPublicKeyInfo,
  )


def hint(key: Any) -> str:
  """Returns what a signature calls the key: the sha256 of its public part."""
  return hashlib.sha256(public_pem(key)).hexdigest()


def sign(key: Any, content: bytes) -> bytes:
  """Returns the signature of a private key."""
  return key.sign(content, _algorithm(key))


def fits(key: Any, signature: bytes, content: bytes) -> bool:
  """Tells whether the holder of the public key signed this content."""
  exceptions = extras.load("cryptography.exceptions", "signing")
  try:
    key.verify(signature, content, _algorithm(key))
  except exceptions.InvalidSignature:
    return False
  return True


def _checked(key: Any, kind: str) -> Any:
  elliptic = _part("asymmetric.ec")
  if not isinstance(key, getattr(elliptic, kind)):
    name = type(key).__name__
  elif key.curve.name not in _HASHES:
    name = key.curve.name
  else:
    return key
  raise errors.UserError(
    f"the key is of the kind {name}; signatures of models have P-256, P-384 "
    f"and P-521; make one with: {MAKE}"
  )


def _algorithm(key: Any) -> Any:
  algorithm = getattr(_part("hashes"), _HASHES[key.curve.name])()
  return _part("asymmetric.ec").ECDSA(algorithm)


def _unreadable() -> tuple[type[Exception], ...]:
  exceptions = extras.load("cryptography.exceptions", "signing")
  return ValueError, exceptions.UnsupportedAlgorithm


def _part(name: str) -> Any:
  return extras.load(f"cryptography.hazmat.primitives.{name}", "signing")
