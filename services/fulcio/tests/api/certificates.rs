//! The certificates, judged by OpenSSL; the CT step, and what happens when it fails.

use std::sync::atomic::Ordering;

use x509::{Certificate, oid};

use crate::lab::{Lab, NOW, openssl, write};

const EMAIL: &str = "a@example.com";

#[tokio::test]
async fn openssl_verifies_the_chain_strictly() {
    let lab = Lab::start().await;
    let chain = lab.chain_for(EMAIL).await;
    let dir = lab.dir.path();
    for (name, certificate) in ["leaf", "intermediate", "root"].iter().zip(&chain) {
        write(dir, name, &certificate.to_pem());
    }
    let time = (NOW + 300).to_string();
    let verify = [
        "verify",
        "-x509_strict",
        "-attime",
        &time,
        "-CAfile",
        "root",
    ];
    let files = ["-untrusted", "intermediate", "leaf"];
    assert_eq!(
        openssl(dir, &[verify.as_slice(), &files].concat()),
        b"leaf: OK\n"
    );
    let text = openssl(dir, &["x509", "-in", "leaf", "-noout", "-text"]);
    let text = String::from_utf8(text).unwrap();
    for want in [
        "Not Before: Jan  1 00:00:00 2026 GMT",
        "Not After : Jan  1 00:10:00 2026 GMT",
        "X509v3 Subject Alternative Name: critical\n                email:a@example.com\n",
        "CT Precertificate SCTs:",
    ] {
        assert!(text.contains(want), "{want:?} is not in {text}");
    }
}

#[tokio::test]
async fn the_profile_has_its_extensions_in_order_and_no_others() {
    let lab = Lab::start().await;
    let leaf = lab.chain_for(EMAIL).await.remove(0);
    let got: Vec<String> = leaf
        .extensions()
        .iter()
        .map(|e| e.oid.to_string())
        .collect();
    let marker = oid::LAB_MARKER.to_string();
    let want = [
        "2.5.29.15",
        "2.5.29.37",
        "2.5.29.35",
        "2.5.29.17",
        "1.3.6.1.4.1.57264.1.1",
        "1.3.6.1.4.1.57264.1.8",
        "1.3.6.1.4.1.57264.1.24",
        &marker,
        "1.3.6.1.4.1.11129.2.4.2",
    ];
    assert_eq!(got, want);
    assert_eq!(leaf.serial().len(), 20);
    assert!(leaf.serial()[0] < 0x80);
    let critical: Vec<bool> = leaf.extensions().iter().map(|e| e.critical).collect();
    assert_eq!(
        critical,
        [true, false, false, true, false, false, false, false, false]
    );
}

#[tokio::test]
async fn validity_starts_at_the_second_and_authorities_are_older() {
    let lab = Lab::start().await;
    lab.context
        .clock
        .set("2026-01-01T00:00:07.9Z".parse().unwrap());
    let chain = lab.chain_for(EMAIL).await;
    assert_eq!(chain[0].not_before().as_second(), NOW + 7);
    assert_eq!(chain[0].not_after().as_second(), NOW + 607);
    for authority in &chain[1..] {
        assert!(authority.not_before().as_second() <= NOW - 60);
        assert_eq!(
            (authority.not_after() - authority.not_before()).as_hours(),
            24 * 90
        );
    }
}

#[tokio::test]
async fn the_log_gets_the_precertificate_and_the_whole_chain() {
    let lab = Lab::start().await;
    let chain = lab.chain_for(EMAIL).await;
    let logged = lab.ctlog.chains.lock().unwrap().remove(0);
    let precertificate = Certificate::from_der(&logged[0]).unwrap();
    let poison = precertificate.extensions().last().unwrap();
    assert!(poison.oid == oid::CT_POISON && poison.critical && poison.value == [5, 0]);
    assert_eq!(
        logged[1..],
        [chain[1].der().to_vec(), chain[2].der().to_vec()]
    );
    assert_eq!(
        precertificate.precertificate_tbs(),
        chain[0].precertificate_tbs()
    );
    assert_eq!(precertificate.serial(), chain[0].serial());
    precertificate.verify_signed_by(&chain[1]).unwrap();
    chain[0].verify_signed_by(&chain[1]).unwrap();
    let scts = chain[0].scts().unwrap();
    assert_eq!(scts.len(), 1);
    assert_eq!(scts[0].extensions, b"leaf index");
    scts[0]
        .verify_embedded(lab.ctlog.key.public_key(), &chain[0], &chain[1])
        .unwrap();
}

#[tokio::test]
async fn nothing_is_handed_out_when_the_log_fails() {
    let lab = Lab::start().await;
    let token = lab.issuer.email_token(EMAIL);
    for status in [400, 404, 500, 201] {
        lab.ctlog.failures.lock().unwrap().push((status, "0"));
        let answer = lab.sign(&token, EMAIL).await;
        answer.refused(500, 13, "Error entering certificate in CTL");
    }
    assert_eq!(lab.sign(&token, EMAIL).await.status, 200);
}

#[tokio::test]
async fn a_busy_log_is_asked_again() {
    let lab = Lab::start().await;
    let token = lab.issuer.email_token(EMAIL);
    for status in [408, 429, 503] {
        lab.ctlog.failures.lock().unwrap().push((status, "0"));
    }
    assert_eq!(lab.sign(&token, EMAIL).await.status, 200);
    for _ in 0..4 {
        lab.ctlog.failures.lock().unwrap().push((503, "0"));
    }
    lab.sign(&token, EMAIL)
        .await
        .refused(500, 13, "Error entering certificate in CTL");
}

#[tokio::test]
async fn a_log_that_is_not_there_hands_out_nothing() {
    let lab = Lab::with(|_, _| fulcio::Config {
        ct_log_url: Some("http://127.0.0.1:1".to_owned()),
        ..fulcio::Config::default()
    })
    .await;
    let answer = lab.sign(&lab.issuer.email_token(EMAIL), EMAIL).await;
    answer.refused(500, 13, "Error entering certificate in CTL");
}

#[tokio::test]
async fn a_promise_that_the_log_key_did_not_sign_is_refused() {
    let mut lab = Lab::start().await;
    let path = lab.dir.path().join("ctlog.pub");
    write(
        lab.dir.path(),
        "ctlog.pub",
        &lab.ctlog.key.public_key().to_pem(),
    );
    lab.reopen(fulcio::Config {
        ct_log_public_key: Some(path.clone()),
        ..fulcio::Config::default()
    })
    .await
    .unwrap();
    let token = lab.issuer.email_token(EMAIL);
    assert_eq!(lab.sign(&token, EMAIL).await.status, 200);
    lab.ctlog.lies.store(true, Ordering::SeqCst);
    lab.sign(&token, EMAIL)
        .await
        .refused(500, 13, "Error entering certificate in CTL");

    let other = crypto::SigningKey::generate(crypto::KeyKind::EcdsaP256).unwrap();
    write(lab.dir.path(), "ctlog.pub", &other.public_key().to_pem());
    lab.ctlog.lies.store(false, Ordering::SeqCst);
    lab.reopen(fulcio::Config {
        ct_log_public_key: Some(path),
        ..fulcio::Config::default()
    })
    .await
    .unwrap();
    lab.sign(&token, EMAIL)
        .await
        .refused(500, 13, "Error entering certificate in CTL");
}
