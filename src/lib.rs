//! Retrowaves: a radio station in a box. The modules in the order of the flow.

#![deny(unsafe_code)]

pub mod cli;
pub mod config;
pub mod limits;

pub mod frame;
pub mod ring;

pub mod router;

pub mod fallback;

pub mod pump;

pub mod encoder;

pub mod histogram;
pub mod journal;
pub mod logging;
pub mod stats;

#[allow(unsafe_code)]
pub mod sys;
