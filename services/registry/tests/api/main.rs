//! The registry through its router: what each request is answered, and what is on disk after it.

mod auth;
mod blobs;
mod gc;
mod lab;
mod lists;
mod manifests;
mod process;
mod referrers;
mod storage;
mod uploads;
