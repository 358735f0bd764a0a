//! Fulcio and the issuers behind tokens: one that is not listed, one that is listed and cannot be reached,
//! and tokens of a listed one that are not for this use. Sent by cosign's two Fulcio clients, grpcurl and
//! curl; the body is upstream's to the letter.

use serde_json::{Value, json};
use tests::{Sandbox, Siglab};

use super::{
    fulcio::{Right, TOKEN, tree_size, with_csr},
    send,
};
use crate::scene::{EMAIL, Scene};

/// A token for [`EMAIL`] of a lab's issuer.
fn token_of(home: &Sandbox, url: &str) -> String {
    let flags = ["--silent", "--show-error", "--fail", url];
    home.run(&tests::client("curl"), &flags).succeeds().text()
}

/// Where a lab hands out tokens for [`EMAIL`], with further parameters.
fn tokens(lab: &Siglab, more: &str) -> String {
    let issuer = lab.url("oidc", "http");
    format!("{issuer}/token?audience=sigstore&email={EMAIL}&{more}")
}

/// Upstream's answer to a mistake of the caller.
fn refusal(message: &str) -> Value {
    json!({"code": 3, "message": message, "details": []})
}

/// A scene whose Fulcio lists two other labs' issuers, of which one is gone, and a token of each: of the
/// one that runs, and of the one that is gone.
fn two_issuers() -> (Scene, Siglab, String, String) {
    let home = Sandbox::new();
    let (here, gone) = (Siglab::start(), Siglab::start());
    let entry = |lab: &Siglab| {
        let url = lab.url("oidc", "http");
        (
            url.clone(),
            json!({"issuer-url": url, "client-id": "sigstore", "type": "email"}),
        )
    };
    let issuers: serde_json::Map<_, _> = [entry(&here), entry(&gone)].into_iter().collect();
    let issuers = json!({"oidc-issuers": issuers}).to_string();
    let file = home.write("issuers.json", issuers).display().to_string();
    let tokens = [&here, &gone].map(|lab| token_of(&home, &tokens(lab, "")));
    drop(gone);
    let set = format!("fulcio.issuers_file={file}");
    let siglab = Siglab::start_with(&["--set", &set]);
    let scene = Scene { siglab, home };
    let _ = scene.initialize("cosign").succeeds();
    let _ = scene.initialize("cosign2").succeeds();
    let [of_here, of_gone] = tokens;
    (scene, here, of_here, of_gone)
}

/// What each real client says when Fulcio refuses its token.
fn clients_are_told(scene: &Scene, what: &str, token: &str) {
    scene.home.write("blob.txt", "hello\n");
    let fulcio = scene.siglab.url("fulcio", "http");
    let rekor = scene.siglab.url("rekor", "v1");
    let flags = [
        "sign-blob",
        "--yes",
        "--identity-token",
        token,
        "--bundle",
        "b.json",
        "blob.txt",
    ];
    scene.run("cosign", &flags).fails_with(TOKEN);
    let urls = ["--fulcio-url", &fulcio, "--rekor-url", &rekor];
    let flags = [
        &flags[..4],
        &urls,
        &["--output-certificate", "leaf.pem", "blob.txt"],
    ]
    .concat();
    scene.run("cosign2", &flags).fails_with(TOKEN);
    let grpc = scene.siglab.url("fulcio", "grpc");
    let host = grpc.trim_start_matches("http://");
    let body = Right::with_token_of(token).body().to_string();
    let call = ["-plaintext", "-d", &body, host];
    let method = "dev.sigstore.fulcio.v2.CA/CreateSigningCertificate";
    let refused = scene.run("grpcurl", &[&call[..], &[method]].concat());
    let _ = refused.fails_with("InvalidArgument");
    let (status, answer) = request(scene, &body);
    assert_eq!((status, answer), (400, refusal(TOKEN)), "{what}");
}

/// curl's request for a certificate: status and JSON.
fn request(scene: &Scene, body: &str) -> (u16, Value) {
    scene.home.write("request.json", body);
    let url = format!("{}/api/v2/signingCert", scene.siglab.url("fulcio", "http"));
    let kind = "Content-Type: application/json";
    let (status, text) = send(
        scene,
        &["--header", kind, "--data-binary", "@request.json", &url],
    );
    let answer = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (status, answer)
}

#[test]
fn an_issuer_must_be_listed_and_reachable() {
    let (scene, _here, of_here, of_gone) = two_issuers();
    let (status, answer) = request(&scene, &Right::with_token_of(&of_here).body().to_string());
    assert_eq!(status, 200, "a listed issuer that runs: {answer}");
    let before = tree_size(&scene);
    clients_are_told(&scene, "listed and gone", &of_gone);
    // The lab's own issuer is not in the file.
    clients_are_told(&scene, "not listed", &scene.token());
    assert_eq!(tree_size(&scene), before, "a refused request was logged");
}

#[test]
fn a_token_that_is_expired_replayed_or_forged_is_told_to_every_client() {
    let scene = Scene::initialized();
    let _ = scene.initialize("cosign2").succeeds();
    let before = tree_size(&scene);
    let expired = token_of(&scene.home, &tokens(&scene.siglab, "lifetime=-60"));
    clients_are_told(&scene, "expired", &expired);
    let elsewhere = format!("{}/token?audience=elsewhere&email={EMAIL}", scene.issuer());
    clients_are_told(
        &scene,
        "for another audience",
        &token_of(&scene.home, &elsewhere),
    );
    let door = format!("{}/oidc/hostile-token?email={EMAIL}", scene.siglab.admin());
    for flaw in ["other-key", "bad-signature", "unknown-kid"] {
        let forged = token_of(&scene.home, &format!("{door}&flaw={flaw}"));
        clients_are_told(&scene, flaw, &forged);
    }
    assert_eq!(tree_size(&scene), before, "a refused request was logged");
}

#[test]
fn a_signing_request_for_a_key_that_did_not_sign_it_is_refused() {
    let scene = Scene::new();
    let right = Right::new(&scene);
    let der = |name: &str| {
        let file = format!("{name}.csr");
        let flags = [
            "req", "-new", "-nodes", "-subj", "/", "-newkey", "ec", "-pkeyopt",
        ];
        let more = [
            "ec_paramgen_curve:P-256",
            "-keyout",
            "key.pem",
            "-out",
            &file,
        ];
        let _ = scene
            .run("openssl", &[&flags[..], &more].concat())
            .succeeds();
        let pem = String::from_utf8(scene.home.read(&file)).unwrap();
        crypto::from_pem(&pem).unwrap().1
    };
    let (mut one, two) = (der("one"), der("two"));
    // A point of P-256 is 65 bytes behind the header of its BIT STRING.
    let point = |der: &[u8]| {
        let at = der
            .windows(4)
            .position(|bytes| bytes == [0x03, 0x42, 0x00, 0x04]);
        at.expect("a P-256 key") + 3
    };
    let (at, from) = (point(&one), point(&two));
    one[at..at + 65].copy_from_slice(&two[from..from + 65]);
    let swapped = crypto::to_pem("CERTIFICATE REQUEST", &one);
    let whole = crypto::to_pem("CERTIFICATE REQUEST", &two);
    let (status, _) = request(&scene, &with_csr(&right, whole.as_bytes()));
    assert_eq!(status, 200);
    let before = tree_size(&scene);
    let answer = request(&scene, &with_csr(&right, swapped.as_bytes()));
    let message = "The signature supplied in the request could not be verified";
    assert_eq!(answer, (400, refusal(message)));
    assert_eq!(tree_size(&scene), before);
}
