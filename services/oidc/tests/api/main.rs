//! The issuer through its router, without a socket.

mod flows;
mod support;
mod tokens;
