//! A table from the keys of titles and artists to small numbers: filled once per
//! choice from the history, asked once or twice per song of the catalogue. Open
//! addressing, half empty; the keys are hashes already, so none is computed.

/// What a key says that is not there.
pub(super) const ABSENT: u32 = u32::MAX;

pub(super) struct KeyTable {
    slots: Vec<(u64, u32)>,
    shift: u32,
}

impl KeyTable {
    /// Room for `keys` keys.
    pub fn with_room(keys: usize) -> Self {
        let slots = (keys * 2).next_power_of_two().max(2);
        Self { slots: vec![(0, ABSENT); slots], shift: 64 - slots.trailing_zeros() }
    }

    /// The first value of a key stays.
    pub fn add(&mut self, key: u64, value: u32) {
        let at = self.slot(key);
        if self.slots[at].1 == ABSENT {
            self.slots[at] = (key, value);
        }
    }

    /// The value, or [`ABSENT`].
    pub fn get(&self, key: u64) -> u32 {
        self.slots[self.slot(key)].1
    }

    /// Where the key is, or would be. Ends because half of the slots are empty.
    fn slot(&self, key: u64) -> usize {
        // Multiplied, so that keys that differ in few bits spread as well. It fits: `shift` leaves the index alone.
        #[allow(clippy::cast_possible_truncation)]
        let mut at = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize;
        loop {
            let slot = &self.slots[at];
            if slot.1 == ABSENT || slot.0 == key {
                return at;
            }
            at += 1;
            if at == self.slots.len() {
                at = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st3_keys_are_found_and_the_first_value_stays() {
        let mut table = KeyTable::with_room(1000);
        for key in 0..1000u32 {
            table.add(u64::from(key % 500) << 40, key);
        }
        for key in 0..500u32 {
            assert_eq!(table.get(u64::from(key) << 40), key);
        }
        assert_eq!(table.get(7), ABSENT);
        assert_eq!(KeyTable::with_room(0).get(0), ABSENT);
    }
}
