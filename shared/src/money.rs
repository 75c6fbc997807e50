//! Points and unit prices: exact integers with a decimal face.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;
use thiserror::Error;

/// Why a decimal number is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    #[error("is empty")]
    Empty,
    #[error("is not a decimal number")]
    NotANumber,
    /// More decimal places than the unit can hold exactly.
    #[error("has more than {0} decimal places")]
    TooPrecise(u8),
    #[error("is too large")]
    TooLarge,
    #[error("must not be negative")]
    Negative,
}

/// The result does not fit the ledger's 64-bit integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the amount does not fit the ledger")]
pub struct Overflow;

/// An amount of points, counted in **nanopoints** (10⁻⁹ point): ±9,223,372,036.854775807 points.
///
/// People and JSON see decimal points (`93`, `0.93`); the ledger sees the integer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Points(i64);

impl Points {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(i64::MAX);
    /// Decimal places of a point that the ledger can hold.
    pub const DECIMALS: u8 = 9;

    #[must_use]
    pub const fn from_nano(nano: i64) -> Self {
        Self(nano)
    }

    #[must_use]
    pub const fn nano(self) -> i64 {
        self.0
    }

    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// # Errors
    /// [`Overflow`] when the sum leaves the range of an account.
    pub const fn plus(self, other: Self) -> Result<Self, Overflow> {
        match self.0.checked_add(other.0) {
            Some(nano) => Ok(Self(nano)),
            None => Err(Overflow),
        }
    }

    /// # Errors
    /// [`Overflow`] when the difference leaves the range of an account.
    pub const fn minus(self, other: Self) -> Result<Self, Overflow> {
        match self.0.checked_sub(other.0) {
            Some(nano) => Ok(Self(nano)),
            None => Err(Overflow),
        }
    }

    /// # Errors
    /// [`Overflow`] for the one value without a counterpart, `i64::MIN`.
    pub const fn negated(self) -> Result<Self, Overflow> {
        match self.0.checked_neg() {
            Some(nano) => Ok(Self(nano)),
            None => Err(Overflow),
        }
    }

    /// # Errors
    /// [`Overflow`] when the sum leaves the range of an account.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, Overflow> {
        let total: i128 = amounts.into_iter().map(|points| i128::from(points.0)).sum();
        Self::try_from(total)
    }
}

/// From nanopoints computed in 128 bits.
impl TryFrom<i128> for Points {
    type Error = Overflow;
    fn try_from(nano: i128) -> Result<Self, Overflow> {
        i64::try_from(nano).map(Self).map_err(|_| Overflow)
    }
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, Self::DECIMALS)
    }
}

impl FromStr for Points {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Self, AmountError> {
        parse_scaled(text, Self::DECIMALS).map(Self)
    }
}

/// Written as a JSON number with every digit and no trailing zeros: `93`, `0.93`.
impl Serialize for Points {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_decimal(self, serializer)
    }
}

/// Read from a JSON number or from a string holding one, without passing through a float.
impl<'de> Deserialize<'de> for Points {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_decimal(deserializer)
    }
}

/// The exact nanopoints of an amount, as a string in JSON (`"93000000000"`), because a JavaScript
/// number cannot hold every 64-bit integer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Nano(pub i64);

impl From<Points> for Nano {
    fn from(points: Points) -> Self {
        Self(points.nano())
    }
}

impl Serialize for Nano {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Nano {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}

/// The price of one token, in **nanopoints per token**; never negative.
///
/// People type and read it as points per 1,000 tokens with at most six decimals, which converts
/// exactly both ways: 30 points per 1,000 tokens are 30,000,000 nanopoints per token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitPrice(i64);

impl UnitPrice {
    pub const ZERO: Self = Self(0);
    /// Decimal places of points per 1,000 tokens that convert exactly.
    pub const DECIMALS: u8 = 6;

    /// # Errors
    /// [`AmountError::Negative`]: a token never earns points.
    pub const fn from_nano_per_token(nano: i64) -> Result<Self, AmountError> {
        if nano < 0 {
            Err(AmountError::Negative)
        } else {
            Ok(Self(nano))
        }
    }

    #[must_use]
    pub const fn nano_per_token(self) -> i64 {
        self.0
    }
}

/// Points per 1,000 tokens.
impl fmt::Display for UnitPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, Self::DECIMALS)
    }
}

/// Points per 1,000 tokens.
impl FromStr for UnitPrice {
    type Err = AmountError;
    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::from_nano_per_token(parse_scaled(text, Self::DECIMALS)?)
    }
}

/// Written as points per 1,000 tokens, a JSON number.
impl Serialize for UnitPrice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_decimal(self, serializer)
    }
}

impl<'de> Deserialize<'de> for UnitPrice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_decimal(deserializer)
    }
}

fn serialize_decimal<S: Serializer>(
    value: &impl fmt::Display,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    RawValue::from_string(value.to_string())
        .map_err(ser::Error::custom)?
        .serialize(serializer)
}

fn deserialize_decimal<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = AmountError>,
{
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    raw.get()
        .trim_matches('"')
        .parse()
        .map_err(|error| de::Error::custom(format_args!("{} {error}", raw.get())))
}

/// The scale 10^`decimals`, for at most nine decimals.
const fn scale(decimals: u8) -> u64 {
    let mut scale = 1;
    let mut digit = 0;
    while digit < decimals {
        scale *= 10;
        digit += 1;
    }
    scale
}

fn write_scaled(f: &mut fmt::Formatter<'_>, value: i64, decimals: u8) -> fmt::Result {
    let sign = if value < 0 { "-" } else { "" };
    let magnitude = value.unsigned_abs();
    let (whole, fraction) = (magnitude / scale(decimals), magnitude % scale(decimals));
    if fraction == 0 {
        return f.pad(&format!("{sign}{whole}"));
    }
    let digits = format!("{fraction:0width$}", width = usize::from(decimals));
    f.pad(&format!("{sign}{whole}.{}", digits.trim_end_matches('0')))
}

/// Reads `[-+]digits[.digits][e[-+]digits]`. The exponent is accepted because Dify prints small
/// prices as `1E-7` and JavaScript prints small numbers as `1e-7`.
fn parse_scaled(text: &str, decimals: u8) -> Result<i64, AmountError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(AmountError::Empty);
    }
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            exponent
                .parse::<i16>()
                .map_err(|_| AmountError::NotANumber)?,
        ),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|byte| byte.is_ascii_digit()) {
        return Err(AmountError::NotANumber);
    }
    if digits().all(|byte| byte == b'0') {
        return Ok(0);
    }
    // The value is the digits times 10^power; digits below the unit must be zeros.
    let fraction_len = i64::try_from(fraction.len()).map_err(|_| AmountError::TooLarge)?;
    let mut power = i64::from(exponent) + i64::from(decimals) - fraction_len;
    let mut significant: Vec<u8> = digits().skip_while(|byte| *byte == b'0').collect();
    while power < 0 {
        match significant.pop() {
            Some(b'0') => power += 1,
            _ => return Err(AmountError::TooPrecise(decimals)),
        }
    }
    let mut value: i64 = 0;
    let zeros = usize::try_from(power).map_err(|_| AmountError::TooLarge)?;
    for digit in significant
        .into_iter()
        .chain(std::iter::repeat_n(b'0', zeros))
    {
        let digit = i64::from(digit - b'0');
        value = value
            .checked_mul(10)
            .and_then(|value| {
                if negative {
                    value.checked_sub(digit)
                } else {
                    value.checked_add(digit)
                }
            })
            .ok_or(AmountError::TooLarge)?;
    }
    Ok(value)
}
