//! Writes images with all that belongs to them into one tar.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use oci::{Digest, ImageReference, index_bytes};
use runtime::files;
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncWriteExt as _, BufWriter},
};

use crate::{
    Endpoints, Error, ExportOptions, ExportReport, OnProgress, Phase, Warning,
    content::CHUNK,
    digests, docker_archive, import, layout,
    progress::Meter,
    remote::Sink,
    tar_writer,
    walk::{self, Blob, Found},
};

/// Carries `images` into a new archive at `path`, an OCI image layout in a tar that the same content
/// always makes byte for byte. The file appears under its name when it is complete and durable; what
/// was there is replaced.
///
/// # Errors
/// When an image or a part of it cannot be read, is not what its digest says, or the file cannot be
/// written. Nothing is left behind then.
pub async fn export(
    endpoints: &Endpoints,
    images: &[ImageReference],
    options: &ExportOptions,
    path: &Path,
    progress: OnProgress,
) -> Result<ExportReport, Error> {
    if images.is_empty() {
        return Err(Error::NoImages);
    }
    if let Some(bytes) = &options.trusted_root {
        import::check_trusted_root("the given trusted root", bytes)?;
    }
    if let Some(bytes) = &options.signing_config {
        import::check_signing_config("the given signing config", bytes)?;
    }
    let found = walk::walk(endpoints, images, options, &progress).await?;
    let mut report = ExportReport {
        images: found.images.clone(),
        manifests: found.manifests.len() as u64,
        warnings: found.warnings.clone(),
        ..ExportReport::default()
    };
    let entries = entries(found, options);
    let total = entries.values().map(Entry::size).sum();
    let bytes_max = options.limits.bytes_max;
    if total > bytes_max {
        return Err(Error::TooLarge { bytes_max });
    }
    let meter = Meter::new(&progress, Phase::Write, total);
    let mut writer = Writer::create(path, meter).await?;
    for (name, entry) in entries {
        writer.meter.item(&name);
        match entry {
            Entry::Bytes(bytes) => writer.bytes(&name, &bytes).await?,
            Entry::Blob(digest, blob) => {
                if writer.blob(&name, &digest, &blob).await? {
                    report.blobs += 1;
                } else {
                    report.warnings.push(Warning::ForeignLayer { digest });
                }
            }
        }
    }
    report.bytes = writer.finish().await?;
    Ok(report)
}

/// A file of the archive.
enum Entry {
    Bytes(Bytes),
    Blob(Digest, Blob),
}

impl Entry {
    fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Blob(_, blob) => blob.size,
        }
    }
}

/// All files by name, which is the order in which they are written.
fn entries(found: Found, options: &ExportOptions) -> BTreeMap<String, Entry> {
    let index = index_bytes(&found.listed).expect("descriptors are JSON");
    let mut files: BTreeMap<&str, Bytes> = BTreeMap::new();
    files.insert(layout::INDEX, index.into());
    files.insert(
        layout::LAYOUT,
        Bytes::from_static(layout::LAYOUT_TEXT.as_bytes()),
    );
    if let Some(bytes) = docker_archive::list(&found) {
        files.insert(docker_archive::MANIFEST, bytes.into());
    }
    if let Some(bytes) = &options.trusted_root {
        files.insert(layout::TRUSTED_ROOT, bytes.clone().into());
    }
    if let Some(bytes) = &options.signing_config {
        files.insert(layout::SIGNING_CONFIG, bytes.clone().into());
    }
    let sums = digests::write(files.iter().map(|(name, bytes)| (*name, bytes.as_ref())));
    files.insert(layout::SHA256SUMS, sums.into());
    let mut entries: BTreeMap<String, Entry> = files
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), Entry::Bytes(bytes)))
        .collect();
    for (digest, blob) in found.blobs {
        entries.insert(layout::blob_name(&digest), Entry::Blob(digest, blob));
    }
    for (digest, bytes) in found.manifests {
        entries.insert(layout::blob_name(&digest), Entry::Bytes(bytes));
    }
    entries
}

/// The file under its temporary name.
struct Writer {
    file: BufWriter<File>,
    path: PathBuf,
    temporary: Temporary,
    written: u64,
    meter: Meter,
}

/// Removes the unfinished file when the export ends early.
struct Temporary(Option<PathBuf>);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Writer {
    async fn create(path: &Path, meter: Meter) -> Result<Self, Error> {
        let temporary = files::temporary_name(path);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .await
            .map_err(Error::file("write", path))?;
        let (file, path) = (BufWriter::with_capacity(CHUNK, file), path.to_owned());
        Ok(Self {
            file,
            path,
            temporary: Temporary(Some(temporary)),
            written: 0,
            meter,
        })
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.written += bytes.len() as u64;
        self.file
            .write_all(bytes)
            .await
            .map_err(Error::file("write", &self.path))
    }

    async fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let size = bytes.len() as u64;
        self.write(&tar_writer::header(name, size)).await?;
        self.write(bytes).await?;
        self.meter.add(size);
        self.pad(size).await
    }

    async fn pad(&mut self, size: u64) -> Result<(), Error> {
        self.write(&tar_writer::END[..tar_writer::padding(size)])
            .await
    }

    /// Streams a blob. `false` means that it is not there and need not be.
    async fn blob(&mut self, name: &str, digest: &Digest, blob: &Blob) -> Result<bool, Error> {
        let header = Some(tar_writer::header(name, blob.size));
        let mut sink = BlobSink {
            writer: self,
            header,
        };
        let is_there = blob.remote.pull_blob(digest, blob.size, &mut sink).await?;
        if is_there {
            sink.begin().await?;
            self.pad(blob.size).await?;
        } else if !blob.may_be_absent {
            return Err(Error::NoSuchBlob {
                registry: blob.remote.name(),
                digest: digest.clone(),
                named_by: blob.named_by.to_string(),
            });
        }
        Ok(is_there)
    }

    /// Makes the file durable and gives it its name. Returns its bytes.
    async fn finish(mut self) -> Result<u64, Error> {
        self.write(&tar_writer::END).await?;
        let wrong = |path: &Path| Error::file("write", path.to_owned());
        self.file.flush().await.map_err(wrong(&self.path))?;
        self.file
            .get_ref()
            .sync_all()
            .await
            .map_err(wrong(&self.path))?;
        if let Some(temporary) = self.temporary.0.take() {
            let renamed = tokio::fs::rename(&temporary, &self.path).await;
            if let Err(error) = renamed {
                self.temporary.0 = Some(temporary);
                return Err(wrong(&self.path)(error));
            }
        }
        let parent = self
            .path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        files::sync_dir(parent.unwrap_or_else(|| Path::new("."))).map_err(wrong(&self.path))?;
        Ok(self.written)
    }
}

/// Writes the header before the first byte of a blob, when it is known to be there.
struct BlobSink<'a> {
    writer: &'a mut Writer,
    header: Option<Vec<u8>>,
}

impl BlobSink<'_> {
    async fn begin(&mut self) -> Result<(), Error> {
        match self.header.take() {
            Some(header) => self.writer.write(&header).await,
            None => Ok(()),
        }
    }
}

impl Sink for BlobSink<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.begin().await?;
        self.writer.write(bytes).await?;
        self.writer.meter.add(bytes.len() as u64);
        Ok(())
    }
}
