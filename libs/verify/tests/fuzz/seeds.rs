//! Where inputs begin: the conformance suite's files, and what an instance of our own signs.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bundle::{Bundle, TrustedRoot};
use verify::{SIGN_PREDICATE, Trust};

use crate::support::{Instance, Log, envelope, statement};

/// What everything is signed about.
pub(crate) const DIGEST: &str =
    "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// An instance and what it signed, good as they are.
pub(crate) struct Signed {
    pub(crate) root: TrustedRoot,
    pub(crate) trust: Trust,
    pub(crate) bundles: Vec<Bundle>,
    /// Payload and annotations of a legacy signature.
    pub(crate) legacy: (Vec<u8>, serde_json::Value),
    /// The same of a legacy attestation, which nobody logged.
    pub(crate) attestation: Vec<u8>,
}

/// One for all tests of this process: keys are slow to make.
pub(crate) fn signed() -> &'static Signed {
    static SIGNED: OnceLock<Signed> = OnceLock::new();
    SIGNED.get_or_init(|| {
        let instance = Instance::new();
        let leaf = instance.leaf();
        let root = instance.trusted_root();
        let sign = |log| instance.sign_image(&leaf, DIGEST, SIGN_PREDICATE, log);
        let attested = envelope(&leaf.key, &statement(DIGEST, "https://example.com/p"));
        Signed {
            trust: Trust::new(&root).expect("a usable root"),
            bundles: vec![sign(Log::V1), sign(Log::V2)],
            legacy: instance.sign_legacy(&leaf, DIGEST),
            attestation: serde_json::to_vec(&attested).expect("JSON"),
            root,
        }
    })
}

/// Our own bundles, as JSON.
pub(crate) fn own_bundles() -> Vec<Vec<u8>> {
    let bundles = &signed().bundles;
    bundles
        .iter()
        .map(|one| one.to_json().into_bytes())
        .collect()
}

/// The files of that name in the suite.
pub(crate) fn suite(name: &str) -> Vec<Vec<u8>> {
    let dir = vectors().join("bundle-verify");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(dir)
        .expect("the vectors are here")
        .map(|entry| entry.expect("readable").path())
        .collect();
    cases.sort();
    cases
        .iter()
        .filter_map(|case| std::fs::read(case.join(name)).ok())
        .collect()
}

/// Bundles of the suite that can be read.
pub(crate) fn suite_bundles() -> Vec<Bundle> {
    suite("bundle.sigstore.json")
        .iter()
        .filter_map(|json| Bundle::from_json(json).ok())
        .collect()
}

/// What the suite's bundles verify by.
pub(crate) fn public_trust() -> &'static Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    TRUST.get_or_init(|| {
        let json = std::fs::read(vectors().join("public_good_trusted_root.json"));
        let root = TrustedRoot::from_json(&json.expect("the vectors are here"));
        Trust::new(&root.expect("a trusted root")).expect("a usable root")
    })
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}
