//! What comes next (THINK): rules, history, clock and library in, decision out.
//! It reads no clock and touches no file.

pub mod rules;
