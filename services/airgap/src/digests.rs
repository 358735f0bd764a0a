//! `siglab/sha256sums`: digests of the files whose names do not carry one, as `sha256sum` reads them.

use std::collections::BTreeMap;

use oci::{Algorithm, Digest};

use crate::Error;

/// One line for each file.
pub(crate) fn write<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    files
        .map(|(name, bytes)| format!("{}  {name}\n", Digest::of(Algorithm::Sha256, bytes).hex()))
        .collect()
}

/// Compares `text` with the SHA-256 digests of an archive's entries.
pub(crate) fn check(text: &str, entries: &BTreeMap<&str, &Digest>) -> Result<(), Error> {
    for (number, line) in text.lines().enumerate() {
        let is_right = line.split_once("  ").is_some_and(|(hex, name)| {
            let actual = entries.get(name);
            actual.is_some_and(|digest| {
                digest.algorithm() == Algorithm::Sha256 && digest.hex() == hex
            })
        });
        if !is_right {
            return Err(Error::Checksum { line: number + 1 });
        }
    }
    Ok(())
}
