//! Retrowaves: a radio station in a box. The modules in the order of the flow.

#![deny(unsafe_code)]

pub mod cli;
pub mod config;
pub mod limits;

pub mod frame;
pub mod ring;

pub mod input;
pub mod reblock;
pub mod router;
pub mod sound;

pub mod decoder;
pub mod fallback;
pub mod station;

pub mod pump;

pub mod meter;

pub mod encoder;

pub mod broadcast;
pub mod door;
pub mod relay;

pub mod control;

pub mod service;

pub mod announce;
pub mod appliance;
pub mod signals;

pub mod atomic_file;
pub mod fence;
pub mod histogram;
pub mod journal;
pub mod logging;
mod own_stream;
mod published;
pub mod stats;
pub mod unix_socket;

#[cfg(test)]
pub(crate) mod scratch;

#[allow(unsafe_code)]
pub mod sys;
