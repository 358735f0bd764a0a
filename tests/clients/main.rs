//! Unmodified foreign clients against the real program. Run by name, after `scripts/install-clients`:
//! `cargo test --package tests --test clients`.

mod cosign;
mod legacy;
mod registry;
mod rekor;
mod scene;
mod sigstore_python;
mod timestamp;
mod tuf;
mod wire;
