"""A test suite that has a Sigstore of its own: `pytest examples/python`, with siglab on the PATH."""
import json
import subprocess
import time
from pathlib import Path

import pytest
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier, policy


@pytest.fixture
def lab(tmp_path):
    ready = tmp_path / "ready.json"
    up = ["siglab", "up", "--port=0", f"--data-dir={tmp_path}/lab", f"--ready-file={ready}"]
    with subprocess.Popen(up) as siglab:
        while siglab.poll() is None and not ready.exists():
            time.sleep(0.01)
        admin = json.loads(ready.read_text())["admin_url"]
        env = ["siglab", "env", f"--lab={admin}", "--format=json", f"--dir={tmp_path}/trust"]
        yield json.loads(subprocess.check_output(env))
        siglab.terminate()


def test_a_signature_verifies(lab):
    trust = ClientTrustConfig.from_json(Path(lab["TRUST_CONFIG"]).read_text())
    token = IdentityToken(lab["SIGSTORE_ID_TOKEN"])
    with SigningContext.from_trust_config(trust).signer(token) as signer:
        bundle = signer.sign_artifact(b"hello")
    signer = policy.Identity(identity="foo@bar.com", issuer=lab["ISSUER_URL"])
    Verifier(trusted_root=trust.trusted_root).verify_artifact(b"hello", bundle, signer)
