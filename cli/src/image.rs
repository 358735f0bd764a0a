//! A small real image: one layer with one file.

use std::io::Write as _;

use serde_json::{Value, json};

/// An image's layer and configuration.
#[derive(Debug)]
pub(crate) struct Image {
    /// Gzipped tar.
    pub(crate) layer: Vec<u8>,
    pub(crate) config: Value,
}

/// An image that holds `message` in `/etc/motd`. The same message gives the same bytes.
///
/// # Errors
/// Never in practice: everything is written to memory.
pub(crate) fn with_message(message: &str, created: &str) -> anyhow::Result<Image> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(message.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    tar.append_data(&mut header, "etc/motd", message.as_bytes())?;
    let tar = tar.into_inner()?;
    let diff_id = format!("sha256:{}", hex::encode(crypto::sha256(&tar)));
    let mut gzip = flate2::GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), flate2::Compression::default());
    gzip.write_all(&tar)?;
    let config = json!({
        "created": created,
        "architecture": "amd64",
        "os": "linux",
        "config": { "Cmd": ["/bin/agent"], "User": "65532" },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    Ok(Image {
        layer: gzip.finish()?,
        config,
    })
}
