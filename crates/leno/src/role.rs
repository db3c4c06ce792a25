//! Composition roots: what a role consists of, in start order.

pub(crate) mod control;
pub(crate) mod proxy;
pub(crate) mod proxy_args;
pub(crate) mod workload;
