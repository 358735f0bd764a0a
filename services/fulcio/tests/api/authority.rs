//! The issuing authority: kept over restarts, taken from files, guarded against public names.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use fulcio::Config;
use runtime::Service as _;
use serde_json::json;
use x509::oid;

use crate::lab::{Lab, openssl, write};

const EMAIL: &str = "a@example.com";

fn config(text: &str) -> Config {
    serde_json::from_value(json!({"ca": text})).unwrap()
}

/// Root, intermediate and encrypted key as an operator makes them.
fn operator_files(dir: &Path, organization: &str, usage: &str) -> Config {
    let run = |command: &str| openssl(dir, &command.split(' ').collect::<Vec<_>>());
    let organization = organization.replace(' ', "_");
    run(&format!(
        "req -x509 -days 400000 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384 -keyout \
         root.key -out root.pem -subj /O={organization}/CN=operator_root -addext \
         keyUsage=critical,keyCertSign,cRLSign"
    ));
    run(&format!(
        "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout plain.key -out \
         issuer.csr -subj /O={organization}/CN=operator_issuer"
    ));
    run("pkcs8 -topk8 -v2 aes-256-cbc -passout pass:open -in plain.key -out issuer.key");
    let extensions = format!(
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n\
         subjectKeyIdentifier=hash\n{usage}"
    );
    write(dir, "extensions", &extensions);
    run(
        "x509 -req -in issuer.csr -CA root.pem -CAkey root.key -CAcreateserial -days 400000 -extfile \
         extensions -out issuer.pem",
    );
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    write(
        dir,
        "chain.pem",
        &format!("{}{}", read("issuer.pem"), read("root.pem")),
    );
    Config {
        file_ca_cert: Some(dir.join("chain.pem")),
        file_ca_key: Some(dir.join("issuer.key")),
        file_ca_key_password: Some("open".to_owned()),
        ..config("file")
    }
}

/// The refusal of a start, as one line. The clock stands in the validity of what OpenSSL makes now.
async fn refusal(lab: &mut Lab, config: Config) -> String {
    let refusal = format!("{:#}", lab.reopen(config).await.unwrap_err());
    assert!(!refusal.contains('\n'), "{refusal}");
    refusal
}

/// OpenSSL dates its certificates by the machine's clock, so the lab's is moved behind it.
async fn lab_after_now() -> Lab {
    let lab = Lab::start().await;
    lab.context
        .clock
        .set("2100-01-01T00:00:00Z".parse().unwrap());
    lab
}

#[tokio::test]
async fn the_generated_authority_is_kept_over_restarts() {
    let mut lab = Lab::start().await;
    let before = lab.get("/api/v1/rootCert").await.body;
    lab.reopen(Config::default()).await.unwrap();
    assert_eq!(lab.get("/api/v1/rootCert").await.body, before);
    for role in ["root", "intermediate"] {
        let path = runtime::keys::path(&lab.context.dir, role);
        assert_eq!(
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
}

#[tokio::test]
async fn an_expired_authority_is_not_ready_and_gets_new_certificates_at_the_next_start() {
    let mut lab = Lab::start().await;
    lab.service.readiness().unwrap();
    lab.context.clock.advance(91 * 24 * 3600);
    assert!(lab.service.readiness().unwrap_err().contains("not valid"));
    let claims = json!({"email": EMAIL, "email_verified": true, "exp": lab.now().as_second() + 60});
    let token = lab.issuer.token("", &claims);
    lab.sign(&token, EMAIL)
        .await
        .refused(500, 13, "error communicating with CA backend");
    lab.reopen(Config::default()).await.unwrap();
    lab.service.readiness().unwrap();
    assert_eq!(lab.sign(&token, EMAIL).await.status, 200);
}

#[tokio::test]
async fn keys_that_others_may_read_or_that_do_not_fit_stop_the_start() {
    let mut lab = Lab::start().await;
    let path = runtime::keys::path(&lab.context.dir, "intermediate");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(
        refusal(&mut lab, Config::default())
            .await
            .contains("mode 0644")
    );
    std::fs::remove_file(&path).unwrap();
    assert!(
        refusal(&mut lab, Config::default())
            .await
            .contains("not of one authority")
    );
    let root = runtime::keys::path(&lab.context.dir, "root");
    let pem = std::fs::read_to_string(&root).unwrap();
    std::fs::remove_file(&root).unwrap();
    runtime::files::write_new(&root, &pem.as_bytes()[..pem.len() / 2]).unwrap();
    assert!(
        refusal(&mut lab, Config::default())
            .await
            .contains("cannot be used")
    );
}

#[tokio::test]
async fn the_ephemeral_authority_issues_from_its_root_and_is_another_each_time() {
    let mut lab = Lab::with(|_, _| config("ephemeral")).await;
    let chain = lab.chain_for(EMAIL).await;
    assert_eq!(chain.len(), 2);
    assert!(chain[1].is_self_issued() && chain[1].path_length().unwrap() == Some(1));
    lab.reopen(config("ephemeral")).await.unwrap();
    let again = lab.chain_for(EMAIL).await;
    assert_ne!(chain[1], again[1]);
}

#[tokio::test]
async fn an_operators_chain_with_an_encrypted_key_issues() {
    let mut lab = lab_after_now().await;
    let files = operator_files(
        lab.dir.path(),
        "LAB operator",
        "extendedKeyUsage=codeSigning",
    );
    lab.reopen(files.clone()).await.unwrap();
    let claims = json!({"email": EMAIL, "email_verified": true, "exp": lab.now().as_second() + 60});
    let chain = lab
        .sign(&lab.issuer.token("", &claims), EMAIL)
        .await
        .chain();
    let roots = std::slice::from_ref(&chain[2]);
    x509::verify_chain(
        &chain[0],
        &chain[1..2],
        roots,
        lab.now(),
        oid::EKU_CODE_SIGNING,
    )
    .unwrap();
    let trust = lab.service.trust();
    assert_eq!(
        trust.certificate_authorities[0].common_name,
        "operator_root"
    );

    let wrong = Config {
        file_ca_key_password: Some("shut".to_owned()),
        ..files.clone()
    };
    assert!(
        refusal(&mut lab, wrong)
            .await
            .contains("could not be decrypted")
    );
    let missing = Config {
        file_ca_key: None,
        ..files.clone()
    };
    assert!(
        refusal(&mut lab, missing)
            .await
            .contains("needs file_ca_key")
    );
    let leaf = Config {
        file_ca_cert: Some(lab.dir.path().join("root.pem")),
        ..files
    };
    assert!(
        refusal(&mut lab, leaf)
            .await
            .contains("the key is not that of the first certificate")
    );
}

#[tokio::test]
async fn a_root_of_ones_own_issues_by_itself_and_its_key_is_nobody_elses() {
    let mut lab = lab_after_now().await;
    operator_files(lab.dir.path(), "LAB operator", "");
    let files = Config {
        file_ca_cert: Some(lab.dir.path().join("root.pem")),
        file_ca_key: Some(lab.dir.path().join("root.key")),
        ..config("file")
    };
    lab.reopen(files.clone()).await.unwrap();
    let claims = json!({"email": EMAIL, "email_verified": true, "exp": lab.now().as_second() + 60});
    let chain = lab
        .sign(&lab.issuer.token("", &claims), EMAIL)
        .await
        .chain();
    assert_eq!(chain.len(), 2);
    let roots = std::slice::from_ref(&chain[1]);
    x509::verify_chain(&chain[0], &[], roots, lab.now(), oid::EKU_CODE_SIGNING).unwrap();

    let key = lab.dir.path().join("root.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refusal = refusal(&mut lab, files).await;
    assert!(refusal.contains("root.key has mode 0644"), "{refusal}");
}

#[tokio::test]
async fn an_operators_chain_without_code_signing_stops_the_start() {
    let mut lab = lab_after_now().await;
    let files = operator_files(lab.dir.path(), "LAB operator", "");
    let refusal = refusal(&mut lab, files).await;
    assert!(
        refusal.contains("must have extended key usage code signing"),
        "{refusal}"
    );
}

#[tokio::test]
async fn names_of_the_public_instance_stop_the_start() {
    let mut lab = lab_after_now().await;
    let files = operator_files(
        lab.dir.path(),
        "sigstore.dev",
        "extendedKeyUsage=codeSigning",
    );
    let refusal = refusal(&mut lab, files).await;
    assert!(
        refusal.contains("\"sigstore.dev\" is a name of a public Sigstore instance"),
        "{refusal}"
    );
}

#[tokio::test]
async fn every_certificate_is_named_and_marked_as_of_a_lab() {
    let lab = Lab::start().await;
    let chain = lab.chain_for(EMAIL).await;
    for certificate in &chain {
        let marker = certificate
            .extensions()
            .iter()
            .find(|e| e.oid == oid::LAB_MARKER)
            .unwrap();
        assert!(!marker.critical);
        assert!(
            marker
                .value
                .ends_with(b"siglab 0badcafe NOT FOR PRODUCTION")
        );
    }
    for authority in &chain[1..] {
        let organization = authority.subject_organization().unwrap();
        assert_eq!(organization, "LAB-0badcafe NOT FOR PRODUCTION");
        let name = authority.subject_common_name().unwrap();
        let key = hex::encode(&authority.public_key().unwrap().key_id()[..4]);
        assert!(name.starts_with("fulcio") && name.ends_with(&key), "{name}");
    }
    assert!(chain[2].ext_key_usage().unwrap().is_empty());
    assert_eq!(chain[1].ext_key_usage().unwrap(), [oid::EKU_CODE_SIGNING]);
    assert_eq!(chain[1].path_length().unwrap(), Some(0));
}

#[tokio::test]
async fn permitted_identities_become_name_constraints() {
    let permitted = vec!["example.com".to_owned()];
    let lab = Lab::with(|_, _| Config {
        permit_identities: permitted,
        ..Config::default()
    })
    .await;
    for (email, holds) in [("a@example.com", true), ("a@other.example", false)] {
        let chain = lab.chain_for(email).await;
        let roots = std::slice::from_ref(&chain[2]);
        let verified = x509::verify_chain(
            &chain[0],
            &chain[1..2],
            roots,
            lab.now(),
            oid::EKU_CODE_SIGNING,
        );
        assert_eq!(verified.is_ok(), holds, "{email}");
    }
}

#[tokio::test]
async fn the_trust_repository_is_told_chain_and_url() {
    let lab = Lab::start().await;
    let trust = lab.service.trust();
    let authority = &trust.certificate_authorities[0];
    assert_eq!(authority.uri, "http://localhost:5555");
    assert_eq!(authority.chain.len(), 2);
    assert!(authority.common_name.starts_with("fulcio-root "));
    assert!(authority.valid_from < lab.now());
    let service = &trust.services[0];
    assert_eq!(service.role, runtime::ServiceRole::CertificateAuthority);
    assert_eq!(
        (service.url.as_str(), service.major_api_version),
        ("http://localhost:5555", 1)
    );
    assert!(trust.tlogs.is_empty() && trust.ctlogs.is_empty());
}

#[tokio::test]
async fn keys_of_the_public_instance_stop_the_start() {
    let mut lab = Lab::start().await;
    let public = include_str!("../../../../libs/x509/tests/vectors/public-good-chain.pem");
    let public = x509::Certificate::from_pem(public)
        .unwrap()
        .public_key()
        .unwrap();
    let key = crypto::SigningKey::generate(crypto::KeyKind::EcdsaP256).unwrap();
    let name = |common_name: &str| x509::Name {
        organization: "LAB".to_owned(),
        common_name: common_name.to_owned(),
    };
    let (start, end) = (
        lab.context.clock.backdated(),
        "2027-01-01T00:00:00Z".parse().unwrap(),
    );
    let root = x509::AuthorityBuilder::new(name("root"), start, end)
        .self_signed(&key)
        .unwrap();
    let issuer = x509::AuthorityBuilder::new(name("issuer"), start, end)
        .ext_key_usage(&[oid::EKU_CODE_SIGNING])
        .issued_by(&root, &key, &public)
        .unwrap();
    let chain = format!("{}{}", issuer.to_pem(), root.to_pem());
    let path = lab.dir.path().join("key.pem");
    runtime::files::write_new(&path, key.to_pkcs8_pem().as_bytes()).unwrap();
    let files = Config {
        file_ca_cert: Some(write(lab.dir.path(), "chain.pem", &chain)),
        file_ca_key: Some(path),
        ..config("file")
    };
    let refusal = refusal(&mut lab, files).await;
    assert!(
        refusal.contains("has a key of a public Sigstore instance"),
        "{refusal}"
    );
}

#[test]
fn an_unknown_authority_kind_stops_the_start() {
    for kind in ["kmsca", "tinkca", "pkcs11ca", "googleca", "fileca"] {
        let refusal = serde_json::from_value::<Config>(json!({"ca": kind})).unwrap_err();
        assert!(
            refusal
                .to_string()
                .contains("expected one of `ephemeral`, `file`, `generated`")
        );
    }
    assert!(serde_json::from_value::<Config>(json!({"unheard-of": 1})).is_err());
    for key in ["ct_log_url", "ct-log-url"] {
        let config: Config = serde_json::from_value(json!({key: ""})).unwrap();
        assert_eq!(config.ct_log_url.as_deref(), Some(""));
    }
}

#[tokio::test]
async fn figures_count_certificates() {
    let lab = Lab::start().await;
    for want in [0.0, 1.0, 2.0] {
        let figures = lab.service.figures();
        assert_eq!(
            (figures[0].name, figures[0].value),
            ("fulcio_new_certs", want)
        );
        lab.sign(&lab.issuer.email_token("x"), EMAIL)
            .await
            .bad_token();
        assert_eq!(
            lab.sign(&lab.issuer.email_token(EMAIL), EMAIL).await.status,
            200
        );
    }
}
