//! Writes a tar that depends on names and content alone: mode 0644, owner 0, time 0.

use tar::{EntryType, Header};

const BLOCK: u64 = 512;

/// The end of an archive.
pub(crate) const END: [u8; 2 * BLOCK as usize] = [0; 2 * BLOCK as usize];

/// The header blocks of a file. Names that do not fit are written as GNU long names, which every
/// reader of the last decades knows.
pub(crate) fn header(name: &str, size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut header = fields(EntryType::Regular, size);
    let place = &mut header.as_old_mut().name;
    if name.len() < place.len() {
        place[..name.len()].copy_from_slice(name.as_bytes());
    } else {
        let (length, kept) = (name.len() as u64 + 1, place.len());
        place.copy_from_slice(&name.as_bytes()[..kept]);
        let mut long = fields(EntryType::GNULongName, length);
        let marker = b"././@LongLink";
        long.as_old_mut().name[..marker.len()].copy_from_slice(marker);
        long.set_cksum();
        bytes.extend_from_slice(long.as_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len() + padding(length), 0);
    }
    header.set_cksum();
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

/// Zeros that follow `size` bytes of data.
pub(crate) fn padding(size: u64) -> usize {
    usize::try_from(size.next_multiple_of(BLOCK) - size).expect("less than a block")
}

fn fields(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
