//! An enum that one thread publishes as a number and others read: `published!` makes the enum, its
//! words for status and logs, and the way back from the number. One list, so that number, word and
//! variant cannot drift apart.

/// `enum NAME, WORDS, else DEFAULT { VARIANT = "word", … }`: variants are numbered from 0 in their
/// order, `WORDS()` gives the word of one, and `from_u8` the variant of a number. A number that
/// belongs to none (nobody stores such a one) gives DEFAULT: a reader never fails.
macro_rules! published {
    (
        $(#[$of_enum:meta])*
        $vis:vis enum $name:ident, $words:ident, else $default:ident {
            $($(#[$of_variant:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$of_enum])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        $vis enum $name {
            $($(#[$of_variant])* $variant,)+
        }

        impl $name {
            /// Every one, in the order of their numbers.
            $vis const ALL: [Self; [$($word,)+].len()] = [$(Self::$variant,)+];

            /// As it is written in status and logs.
            $vis const fn $words(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// Back from the number under which it was published.
            $vis fn from_u8(number: u8) -> Self {
                Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::$default)
            }
        }
    };
}
pub(crate) use published;

#[cfg(test)]
mod tests {
    published! {
        enum Lamp, name, else Off {
            Off = "off",
            On = "on air",
        }
    }

    #[test]
    fn each_one_comes_back_from_its_number_and_no_number_fails() {
        for lamp in Lamp::ALL {
            assert_eq!(Lamp::from_u8(lamp as u8), lamp);
        }
        assert_eq!([Lamp::Off.name(), Lamp::On.name()], ["off", "on air"]);
        assert_eq!((Lamp::On as u8, Lamp::from_u8(2), Lamp::from_u8(255)), (1, Lamp::Off, Lamp::Off));
    }
}
