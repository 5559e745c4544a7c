//! The inputs: each has a thread that fills its queue in the router.

pub mod station_socket;
