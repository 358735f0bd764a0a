//! What can be wrong with an archive or with a registry; each variant is one rule broken.

use std::{io, path::PathBuf};

use oci::{Digest, DigestError, ImageReferenceError, ManifestError};

use crate::Platform;

/// Why an export or an import was refused or stopped. Messages are one line, name the file, entry or
/// request, and say what would be accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // ---- the archive as a container of files
    /// Neither a directory layout nor a tar, plain or compressed.
    #[error(
        "{} is not an archive of images: a tar, tar.gz, tar.zst or a directory with index.json or \
         manifest.json is accepted",
        .path.display()
    )]
    NotAnArchive {
        /// The file or directory.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    File {
        /// What was tried: `open`, `read`, `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The compressed stream is damaged.
    #[error("{} does not decompress: the file is damaged, copy it again", .path.display())]
    Compression {
        /// The file.
        path: PathBuf,
        /// What the decompressor says.
        #[source]
        source: io::Error,
    },
    /// More comes out of a compressed archive than any real one holds.
    #[error(
        "{} unpacks to more than {ratio_max} times its size: decompress it first if it is meant so",
        .path.display()
    )]
    CompressionRatio {
        /// The file.
        path: PathBuf,
        /// The limit.
        ratio_max: u64,
    },
    /// The archive ends before it should.
    #[error("archive ends inside {entry:?}: it is truncated, copy it again")]
    Truncated {
        /// The entry, or `end of archive` when the end marker is missing.
        entry: String,
    },
    /// A tar header whose checksum or numbers cannot be read.
    #[error("tar header at byte {offset} is damaged: {field} cannot be read")]
    Header {
        /// Where it starts, in the decompressed archive.
        offset: u64,
        /// The field.
        field: &'static str,
    },
    /// Bytes other than zeros after the end of the archive.
    #[error("archive goes on after its end at byte {offset}: only zeros are accepted there")]
    TrailingData {
        /// Where the end is.
        offset: u64,
    },
    /// An absolute entry name.
    #[error("entry {entry:?} has an absolute name: names below the archive are accepted")]
    AbsoluteName {
        /// The entry.
        entry: String,
    },
    /// An entry name with `..`, an empty or a `.` component inside.
    #[error("entry {entry:?} has a component '..', '.' or nothing: plain names are accepted")]
    NameComponent {
        /// The entry.
        entry: String,
    },
    /// An entry name with control characters, or that is not UTF-8.
    #[error("entry {entry:?} has a name that is not printable UTF-8")]
    NameEncoding {
        /// The entry, with replacement characters.
        entry: String,
    },
    /// An entry name that is too long.
    #[error("entry {start:?}… has a name of {length} bytes: at most {length_max} are accepted")]
    NameTooLong {
        /// The start of it.
        start: String,
        /// Bytes in the name.
        length: usize,
        /// The limit.
        length_max: usize,
    },
    /// A symbolic or hard link.
    #[error("entry {entry:?} is a link: only files and directories are accepted")]
    Link {
        /// The entry.
        entry: String,
    },
    /// A device, pipe, socket, sparse file or anything else that is neither file nor directory.
    #[error("entry {entry:?} is special: only files and directories are accepted")]
    SpecialFile {
        /// The entry.
        entry: String,
    },
    /// Two entries of one name.
    #[error("entry {entry:?} is there twice: each name is accepted once")]
    DuplicateEntry {
        /// The entry.
        entry: String,
    },
    /// More entries than the limit.
    #[error("archive has more than {entries_max} entries")]
    TooManyEntries {
        /// The limit.
        entries_max: usize,
    },
    /// One entry is larger than the limit.
    #[error("entry {entry:?} has {size} bytes: at most {size_max} are accepted")]
    EntryTooLarge {
        /// The entry.
        entry: String,
        /// Its size.
        size: u64,
        /// The limit.
        size_max: u64,
    },
    /// The whole archive is larger than the limit, once decompressed.
    #[error("archive has more than {bytes_max} bytes once unpacked, which is the limit")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// A blob whose file name is not a digest.
    #[error("entry {entry:?} is not named blobs/sha256/HEX or blobs/sha512/HEX")]
    BlobName {
        /// The entry.
        entry: String,
        /// What is wrong with the digest.
        #[source]
        source: DigestError,
    },
    /// Content that does not have the digest of its name.
    #[error("{item} has content with digest {actual}, not {expected}")]
    DigestMismatch {
        /// Entry, file or blob.
        item: String,
        /// The digest of its name.
        expected: Digest,
        /// The digest of its content.
        actual: Digest,
    },

    // ---- the images in it
    /// A layout of another version.
    #[error("oci-layout has imageLayoutVersion {found:?}: 1.0.0 is accepted")]
    LayoutVersion {
        /// The version as written, empty when there is none.
        found: String,
    },
    /// A layout without its `oci-layout` file.
    #[error("archive has index.json and no oci-layout: a complete OCI image layout is accepted")]
    NoLayoutFile,
    /// A JSON file of the archive that does not have the expected shape.
    #[error("{entry} is not the JSON that its name promises")]
    Json {
        /// The entry.
        entry: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A manifest or index that breaks a rule of its format.
    #[error("{item} cannot be used as a manifest")]
    Manifest {
        /// Digest, entry or reference.
        item: String,
        /// The rule.
        #[source]
        source: ManifestError,
    },
    /// A manifest larger than registries accept.
    #[error("manifest {item} has {size} bytes: at most {size_max} are accepted")]
    ManifestTooLarge {
        /// Digest, entry or reference.
        item: String,
        /// Its size.
        size: u64,
        /// The limit.
        size_max: u64,
    },
    /// More manifests, or more bytes of them, than the limit.
    #[error("more than {manifests_max} manifests or {bytes_max} bytes of them are not accepted")]
    TooManyManifests {
        /// The limit of their number.
        manifests_max: usize,
        /// The limit of their bytes.
        bytes_max: u64,
    },
    /// A blob or manifest that something names is not in the archive.
    #[error("{named_by} names {digest}, which is not in the archive")]
    Missing {
        /// What is missing.
        digest: Digest,
        /// The manifest or file that names it.
        named_by: String,
    },
    /// A descriptor whose size is not that of the content.
    #[error("{named_by} gives {digest} a size of {declared} bytes, it has {actual}")]
    SizeMismatch {
        /// The content.
        digest: Digest,
        /// The manifest or file that names it.
        named_by: String,
        /// Size in the descriptor.
        declared: u64,
        /// Size of the content.
        actual: u64,
    },
    /// `manifest.json` names a file that is not in the archive.
    #[error("manifest.json names {entry:?}, which is not in the archive")]
    MissingFile {
        /// The file.
        entry: String,
    },
    /// The number of layers differs between `manifest.json` and the image's configuration.
    #[error("manifest.json lists {listed} layers for {config:?}, which lists {configured}")]
    LayerCount {
        /// The configuration's entry.
        config: String,
        /// Layers in `manifest.json`.
        listed: usize,
        /// `rootfs.diff_ids` in the configuration.
        configured: usize,
    },
    /// `siglab/sha256sums` does not fit the files.
    #[error("siglab/sha256sums line {line} is not right for its file")]
    Checksum {
        /// The line, from 1.
        line: usize,
    },
    /// A trusted root or signing config that no client would read.
    #[error("{item} cannot be used")]
    Trust {
        /// Entry or argument.
        item: &'static str,
        /// The rule it breaks.
        #[source]
        source: bundle::Error,
    },
    /// The archive has no image at all.
    #[error("archive has no images: index.json or manifest.json must list at least one")]
    NoImages,
    /// No image of the archive says where it belongs.
    #[error(
        "none of the {count} images in the archive has a name: --repository NAME gives them one"
    )]
    NoNames {
        /// Images without a name.
        count: usize,
    },

    // ---- registries
    /// An image reference or registry name that cannot be read.
    #[error(
        "{text:?} does not name an image or registry: HOST[:PORT][/REPOSITORY[:TAG]] is accepted"
    )]
    Reference {
        /// As written.
        text: String,
        /// Why not.
        #[source]
        source: ImageReferenceError,
    },
    /// An index without an image for any platform that was asked for.
    #[error("index {index} has no image for {}", list(.wanted))]
    NoPlatform {
        /// The index.
        index: Digest,
        /// What was asked for.
        wanted: Vec<Platform>,
    },
    /// An image that its registry does not have.
    #[error("{reference} does not exist")]
    NoSuchImage {
        /// The reference.
        reference: String,
    },
    /// A blob that a manifest names and the registry does not have.
    #[error("{registry} does not have blob {digest}, which {named_by} names")]
    NoSuchBlob {
        /// Registry and repository.
        registry: String,
        /// The blob.
        digest: Digest,
        /// The manifest that names it.
        named_by: String,
    },
    /// A request that got no answer.
    #[error("{request} got no answer")]
    Unreachable {
        /// Method and URL.
        request: String,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// A request that moved no byte for too long.
    #[error("{request} stood still for {secs} seconds")]
    Stalled {
        /// Method and URL.
        request: String,
        /// How long was waited.
        secs: u64,
    },
    /// A request that the registry refused.
    #[error("{request} was answered {status}{}{detail}", if .detail.is_empty() { "" } else { ": " })]
    Refused {
        /// Method and URL.
        request: String,
        /// HTTP status.
        status: u16,
        /// Code and message of the answer, cut short.
        detail: String,
    },
    /// An answer that does not follow the distribution specification.
    #[error("{request} was answered without a usable {field}")]
    Answer {
        /// Method and URL.
        request: String,
        /// Header or body field.
        field: &'static str,
    },
    /// An answer that is longer than it may be.
    #[error("{request} was answered with more than {size_max} bytes")]
    AnswerTooLarge {
        /// Method and URL.
        request: String,
        /// The limit.
        size_max: u64,
    },
    /// A blob that a registry sent in another length than its descriptor says.
    #[error("{registry} sent {actual} bytes of blob {digest}, its descriptor says {declared}")]
    BlobSize {
        /// Registry and repository.
        registry: String,
        /// The blob.
        digest: Digest,
        /// Size in the descriptor.
        declared: u64,
        /// Bytes received, at least.
        actual: u64,
    },
    /// The registry asks for credentials that were not given or not accepted.
    #[error("{registry} asks for credentials{}", if *.given { " and refuses those given" } else { "" })]
    Unauthorized {
        /// Registry and repository.
        registry: String,
        /// Whether some were given.
        given: bool,
    },
    /// A token endpoint without TLS, of a registry with TLS.
    #[error("{registry} sends credentials in the clear to {realm}, which is refused")]
    InsecureRealm {
        /// Registry and repository.
        registry: String,
        /// The token endpoint.
        realm: String,
    },
    /// A background thread that reads or writes files ended early.
    #[error("the work on files ended early")]
    Interrupted(#[source] tokio::task::JoinError),
}

impl Error {
    /// A failed operation on a file.
    pub(crate) fn file<T: Into<PathBuf>>(
        action: &'static str,
        path: T,
    ) -> impl FnOnce(io::Error) -> Self + use<T> {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }
}

fn list(platforms: &[Platform]) -> String {
    let names: Vec<String> = platforms.iter().map(Platform::to_string).collect();
    names.join(" or ")
}
