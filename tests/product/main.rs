//! siglab as people hold it: the documents' commands, the examples, the file that is carried into a room,
//! completions and man pages, and what is seen on a terminal. Run by name, after `scripts/install-clients`:
//! `cargo test --package tests --test product`.

mod documents;
mod environment;
mod examples;
mod manual;
mod release;
mod terminal;
