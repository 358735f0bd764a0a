//! Fulcio: tokens, proofs, keys, bodies. The messages are upstream's, spec/fulcio.md §1.5.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use crypto::{KeyKind, SigningKey};
use serde_json::{Value, json};

use super::{Bad, check, post, send};
use crate::scene::{EMAIL, Scene};

pub(super) const TOKEN: &str = "There was an error processing the identity token";
const KEY: &str = "The public key supplied in the request could not be parsed";
const PROOF: &str = "The signature supplied in the request could not be verified";
const CSR: &str = "The certificate signing request could not be parsed";

/// A request that is right, for others to spoil.
pub(super) struct Right {
    key: SigningKey,
    token: String,
}

impl Right {
    pub(super) fn new(scene: &Scene) -> Self {
        Self::with_token_of(&scene.token())
    }

    /// Right but for the token, which may be of another.
    pub(super) fn with_token_of(token: &str) -> Self {
        Self {
            key: SigningKey::generate(KeyKind::EcdsaP256).unwrap(),
            token: token.to_owned(),
        }
    }

    pub(super) fn body(&self) -> Value {
        let proof = self.key.sign(EMAIL.as_bytes()).unwrap();
        json!({
            "credentials": {"oidcIdentityToken": self.token},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": self.key.public_key().to_pem()},
                "proofOfPossession": STANDARD.encode(proof),
            },
        })
    }

    /// The body with the value at `pointer` replaced.
    fn with(&self, pointer: &str, value: impl Into<Value>) -> String {
        let mut body = self.body();
        *body.pointer_mut(pointer).expect("a member of the body") = value.into();
        body.to_string()
    }

    fn with_token(&self, token: &str) -> String {
        self.with("/credentials/oidcIdentityToken", token)
    }
}

/// Entries in the CT log: what issuance leaves behind.
pub(super) fn tree_size(scene: &Scene) -> u64 {
    let sth = scene.json(&format!(
        "{}/ct/v1/get-sth",
        scene.siglab.url("ctlog", "http")
    ));
    sth["tree_size"].as_u64().expect("a tree size")
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Header and payload of a token.
fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap_or(Value::Null)
    });
    (parts.next().unwrap(), parts.next().unwrap())
}

/// `token` with another header and payload, signed with RS256 by another key.
fn forged(key: &SigningKey, header: &Value, payload: &Value) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

/// `token` as HS256 with the issuer's public key, in PEM, as the secret.
fn hs256(scene: &Scene, header: &Value, payload: &Value) -> String {
    let keys = scene.json(&format!("{}/keys", scene.issuer()));
    let number = |name: &str| {
        let text = keys["keys"][0][name].as_str().expect("a JWK member");
        URL_SAFE_NO_PAD.decode(text).unwrap()
    };
    let public = crypto::PublicKey::from_rsa_components(&number("n"), &number("e")).unwrap();
    let secret = public
        .to_pem()
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let mut header = header.clone();
    header["alg"] = json!("HS256");
    let signed = format!("{}.{}", encode(&header), encode(payload));
    scene.home.write("hs256", &signed);
    let key = format!("hexkey:{secret}");
    let mac = [
        "dgst", "-sha256", "-mac", "HMAC", "-macopt", &key, "-binary", "hs256",
    ];
    let mac = scene.run("openssl", &mac).succeeds().bytes().to_vec();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
}

/// Tokens that no issuer of this lab stands behind, or not for this use.
fn bad_tokens(scene: &Scene, right: &Right) -> Vec<(&'static str, String)> {
    let (header, payload) = parts(&right.token);
    let other = SigningKey::generate(KeyKind::Rsa2048).unwrap();
    let mut unknown = header.clone();
    unknown["kid"] = json!("no-such-key");
    let mut none = header.clone();
    none["alg"] = json!("none");
    let mut elsewhere = payload.clone();
    elsewhere["iss"] = json!("http://localhost:1");
    let mut somebody = payload.clone();
    somebody["email"] = json!("mallory@lab.example");
    let genuine: Vec<_> = right.token.split('.').collect();
    vec![
        ("no token", String::new()),
        ("garbage", "garbage".to_owned()),
        ("two parts", genuine[..2].join(".")),
        (
            "expired",
            scene.token_with(&format!("email={EMAIL}&lifetime=-60")),
        ),
        ("another issuer", forged(&other, &header, &elsewhere)),
        (
            "another key under the issuers kid",
            forged(&other, &header, &payload),
        ),
        ("unknown kid", forged(&other, &unknown, &payload)),
        (
            "alg none",
            format!("{}.{}.", encode(&none), encode(&payload)),
        ),
        ("alg none with a signature", forged(&other, &none, &payload)),
        ("HS256 with the public key", hs256(scene, &header, &payload)),
        (
            "changed payload",
            [genuine[0], &encode(&somebody), genuine[2]].join("."),
        ),
        (
            "unverified email",
            scene.token_with(&format!("email={EMAIL}&email_verified=false")),
        ),
        ("email that is none", scene.token_with("email=alice")),
    ]
}

#[test]
fn fulcio_refuses_bad_tokens_and_logs_nothing() {
    let scene = Scene::new();
    let right = Right::new(&scene);
    let url = format!("{}/api/v2/signingCert", scene.siglab.url("fulcio", "http"));
    let to = (&*url, "application/json");
    let ok = post(
        &scene,
        "right request",
        to,
        right.body().to_string(),
        (200, "BEGIN CERT"),
    );
    check(&scene, &[ok]);
    let before = tree_size(&scene);
    let mut requests: Vec<Bad> = bad_tokens(&scene, &right)
        .into_iter()
        .map(|(what, token)| post(&scene, what, to, right.with_token(&token), (400, TOKEN)))
        .collect();
    let other_audience = format!("{}/token?audience=other&email={EMAIL}", scene.issuer());
    let token = String::from_utf8(scene.get(&other_audience)).unwrap();
    requests.push(post(
        &scene,
        "another audience",
        to,
        right.with_token(&token),
        (400, TOKEN),
    ));
    check(&scene, &requests);
    assert_eq!(tree_size(&scene), before);
}

#[test]
fn fulcio_refuses_bad_keys_proofs_and_requests() {
    let scene = Scene::new();
    let right = Right::new(&scene);
    let before = tree_size(&scene);
    let url = format!("{}/api/v2/signingCert", scene.siglab.url("fulcio", "http"));
    let to = (&*url, "application/json");
    let key = "/publicKeyRequest/publicKey/content";
    let proof = "/publicKeyRequest/proofOfPossession";
    let other = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let foreign = STANDARD.encode(other.sign(EMAIL.as_bytes()).unwrap());
    let wrong_subject = STANDARD.encode(right.key.sign(b"mallory@lab.example").unwrap());
    let mut both = right.body();
    both["certificateSigningRequest"] = json!(STANDARD.encode("x"));
    let mut neither = right.body();
    neither.as_object_mut().unwrap().remove("publicKeyRequest");
    let mut csr = neither.clone();
    csr["certificateSigningRequest"] = json!(STANDARD.encode("no csr"));
    let mut large = right.body();
    large["credentials"]["oidcIdentityToken"] = json!("x".repeat(5 << 20));
    let right_text = right.body().to_string();
    let send = |what: &str, body: String, answer| post(&scene, what, to, body, answer);
    check(
        &scene,
        &[
            send(
                "proof by another key",
                right.with(proof, foreign),
                (400, PROOF),
            ),
            send(
                "proof of another subject",
                right.with(proof, wrong_subject),
                (400, PROOF),
            ),
            send(
                "proof that is no signature",
                right.with(proof, "AAAA"),
                (400, PROOF),
            ),
            send(
                "proof that is no base64",
                right.with(proof, "!!"),
                (400, "invalid value for bytes field"),
            ),
            send("key that is none", right.with(key, "key"), (400, KEY)),
            send("key that is empty", right.with(key, ""), (400, KEY)),
            send("no key", neither.to_string(), (400, KEY)),
            send("CSR that is none", csr.to_string(), (400, CSR)),
            send("key and CSR", both.to_string(), (400, "is already set")),
            send(
                "truncated",
                right_text[..right_text.len() - 9].to_owned(),
                (400, "unexpected EOF"),
            ),
            send("unknown member", "{\"nonsense\": 1}".to_owned(), (400, "")),
            send("array", "[]".to_owned(), (400, "")),
            send("no JSON", "\u{0}\u{1}".to_owned(), (400, "")),
            send("empty", String::new(), (400, "")),
            send(
                "oversize",
                large.to_string(),
                (400, "http: request body too large"),
            ),
        ],
    );
    assert_eq!(tree_size(&scene), before);
}

#[test]
fn fulcio_answers_other_paths_and_methods_as_its_gateway_does() {
    let scene = Scene::new();
    let base = scene.siglab.url("fulcio", "http");
    let at = |path: &str| format!("{base}{path}");
    let method = |what, method: &str, path: &str, status, body| {
        super::bad(what, &["--request", method, &at(path)], status, body)
    };
    check(
        &scene,
        &[
            method(
                "GET of a POST path",
                "GET",
                "/api/v2/signingCert",
                501,
                "Method Not Allowed",
            ),
            method(
                "PUT",
                "PUT",
                "/api/v2/trustBundle",
                501,
                "Method Not Allowed",
            ),
            method("unknown path", "GET", "/api/v3/nothing", 404, "Not Found"),
            method(
                "trailing slash",
                "GET",
                "/api/v2/trustBundle/",
                404,
                "Not Found",
            ),
            method("admin path", "GET", "/readyz", 404, "Not Found"),
            method(
                "trust bundle",
                "GET",
                "/api/v2/trustBundle",
                200,
                "BEGIN CERTIFICATE",
            ),
            method(
                "configuration",
                "GET",
                "/api/v2/configuration",
                200,
                "issuers",
            ),
        ],
    );
}

#[test]
fn fulcio_v1_answers_201_with_pem_and_refuses_as_v2_does() {
    let scene = Scene::new();
    let right = Right::new(&scene);
    let url = format!("{}/api/v1/signingCert", scene.siglab.url("fulcio", "http"));
    let content = STANDARD.encode(right.key.public_key().spki_der());
    let proof = STANDARD.encode(right.key.sign(EMAIL.as_bytes()).unwrap());
    let body = json!({
        "publicKey": {"content": content, "algorithm": "ecdsa"}, "signedEmailAddress": proof,
    });
    scene.home.write("v1.body", body.to_string());
    let send = |token: &str| {
        let bearer = format!("Authorization: Bearer {token}");
        let kind = "Content-Type: application/json";
        send(
            &scene,
            &[
                "--header",
                kind,
                "--header",
                &bearer,
                "--data-binary",
                "@v1.body",
                &url,
            ],
        )
    };
    let (status, answer) = send(&right.token);
    assert_eq!(status, 201, "{answer}");
    assert!(
        answer.starts_with("-----BEGIN CERTIFICATE-----"),
        "{answer}"
    );
    let (status, answer) = send("garbage");
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains(TOKEN), "{answer}");
}

/// A request with the certificate signing request of a file.
pub(super) fn with_csr(right: &Right, csr: &[u8]) -> String {
    let mut body = right.body();
    body.as_object_mut().unwrap().remove("publicKeyRequest");
    body["certificateSigningRequest"] = json!(STANDARD.encode(csr));
    body.to_string()
}

#[test]
#[expect(clippy::too_many_lines, reason = "two tables of requests")]
fn fulcio_certifies_the_requests_that_openssl_makes_and_no_tampered_ones() {
    let scene = Scene::new();
    let right = Right::new(&scene);
    let url = format!("{}/api/v2/signingCert", scene.siglab.url("fulcio", "http"));
    let to = (&*url, "application/json");
    let before = tree_size(&scene);
    let mut requests = Vec::new();
    for (name, algorithm) in [
        (
            "P-256",
            &["ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-sha256"][..],
        ),
        (
            "P-384",
            &["ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-sha384"],
        ),
        (
            "P-521",
            &["ec", "-pkeyopt", "ec_paramgen_curve:P-521", "-sha512"],
        ),
        ("RSA 2048", &["rsa:2048", "-sha256"]),
        ("RSA 4096", &["rsa:4096", "-sha256"]),
        ("Ed25519", &["ed25519"]),
    ] {
        let flags = [
            "req",
            "-new",
            "-nodes",
            "-subj",
            "/CN=ignored",
            "-keyout",
            "key.pem",
        ];
        let flags = [&flags[..], &["-out", "request.pem", "-newkey"], algorithm].concat();
        let _ = scene.run("openssl", &flags).succeeds();
        let csr = with_csr(&right, &scene.home.read("request.pem"));
        requests.push(post(
            &scene,
            name,
            to,
            csr,
            (200, "signedCertificateEmbeddedSct"),
        ));
    }
    check(&scene, &requests);
    let issued = requests.len() as u64;
    assert_eq!(tree_size(&scene), before + issued);

    let (_, mut der) =
        crypto::from_pem(&String::from_utf8(scene.home.read("request.pem")).unwrap()).unwrap();
    let der_only = with_csr(&right, &der);
    *der.last_mut().unwrap() ^= 1;
    let tampered = with_csr(
        &right,
        crypto::to_pem("CERTIFICATE REQUEST", &der).as_bytes(),
    );
    let weak = [
        "req", "-new", "-nodes", "-subj", "/CN=x", "-keyout", "key.pem", "-newkey", "rsa:1024",
    ];
    let _ = scene
        .run("openssl", &[&weak[..], &["-out", "weak.pem"]].concat())
        .succeeds();
    let weak = with_csr(&right, &scene.home.read("weak.pem"));
    check(
        &scene,
        &[
            post(
                &scene,
                "signature of another key",
                to,
                tampered,
                (400, PROOF),
            ),
            post(&scene, "DER without PEM", to, der_only, (400, CSR)),
            post(
                &scene,
                "weak key",
                to,
                weak,
                (400, "The public key supplied in the request is insecure"),
            ),
        ],
    );
    assert_eq!(tree_size(&scene), before + issued);
}
