//! Published vectors: RFC 7515 appendix A (JWS), RFC 8032 §7 (Ed25519), FIPS 180-4 (SHA-2).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crypto::{
    Error, HashAlgorithm, Hasher, KeyKind, PublicKey, PublicKeyKind, SigningKey,
    ecdsa_der_from_p1363, sha256,
};

fn url_safe(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// Splits a compact JWS into what is signed and the signature.
fn jws(token: &str) -> (&[u8], Vec<u8>) {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    (signed.as_bytes(), url_safe(signature))
}

/// Checks a signature over the message, over its digest, and that neither verifies when changed.
fn check(key: &PublicKey, hash: HashAlgorithm, message: &[u8], signature: &[u8]) {
    key.verify(hash, message, signature).unwrap();
    key.verify_digest(hash, &hash.digest(message), signature)
        .unwrap();
    let mut other = message.to_vec();
    other[0] ^= 1;
    assert_eq!(key.verify(hash, &other, signature), Err(Error::Signature));
    let mut broken = signature.to_vec();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert_eq!(key.verify(hash, message, &broken), Err(Error::Signature));
}

#[test]
fn rs256_of_rfc_7515_a_2_verifies() {
    let modulus = url_safe(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0\
         Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXnd\
         S5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5Ihl\
         JH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    );
    let (message, signature) = jws(
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlL\
         mNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7\
         AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWz\
         O75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZES\
         c6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlU\
         PQGe77Rw",
    );
    let key = PublicKey::from_rsa_components(&modulus, &[1, 0, 1]).unwrap();
    assert_eq!(key.kind(), PublicKeyKind::Rsa { bits: 2048 });
    assert_eq!(key.rsa_components(), Some((modulus, vec![1, 0, 1])));
    check(&key, HashAlgorithm::Sha256, message, &signature);
}

#[test]
fn es256_of_rfc_7515_a_3_verifies_raw_and_as_der() {
    let point = [
        vec![4],
        url_safe("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
        url_safe("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
    ]
    .concat();
    let (message, signature) = jws(
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlL\
         mNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA\
         pmWQxfKTUJqPP3-Kg6NU1Q",
    );
    let key = PublicKey::from_ec_point(&point).unwrap();
    assert_eq!(key.kind(), PublicKeyKind::P256);
    check(&key, HashAlgorithm::Sha256, message, &signature);
    check(
        &key,
        HashAlgorithm::Sha256,
        message,
        &ecdsa_der_from_p1363(&signature).unwrap(),
    );
}

#[test]
fn es512_of_rfc_7515_a_4_verifies_raw_and_as_der() {
    let point = [
        vec![4],
        url_safe(
            "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        ),
        url_safe(
            "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
        ),
    ]
    .concat();
    let (message, signature) = jws(
        "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWRO\
         c-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vc\
         nwNrmxYbSW9ERBXukOXolLzeO_Jn",
    );
    let key = PublicKey::from_ec_point(&point).unwrap();
    assert_eq!(key.kind(), PublicKeyKind::P521);
    check(&key, HashAlgorithm::Sha512, message, &signature);
    check(
        &key,
        HashAlgorithm::Sha512,
        message,
        &ecdsa_der_from_p1363(&signature).unwrap(),
    );
}

#[test]
fn ed25519_of_rfc_8032_verifies() {
    let key = hex::decode("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let signature = hex::decode(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    );
    let key = PublicKey::from_ed25519(&key.unwrap()).unwrap();
    key.verify(HashAlgorithm::Sha512, &[0x72], &signature.unwrap())
        .unwrap();
}

#[test]
fn ed25519ph_of_rfc_8032_verifies_over_a_digest_and_only_there() {
    let key = hex::decode("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf");
    let signature = hex::decode(
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41\
         31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
    )
    .unwrap();
    let key = PublicKey::from_ed25519(&key.unwrap()).unwrap();
    let digest = HashAlgorithm::Sha512.digest(b"abc");
    key.verify_digest(HashAlgorithm::Sha512, &digest, &signature)
        .unwrap();
    let pure = key.verify(HashAlgorithm::Sha512, b"abc", &signature);
    assert_eq!(pure, Err(Error::Signature));
    let sha256 = key.verify_digest(HashAlgorithm::Sha256, &sha256(b"abc"), &signature);
    assert!(matches!(sha256, Err(Error::HashForKey { .. })));
}

#[test]
fn digests_are_those_of_fips_180_4() {
    let whole = |hash: HashAlgorithm| hex::encode(hash.digest(b"abc"));
    assert_eq!(
        whole(HashAlgorithm::Sha256),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert!(whole(HashAlgorithm::Sha384).starts_with("cb00753f45a35e8bb5a03d699ac65007"));
    assert!(whole(HashAlgorithm::Sha512).starts_with("ddaf35a193617abacc417349ae204131"));
    let mut hasher = Hasher::new(HashAlgorithm::Sha256);
    hasher.update(b"a");
    let fork = hasher.clone();
    hasher.update(b"bc");
    assert_eq!(hasher.finish(), sha256(b"abc"));
    assert_eq!(fork.finish(), sha256(b"a"));
}

#[test]
fn keys_of_every_kind_survive_pem_and_sign() {
    for kind in [
        KeyKind::EcdsaP256,
        KeyKind::EcdsaP384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        let key = SigningKey::generate(kind).unwrap();
        let read = SigningKey::from_pem(&key.to_pkcs8_pem(), None).unwrap();
        assert_eq!(read.kind(), kind);
        assert_eq!(read.public_key(), key.public_key());
        let public = PublicKey::from_pem(&key.public_key().to_pem()).unwrap();
        let hash = public.kind().default_hash();
        public
            .verify(hash, b"message", &read.sign(b"message").unwrap())
            .unwrap();
    }
}

#[test]
fn damaged_keys_are_refused() {
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let pem = key.to_pkcs8_pem();
    let cut = &pem[..pem.len() / 2];
    assert_eq!(SigningKey::from_pem(cut, None).unwrap_err(), Error::Pem);
    assert!(matches!(
        PublicKey::from_pem(&pem),
        Err(Error::PemLabel { .. })
    ));
    let spki = key.public_key().spki_der();
    assert_eq!(
        PublicKey::from_spki_der(&spki[..spki.len() - 1]).unwrap_err(),
        Error::PublicKey
    );
    let mut off_curve = spki.to_vec();
    let last = off_curve.len() - 1;
    off_curve[last] ^= 1;
    assert_eq!(
        PublicKey::from_spki_der(&off_curve).unwrap_err(),
        Error::PublicKey
    );
    assert_eq!(PublicKey::from_spki_der(&[]).unwrap_err(), Error::PublicKey);
    assert_eq!(ecdsa_der_from_p1363(&[1; 65]), Err(Error::Signature));
}
