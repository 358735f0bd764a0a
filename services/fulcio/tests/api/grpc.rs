//! The gRPC door, byte by byte: frames and messages written by hand from their field numbers.

use std::sync::Arc;

use axum::{body::Body, http::Request};
use crypto::{KeyKind, SigningKey};
use http_body_util::BodyExt as _;
use runtime::Service as _;
use tower::ServiceExt as _;
use x509::Certificate;

use crate::lab::Lab;

const SIGN: &str = "/dev.sigstore.fulcio.v2.CA/CreateSigningCertificate";

/// A length-delimited protobuf field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend_from_slice(content);
    out
}

/// The content of the first field, which must be `number` and length-delimited, and the rest.
fn take(number: u8, message: &[u8]) -> (&[u8], &[u8]) {
    assert_eq!(message[0], number << 3 | 2);
    let (mut length, mut at, mut shift) = (0, 1, 0);
    loop {
        length |= usize::from(message[at] & 0x7f) << shift;
        at += 1;
        shift += 7;
        if message[at - 1] < 0x80 {
            break;
        }
    }
    message[at..].split_at(length)
}

struct Reply {
    status: String,
    message: String,
    body: Vec<u8>,
}

async fn call(lab: &Lab, path: &str, message: &[u8], metadata: &[(&str, &str)]) -> Reply {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let mut request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in metadata {
        request = request.header(*name, *value);
    }
    let request = request
        .version(axum::http::Version::HTTP_2)
        .body(Body::from(frame))
        .unwrap();
    let response = Arc::clone(&lab.service)
        .router("grpc")
        .oneshot(request)
        .await
        .unwrap();
    let headers = response.headers().clone();
    let body = response.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let text = |name: &str| {
        let value = headers.get(name).or_else(|| trailers.get(name));
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    };
    let message = text("grpc-message").replace("%20", " ");
    let status = text("grpc-status");
    let body = body.to_bytes();
    Reply {
        status,
        message,
        body: body.get(5..).unwrap_or_default().to_vec(),
    }
}

fn signing_request(key: &SigningKey, name: &str, token: &str) -> Vec<u8> {
    let public_key = field(2, key.public_key().to_pem().as_bytes());
    let proof = key.sign(name.as_bytes()).unwrap();
    let request = [field(1, &public_key), field(2, &proof)].concat();
    let mut message = field(2, &request);
    if !token.is_empty() {
        message.extend(field(1, &field(1, token.as_bytes())));
    }
    message
}

#[tokio::test]
async fn a_certificate_is_signed_for_a_token_in_message_or_metadata() {
    let lab = Lab::start().await;
    let token = lab.issuer.email_token("a@example.com");
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let in_message = signing_request(&key, "a@example.com", &token);
    let bare = signing_request(&key, "a@example.com", "");
    let metadata = [("oidcidentitytoken", token.as_str())];
    for (message, metadata) in [(&in_message, &[][..]), (&bare, &metadata[..])] {
        let reply = call(&lab, SIGN, message, metadata).await;
        assert_eq!(reply.status, "0", "{}", reply.message);
        let (embedded, rest) = take(2, &reply.body);
        assert!(rest.is_empty());
        let (chain, _) = take(1, embedded);
        let (leaf, more) = take(1, chain);
        assert!(!leaf.ends_with(b"\n") && !more.is_empty());
        let leaf = Certificate::from_pem(std::str::from_utf8(leaf).unwrap()).unwrap();
        assert_eq!(leaf.scts().unwrap().len(), 1);
    }
    let twice = [metadata[0], metadata[0]];
    assert_eq!(call(&lab, SIGN, &bare, &twice).await.status, "3");
    let header = format!("Bearer {token}");
    let reply = call(&lab, SIGN, &bare, &[("authorization", &header)]).await;
    assert_eq!(
        reply.message,
        "There was an error processing the identity token"
    );
}

#[tokio::test]
async fn errors_have_the_codes_and_words_of_http() {
    let lab = Lab::start().await;
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let token = lab.issuer.email_token("a@example.com");
    let reply = call(&lab, SIGN, &signing_request(&key, "other", &token), &[]).await;
    assert_eq!(reply.status, "3");
    assert_eq!(
        reply.message,
        "The signature supplied in the request could not be verified"
    );
    lab.ctlog.failures.lock().unwrap().push((500, "0"));
    let reply = call(
        &lab,
        SIGN,
        &signing_request(&key, "a@example.com", &token),
        &[],
    )
    .await;
    assert_eq!(
        (reply.status.as_str(), reply.message.as_str()),
        ("13", "Error entering certificate in CTL")
    );
    assert_eq!(
        call(&lab, "/dev.sigstore.fulcio.v2.CA/Nope", &[], &[])
            .await
            .status,
        "12"
    );
}

#[tokio::test]
async fn trust_bundle_and_configuration_are_served() {
    let lab = Lab::start().await;
    let reply = call(&lab, "/dev.sigstore.fulcio.v2.CA/GetTrustBundle", &[], &[]).await;
    let (chain, _) = take(1, &reply.body);
    let (first, _) = take(1, chain);
    assert!(first.ends_with(b"-----END CERTIFICATE-----\n"));
    let reply = call(
        &lab,
        "/dev.sigstore.fulcio.v2.CA/GetConfiguration",
        &[],
        &[],
    )
    .await;
    let (issuer, _) = take(1, &reply.body);
    let (url, rest) = take(1, issuer);
    assert_eq!(url, lab.issuer.url.as_bytes());
    assert_eq!(take(3, rest).0, b"sigstore");
}

#[tokio::test]
async fn health_is_serving_for_any_name_and_not_watched() {
    let lab = Lab::start().await;
    for message in [Vec::new(), field(1, b"unheard of")] {
        let reply = call(&lab, "/grpc.health.v1.Health/Check", &message, &[]).await;
        assert_eq!(
            (reply.status.as_str(), reply.body.as_slice()),
            ("0", [8, 1].as_slice())
        );
    }
    let reply = call(&lab, "/grpc.health.v1.Health/Watch", &[], &[]).await;
    assert_eq!(
        (reply.status.as_str(), reply.message.as_str()),
        ("12", "unimplemented")
    );
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let lab = Lab::start().await;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let reply = call(&lab, &path, &field(7, b""), &[]).await;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        for service in ["dev.sigstore.fulcio.v2.CA", "grpc.health.v1.Health"] {
            assert!(text.contains(service), "{version}: {text}");
        }
    }
}
