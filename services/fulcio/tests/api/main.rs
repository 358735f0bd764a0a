//! Fulcio through its router, with an issuer and a CT log that belong to the test.

mod authority;
mod certificates;
mod grpc;
mod identities;
mod keys;
mod lab;
mod tokens;
mod wire;
