//! Making a response: TSTInfo, signed as CMS SignedData, in a TimeStampResp (RFC 3161 §2.4.2).

use crypto::{HashAlgorithm, KeyKind, SigningKey};
use jiff::Timestamp;
use x509::{Certificate, ObjectIdentifier, tlv};

use crate::{
    Error, TimestampRequest, TstInfo,
    imprint::{write_algorithm, write_hash_algorithm},
    oid,
    time::write_signing_time,
};

const CONTEXT_0: u8 = 0xa0;
const DIRECTORY_NAME: u8 = 0xa4;

/// What an authority decides about one timestamp.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The policy.
    pub policy: ObjectIdentifier,
    /// A number that the authority never gave before, unsigned.
    pub serial: [u8; 20],
    /// The time; a fraction of a second is cut off.
    pub gen_time: Timestamp,
    /// How far off the time may be.
    pub accuracy_secs: u32,
}

/// What signs, and what goes along when a request wants certificates.
#[derive(Debug)]
pub struct Authority<'a> {
    /// The leaf's key.
    pub key: &'a SigningKey,
    /// The leaf.
    pub leaf: &'a Certificate,
    /// What follows the leaf in a response to a request that wants certificates; empty for the leaf alone.
    pub others: &'a [Certificate],
}

impl Authority<'_> {
    /// DER of a TimeStampResp with status granted. The caller has checked policy and extensions.
    ///
    /// # Errors
    /// [`Error::Sign`], [`Error::Time`].
    pub fn respond(&self, request: &TimestampRequest, stamp: &Stamp) -> Result<Vec<u8>, Error> {
        let token = self.token(request, stamp)?;
        let granted = [tlv::SEQUENCE, 3, tlv::INTEGER, 1, 0];
        Ok(tlv::write_all(tlv::SEQUENCE, &[&granted, &token]))
    }

    /// DER of the TimeStampToken: a ContentInfo with SignedData.
    fn token(&self, request: &TimestampRequest, stamp: &Stamp) -> Result<Vec<u8>, Error> {
        let info = TstInfo {
            policy: stamp.policy,
            imprint: request.imprint.clone(),
            serial: tlv::write_integer(&stamp.serial)[2..].to_vec(),
            gen_time: stamp.gen_time,
            accuracy_secs: Some(stamp.accuracy_secs),
            ordering: false,
            nonce: request.nonce.clone(),
            tsa: Some(self.leaf.subject_der().to_vec()),
        };
        let content = info.to_der()?;
        let hash = self.key.public_key().kind().default_hash();
        let digest_algorithm = write_algorithm(oid::of_hash(hash));
        let encapsulated = tlv::write_all(
            tlv::SEQUENCE,
            &[
                &tlv::write_oid(oid::TST_INFO),
                &tlv::write(CONTEXT_0, &tlv::write(tlv::OCTET_STRING, &content)),
            ],
        );
        let signer = self.signer_info(&content, hash, request.imprint.hash(), stamp.gen_time)?;
        let signed_data = tlv::write_all(
            tlv::SEQUENCE,
            &[
                &[tlv::INTEGER, 1, 3],
                &tlv::write(tlv::SET, &digest_algorithm),
                &encapsulated,
                &self.certificates(request.certificates),
                &tlv::write(tlv::SET, &signer),
            ],
        );
        Ok(tlv::write_all(
            tlv::SEQUENCE,
            &[
                &tlv::write_oid(oid::SIGNED_DATA),
                &tlv::write(CONTEXT_0, &signed_data),
            ],
        ))
    }

    /// An empty set, not an absent one, when none are wanted: readers of upstream's tokens expect it.
    fn certificates(&self, wanted: bool) -> Vec<u8> {
        let mut set: Vec<&[u8]> = Vec::new();
        if wanted {
            set.push(self.leaf.der());
            set.extend(self.others.iter().map(Certificate::der));
            set.sort_unstable();
        }
        tlv::write_all(CONTEXT_0, &set)
    }

    /// RFC 5652 §5.3, version 1.
    fn signer_info(
        &self,
        content: &[u8],
        hash: HashAlgorithm,
        requested: HashAlgorithm,
        at: Timestamp,
    ) -> Result<Vec<u8>, Error> {
        let mut attributes = [
            attribute(oid::CONTENT_TYPE, &tlv::write_oid(oid::TST_INFO)),
            attribute(oid::SIGNING_TIME, &write_signing_time(at)?),
            attribute(
                oid::MESSAGE_DIGEST,
                &tlv::write(tlv::OCTET_STRING, &hash.digest(content)),
            ),
            attribute(
                oid::SIGNING_CERTIFICATE_V2,
                &self.signing_certificate(requested),
            ),
        ];
        // SET OF in DER: by the octets of the elements (X.690 §11.6).
        attributes.sort();
        let attributes = attributes.concat();
        // The signature is over the SET, which the message carries with another tag (RFC 5652 §5.4).
        let signature = self
            .key
            .sign(&tlv::write(tlv::SET, &attributes))
            .map_err(Error::Sign)?;
        let serial = tlv::write(tlv::INTEGER, self.leaf.serial());
        Ok(tlv::write_all(
            tlv::SEQUENCE,
            &[
                &[tlv::INTEGER, 1, 1],
                &tlv::write_all(tlv::SEQUENCE, &[self.leaf.issuer_der(), &serial]),
                &write_algorithm(oid::of_hash(hash)),
                &tlv::write(CONTEXT_0, &attributes),
                &self.signature_algorithm(),
                &tlv::write(tlv::OCTET_STRING, &signature),
            ],
        ))
    }

    /// SigningCertificateV2, RFC 5035 §3. The certificate is hashed with the request's algorithm, which is
    /// left out when it is the default, SHA-256.
    fn signing_certificate(&self, hash: HashAlgorithm) -> Vec<u8> {
        let algorithm = match hash {
            HashAlgorithm::Sha256 => Vec::new(),
            other => write_hash_algorithm(other),
        };
        let issuer = tlv::write(DIRECTORY_NAME, self.leaf.issuer_der());
        let issuer_serial = tlv::write_all(
            tlv::SEQUENCE,
            &[
                &tlv::write(tlv::SEQUENCE, &issuer),
                &tlv::write(tlv::INTEGER, self.leaf.serial()),
            ],
        );
        let certificate_hash = tlv::write(tlv::OCTET_STRING, &hash.digest(self.leaf.der()));
        let id = tlv::write_all(
            tlv::SEQUENCE,
            &[&algorithm, &certificate_hash, &issuer_serial],
        );
        tlv::write(tlv::SEQUENCE, &tlv::write(tlv::SEQUENCE, &id))
    }

    fn signature_algorithm(&self) -> Vec<u8> {
        match self.key.kind() {
            KeyKind::EcdsaP256 => write_algorithm(oid::ECDSA_SHA256),
            KeyKind::EcdsaP384 => write_algorithm(oid::ECDSA_SHA384),
            KeyKind::Ed25519 => write_algorithm(oid::ED25519),
            // RFC 4055 §5 wants NULL here.
            KeyKind::Rsa2048 => {
                tlv::write_all(tlv::SEQUENCE, &[&tlv::write_oid(oid::RSA_SHA256), &[5, 0]])
            }
        }
    }
}

fn attribute(oid: ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    tlv::write_all(
        tlv::SEQUENCE,
        &[&tlv::write_oid(oid), &tlv::write(tlv::SET, value)],
    )
}
