"""Signatures of models: Ed25519 over a statement that names the model and the figures it was judged by, by their digests.

A trained model is a pickle: opening it runs code. It is opened without a signature by `validate` alone, on the site that made it; nobody
else opens one whose signature has not been checked, with a key and a digest that a person has approved.
"""

import base64
import hashlib
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

import step

TYPE = "bank/model-signature@1"


def new_key():
    """A new private key, as PEM."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_name(public):
    """The name of a public key: a digest of it, short enough to read aloud."""
    return "ed25519:" + hashlib.sha256(public).hexdigest()[:24]


def _bytes(statement):
    return json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()


def sign(pem, model, metrics):
    """Signs the digests of a model and of its figures."""
    private = load_pem_private_key(pem, password=None)
    public = private.public_key().public_bytes_raw()
    statement = {"type": TYPE, "model": model, "metrics": metrics, "key": key_name(public)}
    text = lambda raw: base64.b64encode(raw).decode()  # noqa: E731
    return {"statement": statement, "public_key": text(public), "signature": text(private.sign(_bytes(statement)))}


def verify(signed, path, key, model):
    """Refuses the file at `path` unless it is `model`, signed by the key named `key`. Both names come from the approval."""
    statement = signed["statement"]
    public = base64.b64decode(signed["public_key"])
    if statement.get("type") != TYPE:
        raise step.Refused(f"this is no signature of a model: {statement.get('type')}")
    if key_name(public) != key or statement["key"] != key:
        raise step.Refused(f"the model is signed by {key_name(public)}, and {key} is the key that was approved")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(signed["signature"]), _bytes(statement))
    except InvalidSignature:
        raise step.Refused("the signature does not belong to this statement") from None
    if statement["model"] != model:
        raise step.Refused(f"the signature is for {statement['model']}, and {model} is the model that was approved")
    found = step.digest_of(path)
    if found != model:
        raise step.Refused(f"the file is {found}, and {model} is the model that was signed")
    return statement
