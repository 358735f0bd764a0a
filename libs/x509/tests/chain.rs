//! Chains made by OpenSSL, good and broken in one place each: OpenSSL's verdict and ours must agree.

use std::{io::Write as _, path::Path, process::Command};

use jiff::{SignedDuration, Timestamp};
use x509::{Certificate, Error, oid, verify_chain};

const ROOT: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";
const ISSUER: &str =
    "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n";
const LEAF: &str = "keyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\n";

fn openssl(dir: &Path, command: &str) -> bool {
    let arguments = command.split(' ').filter(|argument| !argument.is_empty());
    Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap()
        .status
        .success()
}

/// Root, issuer and leaf with these extensions, each below the one before.
struct Chain {
    dir: tempfile::TempDir,
    certificates: Vec<Certificate>,
}

impl Chain {
    fn new(extensions: [&str; 3]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut certificates = Vec::new();
        for (index, (name, extension)) in ["root", "issuer", "leaf"]
            .iter()
            .zip(extensions)
            .enumerate()
        {
            let mut file = std::fs::File::create(dir.path().join("extensions")).unwrap();
            file.write_all(extension.as_bytes()).unwrap();
            assert!(openssl(
                dir.path(),
                &format!(
                    "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout {name}.key \
                     -out {name}.csr -subj /CN={name}"
                )
            ));
            let by = match index {
                0 => "-signkey root.key".to_owned(),
                1 => "-CA root.pem -CAkey root.key -CAcreateserial".to_owned(),
                _ => "-CA issuer.pem -CAkey issuer.key -CAcreateserial".to_owned(),
            };
            assert!(openssl(
                dir.path(),
                &format!(
                    "x509 -req -days 9 -in {name}.csr -extfile extensions -out {name}.pem {by}"
                )
            ));
            let pem = std::fs::read_to_string(dir.path().join(format!("{name}.pem"))).unwrap();
            certificates.push(Certificate::from_pem(&pem).unwrap());
        }
        Self { dir, certificates }
    }

    fn time(&self) -> Timestamp {
        self.certificates[2].not_before() + SignedDuration::from_hours(1)
    }

    /// Our verdict, after OpenSSL gave the same.
    fn verify_at(&self, at: Timestamp) -> Result<Vec<Certificate>, Error> {
        let [root, issuer, leaf] = &self.certificates[..] else {
            unreachable!("three were made")
        };
        let roots = std::slice::from_ref(root);
        let ours = verify_chain(
            leaf,
            std::slice::from_ref(issuer),
            roots,
            at,
            oid::EKU_CODE_SIGNING,
        );
        let theirs = openssl(
            self.dir.path(),
            &format!(
                "verify -attime {} -CAfile root.pem -untrusted issuer.pem leaf.pem",
                at.as_second()
            ),
        );
        assert_eq!(ours.is_ok(), theirs, "{ours:?}");
        ours
    }

    fn verify(&self) -> Result<Vec<Certificate>, Error> {
        self.verify_at(self.time())
    }
}

#[test]
fn a_good_chain_holds_from_its_first_to_its_last_second() {
    let chain = Chain::new([ROOT, ISSUER, LEAF]);
    assert_eq!(chain.verify().unwrap().len(), 3);
    let leaf = &chain.certificates[2];
    let last = chain
        .certificates
        .iter()
        .map(Certificate::not_after)
        .min()
        .unwrap();
    assert!(chain.verify_at(last - SignedDuration::from_secs(1)).is_ok());
    assert!(matches!(
        chain.verify_at(last + SignedDuration::from_secs(1)),
        Err(Error::Expired { .. })
    ));
    assert!(matches!(
        chain.verify_at(leaf.not_before() - SignedDuration::from_hours(1)),
        Err(Error::NotYetValid { .. })
    ));
}

#[test]
fn an_issuer_must_be_an_authority_that_may_sign() {
    let no_authority = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,keyCertSign\n";
    assert!(matches!(
        Chain::new([ROOT, no_authority, LEAF]).verify(),
        Err(Error::NotAuthority { .. })
    ));
    let bare = "subjectKeyIdentifier=hash\n";
    assert!(matches!(
        Chain::new([ROOT, bare, LEAF]).verify(),
        Err(Error::NotAuthority { .. })
    ));
    let no_sign = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature\n";
    assert!(matches!(
        Chain::new([ROOT, no_sign, LEAF]).verify(),
        Err(Error::NoCertSign { .. })
    ));
    assert!(matches!(
        Chain::new([no_sign, ISSUER, LEAF]).verify(),
        Err(Error::NoCertSign { .. })
    ));
}

#[test]
fn a_path_may_not_be_longer_than_its_root_says() {
    let short = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n";
    assert!(matches!(
        Chain::new([short, ISSUER, LEAF]).verify(),
        Err(Error::PathLength { got: 1, max: 0, .. })
    ));
}

#[test]
fn an_unknown_critical_extension_is_refused_and_another_is_not() {
    let critical = format!("{LEAF}1.3.6.1.4.1.32473.53.1=critical,ASN1:UTF8String:x\n");
    assert!(matches!(
        Chain::new([ROOT, ISSUER, &critical]).verify(),
        Err(Error::CriticalExtension { oid }) if oid == oid::LAB_MARKER
    ));
    let plain = format!("{LEAF}1.3.6.1.4.1.32473.53.1=ASN1:UTF8String:x\n");
    assert!(Chain::new([ROOT, ISSUER, &plain]).verify().is_ok());
}

#[test]
fn names_must_be_within_the_constraints_of_every_issuer() {
    for (constraint, name, holds) in [
        ("permitted;email:example.com", "email:a@example.com", true),
        (
            "permitted;email:example.com",
            "email:a@other.example",
            false,
        ),
        (
            "permitted;email:example.com",
            "email:a@sub.example.com",
            false,
        ),
        (
            "permitted;email:.example.com",
            "email:a@sub.example.com",
            true,
        ),
        (
            "permitted;email:a@example.com",
            "email:b@example.com",
            false,
        ),
        (
            "permitted;URI:example.com",
            "URI:https://example.com/x",
            true,
        ),
        (
            "permitted;URI:example.com",
            "URI:https://evil.example/example.com",
            false,
        ),
        (
            "permitted;URI:.example.com",
            "URI:https://a.example.com/x",
            true,
        ),
        ("permitted;DNS:example.com", "DNS:a.example.com", true),
        ("permitted;DNS:example.com", "DNS:badexample.com", false),
        ("permitted;IP:10.0.0.0/255.0.0.0", "IP:10.1.2.3", true),
        ("permitted;IP:10.0.0.0/255.0.0.0", "IP:11.1.2.3", false),
        (
            "permitted;email:example.com",
            "URI:https://other.example/x",
            true,
        ),
        ("excluded;email:example.com", "email:a@example.com", false),
        ("excluded;email:example.com", "email:a@other.example", true),
        ("excluded;DNS:example.com", "DNS:a.example.com", false),
    ] {
        let issuer = format!("{ISSUER}nameConstraints=critical,{constraint}\n");
        let leaf = format!("{LEAF}subjectAltName={name}\n");
        let verdict = Chain::new([ROOT, &issuer, &leaf]).verify();
        assert_eq!(verdict.is_ok(), holds, "{constraint} {name}: {verdict:?}");
        let root = format!("{ROOT}nameConstraints=critical,{constraint}\n");
        let verdict = Chain::new([&root, ISSUER, &leaf]).verify();
        assert_eq!(
            verdict.is_ok(),
            holds,
            "root {constraint} {name}: {verdict:?}"
        );
    }
}

#[test]
fn every_certificate_must_allow_the_usage() {
    let issuer = format!("{ISSUER}extendedKeyUsage=timeStamping\n");
    let chain = Chain::new([ROOT, &issuer, LEAF]);
    let [root, issuer, leaf] = &chain.certificates[..] else {
        unreachable!("three were made")
    };
    let verify = |eku| {
        let roots = std::slice::from_ref(root);
        verify_chain(leaf, std::slice::from_ref(issuer), roots, chain.time(), eku)
    };
    assert!(matches!(
        verify(oid::EKU_CODE_SIGNING),
        Err(Error::ExtKeyUsage { .. })
    ));
    assert!(matches!(
        verify(oid::EKU_TIME_STAMPING),
        Err(Error::ExtKeyUsage { .. })
    ));
}

#[test]
fn a_twin_of_the_issuer_does_not_hide_it_and_a_forest_of_twins_ends() {
    let chain = Chain::new([ROOT, ISSUER, LEAF]);
    let twin = Chain::new([ROOT, ISSUER, LEAF]);
    let [root, issuer, leaf] = &chain.certificates[..] else {
        unreachable!("three were made")
    };
    let at = chain.time() + SignedDuration::from_secs(30);
    let roots = std::slice::from_ref(root);
    let both = [twin.certificates[1].clone(), issuer.clone()];
    assert!(verify_chain(leaf, &both, roots, at, oid::EKU_CODE_SIGNING).is_ok());
    let others = vec![twin.certificates[1].clone(); 200];
    let verdict = verify_chain(leaf, &others, roots, at, oid::EKU_CODE_SIGNING);
    assert!(
        matches!(verdict, Err(Error::ChainSearch { .. })),
        "{verdict:?}"
    );
    let wrong_root = std::slice::from_ref(&twin.certificates[0]);
    assert!(verify_chain(leaf, &both[1..], wrong_root, at, oid::EKU_CODE_SIGNING).is_err());
    assert!(verify_chain(leaf, &both, &[], at, oid::EKU_CODE_SIGNING).is_err());
}
