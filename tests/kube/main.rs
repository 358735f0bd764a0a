//! The webhook and its manifests, judged by a real API server through kubectl. Run by name, after
//! `scripts/build-kube` and `scripts/install-clients cosign crane curl helm`:
//! `cargo test --package tests --test kube`.

mod chart;
mod cluster;
mod install;
mod labs;
mod lesson;
mod lone;
mod outage;
mod policies;
mod scope;
mod tiers;
mod upstream;
mod workloads;
mod world;
