//! Notes, checkpoints and keys: Go's sumdb/note as the judge, and what a reader must refuse.

use crypto::{KeyKind, PublicKey, SigningKey};
use note::{Checkpoint, Error, Scheme, Signature, SignedNote, Signer, Verifier};
use serde_json::Value;

fn vector() -> Value {
    serde_json::from_str(include_str!("vectors/sumdb-note.json")).expect("the vector is JSON")
}

fn text_of<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key].as_str().expect("text")
}

fn ed25519(seed: &[u8]) -> SigningKey {
    let header = [
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    SigningKey::from_pkcs8_der(&[header.as_slice(), seed].concat()).expect("a PKCS#8 key")
}

#[test]
fn a_note_of_sumdb_is_read_verified_and_written_again() {
    let vector = vector();
    let (bytes, vkey) = (text_of(&vector, "note"), text_of(&vector, "vkey"));
    let verifier = Verifier::parse(vkey).expect("a vkey");
    let note = SignedNote::parse(bytes.as_bytes()).expect("a note");
    assert_eq!(note.verify(&[&verifier]).expect("verifies").len(), 1);
    assert_eq!(note.to_string(), bytes);
    assert_eq!(verifier.vkey().as_deref(), Some(vkey));
    let checkpoint = Checkpoint::parse(&note.text).expect("a checkpoint");
    assert_eq!(
        (checkpoint.origin.as_str(), checkpoint.tree_size),
        ("log.example", 7)
    );
    assert_eq!(checkpoint.to_string(), note.text);

    let seed = hex::decode(text_of(&vector, "seed")).expect("hex");
    let signer = Signer::new("log.example", Scheme::Note, ed25519(&seed)).expect("a name");
    let signed = signer.sign(text_of(&vector, "text"), 0).expect("signs");
    assert_eq!(
        signed.to_string(),
        bytes,
        "Ed25519 is deterministic: the same bytes"
    );
}

#[test]
fn every_scheme_verifies_its_own_lines_and_no_other_text() {
    let cases = [
        (Scheme::Note, KeyKind::Ed25519),
        (Scheme::Note, KeyKind::EcdsaP256),
        (Scheme::Note, KeyKind::EcdsaP384),
        (Scheme::Spki, KeyKind::EcdsaP256),
        (Scheme::Spki, KeyKind::Ed25519),
        (Scheme::Cosignature, KeyKind::Ed25519),
        (Scheme::Rfc6962, KeyKind::EcdsaP256),
    ];
    for (scheme, kind) in cases {
        let key = SigningKey::generate(kind).expect("randomness");
        let signer = Signer::new("localhost", scheme, key).expect("a name");
        let checkpoint = Checkpoint {
            origin: "localhost".to_owned(),
            tree_size: 9,
            root_hash: [9; 32],
            extensions: Vec::new(),
        };
        let mut note = signer
            .sign(&checkpoint.to_string(), 1_767_225_600_000)
            .expect("signs");
        let read = SignedNote::parse(note.to_string().as_bytes()).expect("what was written");
        assert_eq!(read, note);
        assert_eq!(
            read.verify(&[signer.verifier()]).expect("verifies").len(),
            1
        );
        note.text = note.text.replace('9', "8");
        assert!(
            note.verify(&[signer.verifier()]).is_err(),
            "{scheme:?} {kind:?}"
        );
    }
}

#[test]
fn key_ids_follow_kind_and_scheme() {
    let key = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
    let public = key.public_key().clone();
    let id = |scheme, key: &PublicKey| {
        Verifier::new("localhost", scheme, key.clone())
            .expect("a name")
            .key_id()
    };
    assert_eq!(id(Scheme::Note, &public), public.key_id());
    assert_eq!(id(Scheme::Spki, &public), public.key_id());
    let log = [b"localhost\n\x05".as_slice(), &public.key_id()].concat();
    assert_eq!(id(Scheme::Rfc6962, &public), crypto::sha256(&log));

    let key = SigningKey::generate(KeyKind::Ed25519).expect("randomness");
    let public = key.public_key().clone();
    let typed = [b"localhost\n\x01".as_slice(), public.raw_bytes()].concat();
    assert_eq!(id(Scheme::Note, &public), crypto::sha256(&typed));
    assert_eq!(id(Scheme::Spki, &public), public.key_id());
}

#[test]
fn verifier_keys_round_trip_and_bad_ones_are_refused() {
    let key = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
    let ecdsa = Verifier::new("a.example/b", Scheme::Note, key.public_key().clone());
    let ecdsa = ecdsa.expect("a name");
    let vkey = ecdsa.vkey().expect("ECDSA has one");
    assert_eq!(Verifier::parse(&vkey).expect("a vkey"), ecdsa);
    let vector = vector();
    let good = text_of(&vector, "vkey");
    let other_name = good.replace("log.example", "log2.example");
    assert_eq!(Verifier::parse(&other_name), Err(Error::KeyHash));
    for bad in [
        "",
        "a",
        "a+b",
        "a+00000000+",
        "a+00000000+AQ==",
        "a+00000000+!",
        "a b+1+AQ==",
    ] {
        assert!(Verifier::parse(bad).is_err(), "{bad}");
    }
    for bad in ["", "a b", "a+b", "a\u{a0}b", "a\nb"] {
        let outcome = Verifier::new(bad, Scheme::Note, ecdsa.public_key().clone());
        assert_eq!(outcome, Err(Error::Name), "{bad:?}");
    }
}

#[test]
fn malformed_notes_are_refused() {
    let vector = vector();
    let good = text_of(&vector, "note");
    let line = good.split_once("\n\n").expect("a note").1;
    let many = format!("t\n\n{}", line.repeat(100_000));
    let huge = format!("{}\n\n{line}", "t".repeat(1_000_001));
    let cases: [(&str, String); 16] = [
        ("no last line feed", good.trim_end().to_owned()),
        ("no empty line", good.replace("\n\n", "\n")),
        (
            "no signature line",
            good.split_once('\u{2014}').expect("a note").0.to_owned(),
        ),
        ("empty", String::new()),
        ("CRLF", good.replace('\n', "\r\n")),
        ("a tab", good.replace("log.example\n", "log.\texample\n")),
        ("trailing bytes", format!("{good}x")),
        ("an empty line at the end", format!("{good}\n")),
        ("hyphen for dash", good.replace('\u{2014}', "-")),
        ("two spaces", good.replace("\u{2014} ", "\u{2014}  ")),
        ("no padding", good.replace("AE=\n", "AE\n")),
        ("stray bits", good.replace("AE=\n", "AF=\n")),
        (
            "too short a signature",
            "t\n\n\u{2014} a AAAAAA==\n".to_owned(),
        ),
        (
            "a name with a plus sign",
            good.replace("\u{2014} log", "\u{2014} l+og"),
        ),
        ("10^5 signature lines", many),
        ("a megabyte", huge),
    ];
    for (what, bytes) in cases {
        assert!(SignedNote::parse(bytes.as_bytes()).is_err(), "{what}");
    }
    assert_eq!(
        SignedNote::parse(b"\xff\n\n\xe2\x80\x94 a AAAAAAA=\n"),
        Err(Error::Text)
    );
}

#[test]
fn the_last_empty_line_ends_the_text() {
    let vector = vector();
    let line = text_of(&vector, "note")
        .split_once("\n\n")
        .expect("a note")
        .1;
    let note = SignedNote::parse(format!("a\n\nb\n\n{line}").as_bytes()).expect("a note");
    assert_eq!(note.text, "a\n\nb\n");
    assert!(Checkpoint::parse(&note.text).is_err());
}

#[test]
fn unknown_keys_are_passed_over_and_known_ones_must_verify() {
    let vector = vector();
    let verifier = Verifier::parse(text_of(&vector, "vkey")).expect("a vkey");
    let mut note = SignedNote::parse(text_of(&vector, "note").as_bytes()).expect("a note");
    let mine = note.signatures[0].clone();
    let stranger = Signature {
        key_hash: [0; 4],
        ..mine.clone()
    };
    let named_so = Signature {
        name: "other".to_owned(),
        ..mine.clone()
    };

    note.signatures = vec![stranger.clone(), named_so];
    assert_eq!(note.verify(&[&verifier]), Err(Error::NoKnownSignature));
    note.signatures = vec![stranger, mine.clone(), mine.clone()];
    assert_eq!(
        note.verify(&[&verifier]).expect("one verifies").len(),
        1,
        "origin need not be first"
    );
    let mut broken = mine;
    broken.signature[5] ^= 1;
    note.signatures.insert(0, broken);
    assert_eq!(
        note.verify(&[&verifier]),
        Err(Error::BadSignature {
            name: "log.example".to_owned()
        })
    );
}

#[test]
fn malformed_checkpoints_are_refused() {
    let root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let good = format!("log\n18446744073709551615\n{root}\next\n");
    assert_eq!(Checkpoint::parse(&good).expect("valid").to_string(), good);
    let cases = [
        (String::new(), Error::Extension),
        ("log\n".to_owned(), Error::TreeSize),
        (format!("\n1\n{root}\n"), Error::Origin),
        (format!("log\n01\n{root}\n"), Error::TreeSize),
        (format!("log\n\n{root}\n"), Error::TreeSize),
        (format!("log\n-1\n{root}\n"), Error::TreeSize),
        (format!("log\n+1\n{root}\n"), Error::TreeSize),
        (
            format!("log\n18446744073709551616\n{root}\n"),
            Error::TreeSize,
        ),
        ("log\n1\n".to_owned(), Error::RootHash),
        ("log\n1\nAAAA\n".to_owned(), Error::RootHash),
        (format!("log\n1\n{root} \n"), Error::RootHash),
        (format!("log\n1\n{root}"), Error::Extension),
        (format!("log\n1\n{root}\n\nx\n"), Error::Extension),
    ];
    for (text, want) in cases {
        assert_eq!(Checkpoint::parse(&text), Err(want), "{text:?}");
    }
}
