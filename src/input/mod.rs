//! The inputs: each has a thread that fills its queue in the router.

mod floor;
pub mod live;
pub mod pull;
pub mod station_socket;
