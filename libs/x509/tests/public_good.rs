//! Real certificates of other people's authorities: read, chained, and their SCTs checked.

use crypto::PublicKey;
use jiff::Timestamp;
use x509::{Certificate, Error, FulcioField, San, oid, public_instance, verify_chain};

const LEAF: &str = include_str!("vectors/public-good-leaf.pem");
const CHAIN: &str = include_str!("vectors/public-good-chain.pem");
const CTLOG: &str = include_str!("vectors/public-good-ctlog.pem");

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn public_good() -> (Certificate, Vec<Certificate>, Vec<Certificate>) {
    let mut chain = Certificate::chain_from_pem(CHAIN).unwrap();
    chain.sort_by_key(Certificate::is_self_issued);
    let root = chain.pop().unwrap();
    assert!(root.is_self_issued());
    (Certificate::from_pem(LEAF).unwrap(), chain, vec![root])
}

#[test]
fn a_public_good_leaf_is_read() {
    let (leaf, ..) = public_good();
    let uri =
        "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main";
    assert_eq!(leaf.sans().unwrap(), [San::Uri(uri.to_owned())]);
    assert_eq!(leaf.subject_text(), "");
    let fulcio = leaf.fulcio_extensions().unwrap();
    assert_eq!(
        fulcio.issuer(),
        Some("https://token.actions.githubusercontent.com")
    );
    assert_eq!(fulcio.get(FulcioField::GithubWorkflowTrigger), Some("push"));
    assert_eq!(fulcio.get(FulcioField::BuildSignerUri), Some(uri));
    assert_eq!(
        fulcio.get(FulcioField::SourceRepositoryIdentifier),
        Some("495574555")
    );
    assert_eq!(fulcio.get(FulcioField::DeploymentEnvironment), None);
    assert_eq!(leaf.ext_key_usage().unwrap(), [oid::EKU_CODE_SIGNING]);
    assert!(!leaf.is_ca().unwrap());
    assert_eq!(leaf.not_before(), at("2023-08-18T16:05:35Z"));
}

#[test]
fn a_public_good_chain_holds_at_its_time_only() {
    let (leaf, intermediates, roots) = public_good();
    let verify = |at: Timestamp, eku| verify_chain(&leaf, &intermediates, &roots, at, eku);
    let chain = verify(at("2023-08-18T16:10:00Z"), oid::EKU_CODE_SIGNING).unwrap();
    assert_eq!(chain.len(), 3);
    assert!(matches!(
        verify(at("2023-08-18T16:15:36Z"), oid::EKU_CODE_SIGNING),
        Err(Error::Expired { .. })
    ));
    assert!(matches!(
        verify(at("2023-08-18T16:05:34Z"), oid::EKU_CODE_SIGNING),
        Err(Error::NotYetValid { .. })
    ));
    assert!(matches!(
        verify(at("2023-08-18T16:10:00Z"), oid::EKU_TIME_STAMPING),
        Err(Error::ExtKeyUsage { .. })
    ));
    let without = verify_chain(&leaf, &[], &roots, at("2023-08-18T16:10:00Z"), oid::EKU_ANY);
    assert_eq!(without, Err(Error::UnknownAuthority));
}

#[test]
fn embedded_scts_of_two_logs_verify() {
    let (leaf, intermediates, _) = public_good();
    let key = PublicKey::from_pem(CTLOG).unwrap();
    let scts = leaf.scts().unwrap();
    assert_eq!(scts.len(), 1);
    scts[0]
        .verify_embedded(&key, &leaf, &intermediates[0])
        .unwrap();

    // The same SCT over another body, or by another issuer, does not.
    let root = &public_good().2[0];
    assert!(scts[0].verify_embedded(&key, &leaf, root).is_err());
    let mut later = scts[0].clone();
    later.timestamp_ms += 1;
    assert!(
        later
            .verify_embedded(&key, &leaf, &intermediates[0])
            .is_err()
    );

    let other = Certificate::from_pem(include_str!("vectors/othername-leaf.pem")).unwrap();
    let chain = Certificate::chain_from_pem(include_str!("vectors/othername-chain.pem")).unwrap();
    let key = PublicKey::from_pem(include_str!("vectors/othername-ctlog.pem")).unwrap();
    other.scts().unwrap()[0]
        .verify_embedded(&key, &other, &chain[0])
        .unwrap();
    assert!(matches!(
        scts[0].verify_embedded(&key, &leaf, &intermediates[0]),
        Err(Error::SctLog { .. })
    ));
}

#[test]
fn a_username_identity_is_read_from_an_rsa_chain() {
    let leaf = Certificate::from_pem(include_str!("vectors/othername-leaf.pem")).unwrap();
    let roots = Certificate::chain_from_pem(include_str!("vectors/othername-chain.pem")).unwrap();
    let sans = leaf.sans().unwrap();
    assert_eq!(sans.len(), 1);
    assert_eq!(sans[0].text().as_deref(), Some("foo!oidc.local"));
    let at = at("2024-07-12T19:10:00Z");
    verify_chain(&leaf, &[], &roots, at, oid::EKU_CODE_SIGNING).unwrap();
}

#[test]
fn keys_and_names_of_the_public_instance_are_known() {
    let (leaf, intermediates, roots) = public_good();
    for certificate in intermediates.iter().chain(&roots) {
        assert!(public_instance::is_public_key(certificate.spki_der()));
        assert!(public_instance::public_name(certificate).is_some());
    }
    assert!(!public_instance::is_public_key(leaf.spki_der()));
    let key = PublicKey::from_pem(CTLOG).unwrap();
    assert!(public_instance::is_public_key(key.spki_der()));
}

#[test]
fn every_flipped_or_missing_byte_is_survived() {
    let (leaf, intermediates, roots) = public_good();
    let at = at("2023-08-18T16:10:00Z");
    let use_it = |der: &[u8]| -> Result<(), Error> {
        let certificate = Certificate::from_der(der)?;
        certificate.sans()?;
        certificate.fulcio_extensions()?;
        certificate.scts()?;
        assert!(certificate.precertificate_tbs().len() <= der.len());
        verify_chain(
            &certificate,
            &intermediates,
            &roots,
            at,
            oid::EKU_CODE_SIGNING,
        )
        .map(|_| ())
    };
    for index in 0..leaf.der().len() {
        let mut der = leaf.der().to_vec();
        der[index] ^= 1 << (index % 8);
        assert!(use_it(&der).is_err(), "a flip in byte {index} is accepted");
        assert!(Certificate::from_der(&leaf.der()[..index]).is_err());
    }
    assert!(Certificate::from_der(&[leaf.der(), &[0]].concat()).is_err());
    assert!(matches!(
        Certificate::from_der(&vec![0x30; x509::MAX_DER_BYTES + 1]),
        Err(Error::TooLong { .. })
    ));
    assert!(Certificate::from_der(&[0x30, 0x80].repeat(50_000)).is_err());
}
