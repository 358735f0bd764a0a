//! What most tests ask of cosign and sigstore-python: sign, and say whether it verifies.

use tests::Outcome;

use crate::scene::{EMAIL, Scene};

/// Flags of a signature in a tag, from before bundles.
pub(crate) const LEGACY: &str = "--new-bundle-format=false";

impl Scene {
    /// cosign signs an image as [`EMAIL`].
    pub(crate) fn sign(&self, image: &str) {
        self.sign_by(&self.token(), &[], image);
    }

    /// cosign signs an image by that token, with further flags.
    pub(crate) fn sign_by(&self, token: &str, more: &[&str], image: &str) {
        let sign = ["sign", "--yes", "--identity-token", token];
        let _ = self
            .run("cosign", &[&sign[..], more, &[image]].concat())
            .succeeds();
    }

    /// cosign signs a blob as [`EMAIL`], with further flags.
    pub(crate) fn sign_blob(&self, more: &[&str], blob: &str) {
        let token = self.token();
        let sign = ["sign-blob", "--yes", "--identity-token", &token];
        let _ = self
            .run("cosign", &[&sign[..], more, &[blob]].concat())
            .succeeds();
    }

    /// cosign signs an image in a tag, by that token.
    pub(crate) fn sign_in_a_tag(&self, token: &str, image: &str) {
        let fulcio = self.siglab.url("fulcio", "http");
        let rekor = self.siglab.url("rekor", "v1");
        let issuer = self.issuer();
        let flags = [
            LEGACY,
            "--use-signing-config=false",
            "--fulcio-url",
            &fulcio,
            "--rekor-url",
            &rekor,
            "--oidc-issuer",
            &issuer,
        ];
        self.sign_by(token, &flags, image);
    }

    /// cosign signs an image as eight people at once: their addresses.
    pub(crate) fn sign_at_once(&self, image: &str) -> Vec<String> {
        let emails: Vec<_> = (0..8)
            .map(|number| format!("signer-{number}@lab.example"))
            .collect();
        std::thread::scope(|scope| {
            for email in &emails {
                scope.spawn(move || {
                    let token = self.token_with(&format!("email={email}"));
                    self.sign_by(&token, &[], image);
                });
            }
        });
        emails
    }

    /// cosign's verdict about an image that an identity of the lab's issuer should have signed.
    pub(crate) fn verify(&self, image: &str, identity: &str) -> Outcome {
        self.verify_by(image, (identity, &self.issuer()), &[])
    }

    /// The same by identity and issuer, with further flags.
    pub(crate) fn verify_by(
        &self,
        image: &str,
        (identity, issuer): (&str, &str),
        more: &[&str],
    ) -> Outcome {
        let identity = format!("--certificate-identity={identity}");
        let issuer = format!("--certificate-oidc-issuer={issuer}");
        let verify = ["verify", &identity, &issuer];
        self.run("cosign", &[&verify[..], more, &[image]].concat())
    }

    /// sigstore-python signs a file by that token, trusting by `trust`.
    pub(crate) fn sign_file(&self, trust: &[&str], token: &str, file: &str) {
        let sign = ["sign", "--overwrite", "--identity-token", token, file];
        let _ = self.run("sigstore", &[trust, &sign].concat()).succeeds();
    }

    /// sigstore-python's verdict about a file, with further flags.
    pub(crate) fn verify_file(
        &self,
        trust: &[&str],
        (identity, issuer): (&str, &str),
        more: &[&str],
        file: &str,
    ) -> Outcome {
        let verify = ["verify", "identity", "--cert-identity", identity];
        let issuer = ["--cert-oidc-issuer", issuer];
        let flags = [trust, &verify, &issuer, more, &[file]].concat();
        self.run("sigstore", &flags)
    }

    /// cosign's verdict about a file and the bundle beside it, made as [`EMAIL`].
    pub(crate) fn verify_blob(&self, bundle: &str, more: &[&str], file: &str) -> Outcome {
        let identity = format!("--certificate-identity={EMAIL}");
        let issuer = format!("--certificate-oidc-issuer={}", self.issuer());
        let verify = ["verify-blob", "--bundle", bundle, &identity, &issuer];
        self.run("cosign", &[&verify[..], more, &[file]].concat())
    }
}
