//! Times and sizes as people write them: `"600ms"`, `"16MiB"`, `"40%"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time, written as a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

impl Period {
    const EXPECTED: &'static str = r#"a time such as "600ms", "5s", "2m", "1h" or "1d""#;
    const UNITS: [(&'static str, u64); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

    /// So many milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// So many seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The time itself.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// The time in microseconds, as the pure crates count it.
    #[must_use]
    pub fn micros(self) -> u64 {
        u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX)
    }
}

/// A number of bytes, written as a whole number and nothing (bytes), `kB`,
/// `MB`, `GB`, `TB` (powers of 1000), `KiB`, `MiB`, `GiB` or `TiB` (of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    const EXPECTED: &'static str = r#"a size such as 65536, "128KiB", "16MiB" or "1GB""#;
    const UNITS: [(&'static str, u64); 10] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1000),
        ("KB", 1000),
        ("B", 1),
    ];

    /// So many bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 1024 × 1024 bytes.
    #[must_use]
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes, as memory is counted.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A part of something whose whole is known at run time, or a plain size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// A percentage of the whole, 1 to 100.
    Percent(u8),
    /// So much, whatever the whole.
    Size(Size),
}

impl Share {
    const EXPECTED: &'static str = r#"a percentage such as "40%", or a size such as "2GiB""#;

    /// How many bytes that is of a whole of so many bytes.
    #[must_use]
    pub const fn of(self, whole: u64) -> u64 {
        match self {
            Self::Percent(percent) => whole / 100 * percent as u64,
            Self::Size(size) => size.0,
        }
    }
}

/// A text that is not a number with one of the units.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid value {found:?}, expected {expected}")]
pub struct UnitError {
    found: String,
    expected: &'static str,
}

/// Reads `<whole number><unit>`; the number may have `_` between digits and
/// space before the unit.
fn number(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit.trim())?.1;
    digits.replace('_', "").parse::<u64>().ok()?.checked_mul(factor)
}

/// Writes a number with the largest unit that divides it.
fn spell(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    match units.iter().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor)) {
        Some((unit, factor)) => write!(f, "{}{unit}", value / factor),
        None => write!(f, "{value}{}", units.last().map_or("", |(unit, _)| unit)),
    }
}

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        number(text, &Self::UNITS)
            .map(Self::millis)
            .ok_or_else(|| UnitError { found: text.to_owned(), expected: Self::EXPECTED })
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        number(text, &Self::UNITS)
            .or_else(|| text.trim().replace('_', "").parse().ok())
            .map(Self)
            .ok_or_else(|| UnitError { found: text.to_owned(), expected: Self::EXPECTED })
    }
}

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError { found: text.to_owned(), expected: Self::EXPECTED };
        match text.trim().strip_suffix('%') {
            Some(percent) => match percent.trim().parse() {
                Ok(percent @ 1..=100) => Ok(Self::Percent(percent)),
                _ => Err(error()),
            },
            None => text.parse().map(Self::Size).map_err(|_| error()),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        spell(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &Self::UNITS)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        spell(f, self.0, &Self::UNITS)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Size(size) => size.fmt(f),
        }
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Text(std::marker::PhantomData::<Self>))
            }
        }

        impl Written for $name {
            const EXPECTED: &'static str = Self::EXPECTED;
        }
    };
}

as_text!(Period);
as_text!(Size);
as_text!(Share);

/// What a unit's error says was expected.
trait Written: FromStr<Err = UnitError> {
    const EXPECTED: &'static str;
}

/// Reads a unit from a string, or from a bare number where that is allowed.
struct Text<T>(std::marker::PhantomData<T>);

impl<T: Written> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        value.to_string().parse().map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<T, E> {
        value.to_string().parse().map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_in_the_largest_unit() {
        for (text, millis, written) in
            [("600ms", 600, "600ms"), ("5s", 5000, "5s"), ("90 s", 90_000, "90s"), ("120m", 7_200_000, "2h")]
        {
            let period: Period = text.parse().unwrap();
            assert_eq!(period, Period::millis(millis));
            assert_eq!(period.to_string(), written);
        }
        assert_eq!(Period::millis(0).to_string(), "0ms");
        for wrong in ["", "5", "-1s", "1.5s", "5 parsecs", "ms", "99999999999999999999s"] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_read_and_written_in_the_largest_unit() {
        for (text, bytes, written) in [
            ("128KiB", 131_072, "128KiB"),
            ("1_000_000", 1_000_000, "1MB"),
            ("1GB", 1_000_000_000, "1GB"),
            ("2048MiB", 2 << 30, "2GiB"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size, Size::bytes(bytes));
            assert_eq!(size.to_string(), written);
        }
        for wrong in ["", "MiB", "1XB", "1.5GiB", "-3"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_are_percentages_or_sizes() {
        assert_eq!("40%".parse::<Share>().unwrap().of(1000), 400);
        assert_eq!("1KiB".parse::<Share>().unwrap().of(1), 1024);
        for wrong in ["0%", "101%", "half", "%"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
    }
}
