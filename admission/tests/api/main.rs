//! Decisions through the router: images signed by a whole instance in memory, in a registry on loopback.

mod hostile;
mod http;
#[path = "../../../libs/verify/tests/support/mod.rs"]
mod instance;
mod keyless;
mod keys;
mod policies;
mod registry;
#[path = "../support/mod.rs"]
mod support;
mod trust;
mod workloads;
mod world;
