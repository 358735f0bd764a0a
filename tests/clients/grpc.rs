//! Fulcio and Rekor v2 over gRPC, called by grpcurl through reflection alone.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto::{KeyKind, SigningKey};
use serde_json::json;

use crate::scene::{EMAIL, Scene};

#[test]
fn fulcio_is_called_through_reflection() {
    let scene = Scene::new();
    let url = scene.siglab.url("fulcio", "grpc");
    let host = url.trim_start_matches("http://");
    let services = ["-plaintext", host, "list"];
    let _ = scene
        .run("grpcurl", &services)
        .succeeds()
        .says("dev.sigstore.fulcio.v2.CA");
    let call = |body: &str, method: &str| {
        let method = format!("dev.sigstore.fulcio.v2.CA/{method}");
        scene.run("grpcurl", &["-plaintext", "-d", body, host, &method])
    };
    let _ = call("{}", "GetTrustBundle")
        .succeeds()
        .says("BEGIN CERTIFICATE");
    let _ = call("{}", "GetConfiguration")
        .succeeds()
        .says(&scene.issuer());
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let request = |token: &str| {
        let request = json!({
            "credentials": {"oidcIdentityToken": token},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": key.public_key().to_pem()},
                "proofOfPossession": STANDARD.encode(key.sign(EMAIL.as_bytes()).unwrap()),
            },
        });
        call(&request.to_string(), "CreateSigningCertificate")
    };
    let _ = request(&scene.token())
        .succeeds()
        .says("signedCertificateEmbeddedSct");
    let refused = request("garbage").fails_with("InvalidArgument");
    let _ = refused.says("There was an error processing the identity token");
}
