//! The box: what makes a flashed card a radio station without a person.
//!
//! `owner` reads the owner's files on the card and says what to do and what is wrong;
//! `apply` does it. `slots` keeps the two systems of the card, `update` and `confirm` exchange them. Nothing here is needed
//! by a tower or a station on an ordinary computer, and nothing here is on the audio path.

pub mod apply;
pub mod card;
pub mod confirm;
pub mod owner;
mod places;
pub mod report;
pub mod restart;
pub mod slots;
pub mod update;

pub use places::BoxPlaces;
