//! Both API versions, each on its own listener.

mod v1;
mod v2;

pub(crate) use v1::router as v1_router;
pub(crate) use v2::{Grpc, router as v2_router};
