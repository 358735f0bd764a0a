//! The whole stack in this process.
