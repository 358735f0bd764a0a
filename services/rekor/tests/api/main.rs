//! Both logs through their routers: statuses, headers and bodies as clients of the real ones see them.

mod lab;
mod state;
mod v1_errors;
mod v1_log;
mod v2;
