//! The signed file: `{"signatures": […], "signed": {…}}`.

use crypto::SigningKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Error, Key, KeyId, Role, RoleKeys, RoleType, Root, canonical_json, roles::Signed,
    trusted::Limits,
};

#[derive(Deserialize, Serialize)]
struct Wire {
    signatures: Vec<Signature>,
    signed: Value,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Signature {
    keyid: KeyId,
    sig: String,
}

/// A parsed file of a role: nothing about it is verified yet but its shape.
#[derive(Clone, Debug)]
pub struct Envelope<T> {
    role: T,
    signed: Vec<u8>,
    signatures: Vec<Signature>,
}

impl<T: Role> Envelope<T> {
    /// Reads a file of at most [`Limits`] bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Json`], [`Error::SpecVersion`], [`Error::Number`].
    pub fn parse(file: &[u8]) -> Result<Self, Error> {
        let max = Limits::of(T::TYPE);
        if file.len() > max {
            return Err(Error::TooLarge {
                role: T::TYPE,
                got: file.len(),
                max,
            });
        }
        let json = |source| Error::Json {
            role: T::TYPE,
            source,
        };
        let wire: Wire = serde_json::from_slice(file).map_err(json)?;
        let signed = canonical_json(&wire.signed)?;
        let body: Signed<T> = serde_json::from_value(wire.signed).map_err(json)?;
        if body.role != T::TYPE {
            let text = format!("_type is {}", body.role);
            return Err(json(serde::de::Error::custom(text)));
        }
        if !body.spec_version.starts_with("1.") {
            return Err(Error::SpecVersion {
                role: T::TYPE,
                got: body.spec_version,
            });
        }
        Ok(Self {
            role: body.inner,
            signed,
            signatures: wire.signatures,
        })
    }

    /// What the file says, unverified.
    #[must_use]
    pub const fn role(&self) -> &T {
        &self.role
    }

    /// Checks that enough of the keys which `root` lists for this role have signed.
    ///
    /// # Errors
    /// [`Error::RoleMissing`], [`Error::ThresholdZero`], [`Error::Threshold`].
    pub fn verify(&self, root: &Root) -> Result<(), Error> {
        let role = T::TYPE;
        let RoleKeys { keyids, threshold } =
            root.roles.get(&role).ok_or(Error::RoleMissing { role })?;
        if *threshold == 0 {
            return Err(Error::ThresholdZero { role });
        }
        // The same key under two ids counts once.
        let mut counted: Vec<&Key> = Vec::new();
        for Signature { keyid, sig } in &self.signatures {
            let Some(key) = root.keys.get(keyid).filter(|_| keyids.contains(keyid)) else {
                continue;
            };
            let seen = counted
                .iter()
                .any(|other| other.keyval.public == key.keyval.public);
            if !seen && hex::decode(sig).is_ok_and(|sig| key.verifies(&self.signed, &sig)) {
                counted.push(key);
            }
        }
        if counted.len() < *threshold {
            return Err(Error::Threshold {
                role,
                valid: counted.len(),
                threshold: *threshold,
            });
        }
        Ok(())
    }

    pub(crate) fn into_role(self) -> T {
        self.role
    }
}

/// Writes and signs the file of a role, indented, with a final newline.
///
/// # Errors
/// [`Error::Sign`], and [`Error::Number`] when custom metadata of a target holds a float.
pub fn sign<T: Role + Clone>(role: &T, keys: &[&SigningKey]) -> Result<Vec<u8>, Error> {
    let json = |source| Error::Json {
        role: T::TYPE,
        source,
    };
    let signed = serde_json::to_value(Signed::new(role)).map_err(json)?;
    let bytes = canonical_json(&signed)?;
    let signatures = keys
        .iter()
        .map(|key| {
            let sig = key.sign(&bytes).map_err(|source| Error::Sign {
                role: T::TYPE,
                source,
            })?;
            let keyid = Key::ecdsa_p256(key.public_key()).id();
            Ok(Signature {
                keyid,
                sig: hex::encode(sig),
            })
        })
        .collect::<Result<_, Error>>()?;
    let mut file = serde_json::to_vec_pretty(&Wire { signatures, signed }).map_err(json)?;
    file.push(b'\n');
    Ok(file)
}

impl RoleType {
    /// The keys that `root` lists for this role.
    #[must_use]
    pub fn keys(self, root: &Root) -> Vec<&Key> {
        let ids = root
            .roles
            .get(&self)
            .map(|keys| keys.keyids.as_slice())
            .unwrap_or_default();
        ids.iter().filter_map(|id| root.keys.get(id)).collect()
    }
}
