//! `autoboot.txt`, by which the Raspberry Pi's firmware chooses the boot partition.
//!
//! `[all]` is read at every start, `[tryboot]` only at the one start that was asked for
//! with `reboot "0 tryboot"`; the firmware forgets that wish by itself. With no slot
//! on trial both name the same partition, so that a stray `tryboot` changes nothing.

use super::machine::Slot;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Autoboot {
    /// The slot of every ordinary start.
    pub all: Slot,
    /// The slot of a start with `tryboot`.
    pub tryboot: Slot,
}

impl Slot {
    /// Its boot partition on the card.
    pub fn boot_partition(self) -> u32 {
        match self {
            Self::A => 2,
            Self::B => 3,
        }
    }

    fn of_partition(number: &str) -> Option<Self> {
        match number {
            "2" => Some(Self::A),
            "3" => Some(Self::B),
            _ => None,
        }
    }
}

impl Autoboot {
    /// Reads the file; none: it does not name a slot of ours, so it cannot be believed.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut all, mut tryboot, mut in_tryboot) = (None, None, false);
        for line in text.lines().map(str::trim) {
            match line {
                "[all]" => in_tryboot = false,
                "[tryboot]" => in_tryboot = true,
                _ => {
                    if let Some(number) = line.strip_prefix("boot_partition=") {
                        let slot = Some(Slot::of_partition(number.trim())?);
                        *(if in_tryboot { &mut tryboot } else { &mut all }) = slot;
                    }
                }
            }
        }
        let all = all?;
        Some(Self { all, tryboot: tryboot.unwrap_or(all) })
    }

    /// The whole file.
    pub fn text(self) -> String {
        format!(
            "[all]\ntryboot_a_b=1\nboot_partition={}\n[tryboot]\nboot_partition={}\n",
            self.all.boot_partition(),
            self.tryboot.boot_partition()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Slot::{A, B};

    #[test]
    fn w5_what_is_written_is_read_and_what_is_not_ours_is_not_believed() {
        for (all, tryboot) in [(A, A), (A, B), (B, A), (B, B)] {
            let autoboot = Autoboot { all, tryboot };
            assert_eq!(Autoboot::parse(&autoboot.text()), Some(autoboot));
        }
        let rows = [
            ("[all]\r\ntryboot_a_b=1\r\nboot_partition=3\r\n", Some(Autoboot { all: B, tryboot: B })),
            ("boot_partition=2\n[tryboot]\nboot_partition=3\n", Some(Autoboot { all: A, tryboot: B })),
            ("", None),
            ("[all]\nboot_partition=4\n", None),
            ("[all]\nboot_part", None),
            ("[tryboot]\nboot_partition=3\n", None),
            ("[all]\nboot_partition=2\n[tryboot]\nboot_partition=\n", None),
        ];
        for (text, read) in rows {
            assert_eq!(Autoboot::parse(text), read, "{text:?}");
        }
    }
}
