"""A directory to sign, and keys to sign it with."""

import base64
import json

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

FILES = {
  "MODEL_PASSPORT.json": b"{}",
  "agent/d/0": bytes(range(256)),
  "agent/d/empty": b"",
  "a name with spaces/näme ✓": b"x",
}


def private(curve=None):
  """Returns a new private key, of P-256 unless told otherwise."""
  return ec.generate_private_key(curve or ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
  )


def write(directory):
  for name, content in FILES.items():
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
  return directory


def statement(bundle):
  envelope = json.loads(bundle)["dsseEnvelope"]
  return json.loads(base64.b64decode(envelope["payload"]))
