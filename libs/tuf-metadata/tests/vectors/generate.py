"""Writes the python-tuf vectors of this folder: pip install tuf==7.0.1, then python generate.py."""
import copy
import os
from datetime import datetime, timezone

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

OUT = "python-tuf"
EXPIRES = datetime(2030, 1, 1, tzinfo=timezone.utc)
os.makedirs(OUT, exist_ok=True)

first, second, third = (CryptoSigner.generate_ecdsa() for _ in range(3))
online = CryptoSigner.generate_ed25519()


def write(name, metadata, signers):
    metadata.signatures.clear()
    for signer in signers:
        metadata.sign(signer, append=True)
    data = metadata.to_bytes(JSONSerializer(compact=False))
    with open(f"{OUT}/{name}", "wb") as file:
        file.write(data)
    return data


root = Root(version=1, expires=EXPIRES)
for signer in (first, second):
    root.add_key(signer.public_key, "root")
root.add_key(first.public_key, "targets")
for role in ("timestamp", "snapshot"):
    root.add_key(online.public_key, role)
root.roles["root"].threshold = 2
root.unrecognized_fields["x-note"] = 'quote " backslash \\ line\nend'
write("1.root.json", Metadata(root), [first, second])

rotated = copy.deepcopy(root)
rotated.version = 2
rotated.revoke_key(second.public_key.keyid, "root")
rotated.add_key(third.public_key, "root")
write("2.root.json", Metadata(rotated), [first, second, third])
write("2.root.one-old-key.json", Metadata(rotated), [first, third])
write("2.root.one-new-key.json", Metadata(rotated), [first, second])

targets = Targets(version=3, expires=EXPIRES)
content = b"hello\n"
with open(f"{OUT}/hello.txt", "wb") as file:
    file.write(content)
info = TargetFile.from_data("hello.txt", content, ["sha256", "sha512"])
info.unrecognized_fields["custom"] = {"sigstore": {"usage": "CTFE", "status": "Active"}}
targets.targets["hello.txt"] = info
targets_bytes = write("3.targets.json", Metadata(targets), [first])

meta = MetaFile.from_data(3, targets_bytes, ["sha256"])
snapshot = Snapshot(version=5, expires=EXPIRES, meta={"targets.json": meta})
snapshot_bytes = write("5.snapshot.json", Metadata(snapshot), [online])

stamp = Timestamp(version=7, expires=EXPIRES, snapshot_meta=MetaFile.from_data(5, snapshot_bytes, ["sha256"]))
write("7.timestamp.json", Metadata(stamp), [online])
stamp.version = 6
write("6.timestamp.json", Metadata(stamp), [online])
stamp.version = 8
stamp.snapshot_meta = MetaFile(version=4)
write("8.timestamp.older-snapshot.json", Metadata(stamp), [online])
stamp.snapshot_meta = MetaFile(version=6)
write("8.timestamp.json", Metadata(stamp), [online])
snapshot.version = 6
snapshot.meta["targets.json"] = MetaFile(version=2)
write("6.snapshot.older-targets.json", Metadata(snapshot), [online])
snapshot.meta = {"other.json": MetaFile(version=9)}
write("6.snapshot.without-targets.json", Metadata(snapshot), [online])
