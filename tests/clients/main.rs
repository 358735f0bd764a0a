//! Unmodified foreign clients against the real program. Run by name, after `scripts/install-clients`:
//! `cargo test --package tests --test clients`.

mod admission;
mod agreement;
mod airgap;
mod artifacts;
mod authorities;
mod commands;
mod cosign;
mod docker;
mod full_disk;
mod gitsign;
mod grpc;
mod guardrails;
mod interactive;
mod labs;
mod legacy;
mod program;
mod registry;
mod registry_clients;
mod registry_garbage;
mod registry_moves;
mod registry_tls;
mod rekor;
mod scene;
mod sign;
mod sigstore_js;
mod sigstore_python;
mod timestamp;
mod tuf;
mod wire;
mod workflow;
