//! How loud it is: of what is on air, and of the sound card.

pub mod tap;
