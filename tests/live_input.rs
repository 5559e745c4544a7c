//! A sound card on air (V): a real tower with the test card.

mod common;

use std::time::Duration;

use common::{
    Setup,
    card::{CONFIG_VARIABLE, PCM, TestCard},
};

#[test]
fn v1_try() {
    let card = TestCard::builder().make();
    let tower = Setup::default().env(CONFIG_VARIABLE, card.config()).set(&format!("live.device={PCM}")).start();
    card.set_tone([997.0, 997.0], [0.5, 0.5]);
    std::thread::sleep(Duration::from_secs(8));
    println!("{:#}", tower.status());
    println!("{}", tower.log());
}
