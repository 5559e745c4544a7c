//! The owner's files: from bytes to what shall be done, and what is wrong. Pure but for `folder`, which reads.

pub mod folder;
pub mod hostname;
pub mod plan;
pub mod secrets;
pub mod ssh_keys;
pub mod text;
pub mod wifi;
