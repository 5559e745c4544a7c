//! The box: what makes a flashed card a radio station without a person.
//!
//! `owner` reads the owner's files on the card and says what to do and what is wrong;
//! `apply` does it. `slots` keeps the two systems of the card. Nothing here is needed
//! by a tower or a station on an ordinary computer, and nothing here is on the audio path.

pub mod apply;
pub mod card;
pub mod owner;
mod places;
pub mod report;
pub mod slots;

pub use places::BoxPlaces;
