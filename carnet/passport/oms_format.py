"""OpenSSF Model Signing 1.0 as bytes: bundle, envelope, statement.

A Sigstore bundle v0.3 holds a DSSE envelope, which holds an in-toto Statement
v1 that lists each file with its sha256. Written from
https://github.com/sigstore/model-transparency (the predicate),
https://github.com/secure-systems-lab/dsse (what is signed) and
https://docs.sigstore.dev/about/bundle (the frame). Readers here raise
ValueError or UserError for everything that is not sound.
"""

import base64
import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from carnet import paths
from carnet.checkpoint import documents
from carnet.passport import shown, strict_json

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
# 280 bytes a file: 60,000 files. Who can write the bundle can fill the memory.
LARGEST_BYTES = 1 << 24

_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAMES: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}


@dataclasses.dataclass(frozen=True)
class Envelope:
  """What is signed, its signature, and which key is said to have made it."""

  payload: bytes
  signature: bytes
  hint: str


@dataclasses.dataclass(frozen=True)
class Statement:
  """The sha256 of each file, and our facts beside them."""

  digests: Mapping[str, str]
  facts: Mapping[str, Any]


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
  """Returns the bytes that DSSE signs: both parts with their lengths."""
  kind = payload_type.encode()
  return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def encode_statement(
  name: str,
  digests: Mapping[str, str],
  ignored: str,
  facts: Mapping[str, Any] | None,
) -> bytes:
  """Returns the statement about a directory called `name`."""
  ordered = sorted(digests.items(), key=lambda item: item[0].split("/"))
  predicate: dict[str, Any] = {
    "serialization": {
      "method": "files",
      "hash_type": "sha256",
      "allow_symlinks": False,
      "ignore_paths": [ignored],
    },
    "resources": [
      {"name": path, "algorithm": "sha256", "digest": sha256}
      for path, sha256 in ordered
    ],
  }
  if facts is not None:
    predicate["passport"] = dict(facts)
  root = {"sha256": _root(sha256 for _, sha256 in ordered)}
  statement = {
    "_type": STATEMENT_TYPE,
    "subject": [{"name": name, "digest": root}],
    "predicateType": PREDICATE_TYPE,
    "predicate": predicate,
  }
  return documents.encode(statement, "the statement")


def decode_statement(payload: bytes) -> Statement:
  """Returns the statement in a payload whose signature was found valid."""
  body = _object(_decode(payload), "the statement")
  _same(_get(body, "_type", str), STATEMENT_TYPE, "_type")
  _same(_get(body, "predicateType", str), PREDICATE_TYPE, "predicateType")
  subject = _only(_get(body, "subject", list), "subject")
  predicate = _get(body, "predicate", dict)
  _check_serialization(_get(predicate, "serialization", dict))
  digests: dict[str, str] = {}
  for resource in _get(predicate, "resources", list):
    path, sha256 = _resource(resource)
    if path in digests:
      raise ValueError(f"{shown.cut(path)} is listed twice")
    digests[path] = sha256
  root = _get(_get(subject, "digest", dict), "sha256", str)
  if root != _root(digests.values()):
    raise ValueError("its root digest is not that of its files")
  return Statement(digests, _get(predicate, "passport", dict, {}))


def encode_bundle(envelope: Envelope) -> bytes:
  """Returns the file that carries a signed payload."""
  signature = {"sig": _base64(envelope.signature), "keyid": ""}
  bundle = {
    "mediaType": MEDIA_TYPE,
    "verificationMaterial": {
      "publicKey": {"hint": envelope.hint},
      "tlogEntries": [],
    },
    "dsseEnvelope": {
      "payload": _base64(envelope.payload),
      "payloadType": PAYLOAD_TYPE,
      "signatures": [signature],
    },
  }
  return json.dumps(bundle).encode()


def decode_bundle(content: bytes) -> Envelope:
  """Returns the signed payload in a file, of which nothing is trusted yet."""
  bundle = _object(_decode(content), "the bundle")
  _closed(bundle, "mediaType", "verificationMaterial", "dsseEnvelope")
  _same(_get(bundle, "mediaType", str), MEDIA_TYPE, "mediaType")
  material = _get(bundle, "verificationMaterial", dict)
  if "publicKey" not in material:
    raise ValueError(
      "it is of a certificate or of Sigstore, not of a key: verify it with "
      "the model_signing command"
    )
  _closed(material, "publicKey", "tlogEntries", "timestampVerificationData")
  key = _get(material, "publicKey", dict)
  _closed(key, "hint", "rawBytes", "keyDetails")
  envelope = _get(bundle, "dsseEnvelope", dict)
  _closed(envelope, "payload", "payloadType", "signatures")
  _same(_get(envelope, "payloadType", str), PAYLOAD_TYPE, "payloadType")
  signature = _only(_get(envelope, "signatures", list), "signatures")
  _closed(signature, "sig", "keyid")
  return Envelope(
    payload=_bytes(envelope, "payload"),
    signature=_bytes(signature, "sig"),
    hint=_get(key, "hint", str, ""),
  )


def _check_serialization(found: Mapping[str, Any]) -> None:
  method = _get(found, "method", str)
  algorithm = _get(found, "hash_type", str)
  if (method, algorithm) != ("files", "sha256"):
    raise ValueError(
      f"it lists {shown.cut(method)} by {shown.cut(algorithm)}: sign files by "
      "sha256, as the model_signing command does unless told otherwise"
    )


def _resource(value: Any) -> tuple[str, str]:
  resource = _object(value, "a resource")
  path = paths.check(_get(resource, "name", str))
  _same(_get(resource, "algorithm", str), "sha256", f"algorithm of {path}")
  sha256 = _get(resource, "digest", str)
  if not _SHA256.fullmatch(sha256):
    raise ValueError(f"the digest of {path} is no sha256")
  return path, sha256


def _root(digests: Iterable[str]) -> str:
  """Returns the sha256 over all digests, as bytes, in their order."""
  return hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()


def _decode(content: bytes) -> Any:
  return strict_json.decode(content, "it", LARGEST_BYTES, LARGEST_BYTES)


def _object(value: Any, place: str) -> dict[str, Any]:
  if type(value) is not dict:
    raise ValueError(f"{place} is not an object")
  return value


def _only(values: list, place: str) -> dict[str, Any]:
  if len(values) != 1:
    raise ValueError(f"{place} has {len(values)} entries instead of one")
  return _object(values[0], f"the entry of {place}")


def _get(
  found: Mapping[str, Any], key: str, kind: type, default: Any = None
) -> Any:
  """Returns an entry of the right type."""
  if key not in found and default is not None:
    return default
  if key not in found:
    raise ValueError(f"{key} is missing")
  if type(found[key]) is not kind:
    raise ValueError(f"{key} is not {_NAMES[kind]}")
  return found[key]


def _same(found: str, expected: str, place: str) -> None:
  if found != expected:
    raise ValueError(f"{place} is {shown.cut(found)}, expected {expected}")


def _closed(found: Mapping[str, Any], *known: str) -> None:
  for key in found:
    if key not in known:
      raise ValueError(f"the key {shown.cut(key)} is unknown")


def _bytes(found: Mapping[str, Any], key: str) -> bytes:
  try:
    return base64.b64decode(_get(found, key, str), validate=True)
  except ValueError as error:
    raise ValueError(f"{key} is not base64: {error}") from error


def _base64(content: bytes) -> str:
  return base64.b64encode(content).decode()
