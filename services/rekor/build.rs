//! Compiles Rekor v2's gRPC API without a system compiler, and keeps its descriptors for reflection.

use std::{error::Error, fs::File, io::Write as _, path::PathBuf};

use protox::prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = protox::compile(["rekor_service.proto"], ["proto"])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    File::create(out.join("descriptors.bin"))?.write_all(&descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(true)
        .build_transport(false)
        .include_file("packages.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
