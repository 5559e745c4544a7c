//! Numbered places for connections, so that an event names one and never its successor.

/// Bits of a key; the rest of an epoll token tells what kind of thing it names.
pub const KEY_BITS: u32 = 56;

/// Values under keys that are not used twice (each place counts its tenants, up to 2^24).
pub struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

struct Place<T> {
    tenant: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// The key that the next `insert` will give.
    pub fn next_key(&self) -> u64 {
        match self.free.last() {
            Some(index) => key(*index, self.places[*index as usize].tenant),
            None => key(u32::try_from(self.places.len()).unwrap_or(u32::MAX), 0),
        }
    }

    /// Keeps a value.
    pub fn insert(&mut self, value: T) -> u64 {
        let key = self.next_key();
        match self.free.pop() {
            Some(index) => self.places[index as usize].value = Some(value),
            None => self.places.push(Place { tenant: 0, value: Some(value) }),
        }
        key
    }

    /// The value of a key, if it is still there.
    pub fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let place = self.places.get_mut(index(key))?;
        (u64::from(place.tenant) == key >> 32).then_some(place.value.as_mut())?
    }

    /// Takes a value out; its key is void from now on.
    pub fn remove(&mut self, key: u64) -> Option<T> {
        self.get_mut(key)?;
        let place = &mut self.places[index(key)];
        place.tenant = (place.tenant + 1) & ((1 << (KEY_BITS - 32)) - 1);
        self.free.push(u32::try_from(index(key)).unwrap_or(u32::MAX));
        place.value.take()
    }

    /// Every value with its key.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let value = place.value.as_ref()?;
            Some((key(u32::try_from(index).ok()?, place.tenant), value))
        })
    }

    /// Values kept.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// True when nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn key(index: u32, tenant: u32) -> u64 {
    u64::from(tenant) << 32 | u64::from(index)
}

fn index(key: u64) -> usize {
    usize::try_from(key & u64::from(u32::MAX)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_names_the_successor() {
        let mut slab = Slab::default();
        let (first, expected) = (slab.insert("a"), slab.next_key());
        let second = slab.insert("b");
        assert_eq!(second, expected);
        assert_eq!(slab.remove(first), Some("a"));
        assert_eq!(slab.remove(first), None);
        let third = slab.insert("c");
        assert_eq!(third & 0xffff_ffff, first & 0xffff_ffff, "the place is used again");
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.get_mut(third), Some(&mut "c"));
        assert_eq!((slab.len(), slab.iter().count()), (2, 2));
    }
}
