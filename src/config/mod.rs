//! Configuration: what can be set, where each value came from, and what is wrong.
//!
//! The rest of the program sees only finished, checked values. Nothing starts
//! before all of them are right (I2).

mod build;
mod error;
mod keys;
mod kind;
mod layers;
mod load;
mod places;
mod show;
mod station;
mod tower;
mod value;

pub use build::Settings;
pub use error::*;
pub use keys::{Key, STATION, Schema, TOWER};
pub use kind::{BITRATES_KBPS, Kind};
pub use layers::{Layers, Setting, Sources};
pub use load::{Loaded, check_file, check_text, load, prepare, prepare_station};
pub use places::{PlaceError, Places, Probed, make_runtime_folder, vendor_dir};
pub use show::show;
pub use station::*;
pub use tower::*;
pub use value::{Raw, Value};
