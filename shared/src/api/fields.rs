//! How the fields of requests are read: leniently in how a value is written, strictly in what it
//! says, and with the fault of the one that is wrong. `null` and, where text is expected, an empty
//! text count as absent, as forms send them.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::ids::{ModelName, UserId};
use crate::money::Points;
use crate::problem::FieldFault;

/// Begins a message of serde's that holds a fault: serde passes errors on as text only.
const MARK: char = '\u{1}';

/// An error of serde's that [`fault_in`] reads again.
fn error<E: de::Error>(fault: &FieldFault) -> E {
    match serde_json::to_string(fault) {
        Ok(json) => E::custom(format_args!("{MARK}{json}")),
        Err(error) => E::custom(error),
    }
}

/// The fault in a message of serde's, and the field that has it where that is one of the object in
/// which serde stopped.
#[must_use]
pub fn fault_in(message: &str) -> (Option<&str>, FieldFault) {
    if let Some(json) = message.strip_prefix(MARK) {
        // Where it was found may follow.
        let mut faults = serde_json::Deserializer::from_str(json).into_iter();
        let fault = faults.next().and_then(Result::ok);
        return (None, fault.unwrap_or(FieldFault::Missing));
    }
    let quoted = || message.split('`').nth(1);
    if message.starts_with("missing field") {
        (quoted(), FieldFault::Missing)
    } else if message.starts_with("unknown field") {
        (quoted(), FieldFault::Unknown)
    } else if message.contains("expected a sequence") {
        (None, FieldFault::Empty)
    } else {
        (None, FieldFault::Missing)
    }
}

/// A value that is not `null`.
#[derive(Debug)]
pub enum Written {
    /// That is not empty.
    Text(String),
    /// With all its digits.
    Number(String),
    Flag(bool),
    Empty,
    /// An object or a list.
    Nested,
}

impl Written {
    fn of(raw: &RawValue) -> Result<Option<Self>, serde_json::Error> {
        let text = raw.get();
        Ok(Some(match text.as_bytes().first() {
            Some(b'n') => return Ok(None),
            Some(b't' | b'f') => Self::Flag(text == "true"),
            Some(b'{' | b'[') => Self::Nested,
            Some(b'"') => match serde_json::from_str::<String>(text)? {
                text if text.trim().is_empty() => Self::Empty,
                text => Self::Text(text),
            },
            _ => Self::Number(text.to_owned()),
        }))
    }

    fn text(self) -> Result<Option<String>, FieldFault> {
        match self {
            Self::Empty => Ok(None),
            // Postgres keeps any other.
            Self::Text(text) if text.contains('\0') => Err(FieldFault::ControlCharacter),
            Self::Text(text) => Ok(Some(text)),
            Self::Number(_) | Self::Flag(_) | Self::Nested => Err(FieldFault::NotText),
        }
    }

    fn parsed<T: FromStr>(
        self,
        fault: impl FnOnce(T::Err) -> FieldFault,
    ) -> Result<Option<T>, FieldFault> {
        let text = self.text()?;
        text.map(|text| text.parse().map_err(fault)).transpose()
    }
}

/// What a field of a request can hold.
pub trait RequestField: Sized {
    /// `None` for what counts as absent.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(written: Written) -> Result<Option<Self>, FieldFault>;
}

impl RequestField for String {
    fn read(written: Written) -> Result<Option<Self>, FieldFault> {
        written.text()
    }
}

impl RequestField for UserId {
    fn read(written: Written) -> Result<Option<Self>, FieldFault> {
        written.parsed(FieldFault::from)
    }
}

impl RequestField for ModelName {
    fn read(written: Written) -> Result<Option<Self>, FieldFault> {
        written.parsed(FieldFault::from)
    }
}

impl RequestField for Timestamp {
    fn read(written: Written) -> Result<Option<Self>, FieldFault> {
        written.parsed(|_| FieldFault::NotATime)
    }
}

/// As a number or as text; no digit is lost on the way.
impl RequestField for Points {
    fn read(written: Written) -> Result<Option<Self>, FieldFault> {
        match written {
            Written::Empty => Ok(None),
            Written::Text(text) | Written::Number(text) => {
                text.parse().map(Some).map_err(FieldFault::from)
            }
            Written::Flag(_) | Written::Nested => Err(FieldFault::NotANumber),
        }
    }
}

/// A whole number from 0 up that the ledger can hold, as a number or as digits.
impl RequestField for u64 {
    fn read(written: Written) -> Result<Option<Self>, FieldFault> {
        let count = match written {
            Written::Empty => return Ok(None),
            Written::Text(text) => whole_number(text.trim())?,
            Written::Number(text) => text.parse().map_err(|_| FieldFault::NotACount)?,
            Written::Flag(_) | Written::Nested => return Err(FieldFault::NotACount),
        };
        // The ledger's integers are signed.
        match i64::try_from(count) {
            Ok(_) => Ok(Some(count)),
            Err(_) => Err(FieldFault::TooLarge),
        }
    }
}

fn whole_number(text: &str) -> Result<u64, FieldFault> {
    // `parse` accepts a plus sign, which an unescaped query turns into a space anyway.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FieldFault::NotACount);
    }
    text.parse().map_err(|_| FieldFault::TooLarge)
}

impl RequestField for bool {
    fn read(written: Written) -> Result<Option<Self>, FieldFault> {
        match written {
            Written::Flag(flag) => Ok(Some(flag)),
            Written::Empty => Ok(None),
            Written::Text(_) | Written::Number(_) | Written::Nested => {
                Err(not_one_of(["true", "false"]))
            }
        }
    }
}

fn not_one_of(allowed: impl IntoIterator<Item = &'static str>) -> FieldFault {
    let allowed: Vec<_> = allowed.into_iter().collect();
    FieldFault::NotOneOf {
        allowed: allowed.join(", "),
    }
}

/// One of a few words.
pub trait Word: Copy + 'static {
    const WORDS: &'static [Self];
    fn word(self) -> &'static str;
}

/// Reads one of a few words.
pub fn word<'de, D: Deserializer<'de>, T: Word>(from: D) -> Result<Option<T>, D::Error> {
    let Some(text) = optional::<D, String>(from)? else {
        return Ok(None);
    };
    match T::WORDS.iter().find(|it| it.word() == text) {
        Some(found) => Ok(Some(*found)),
        None => Err(error(&not_one_of(T::WORDS.iter().map(|it| it.word())))),
    }
}

/// Reads a field that may be absent.
pub fn optional<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: RequestField,
{
    let raw = Box::<RawValue>::deserialize(from)?;
    match Written::of(&raw).map_err(de::Error::custom)? {
        None => Ok(None),
        Some(written) => T::read(written).map_err(|fault| error(&fault)),
    }
}

/// Reads a field that must be there.
pub fn required<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: RequestField,
{
    optional(from)?.ok_or_else(|| error(&FieldFault::Missing))
}

/// Reads a field whose absence means the usual: no, or none.
pub fn usual<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: RequestField + Default,
{
    optional(from).map(Option::unwrap_or_default)
}

/// Reads a whole number from `MIN` to `MAX`.
pub fn within<'de, D, const MIN: u32, const MAX: u32>(from: D) -> Result<Option<u32>, D::Error>
where
    D: Deserializer<'de>,
{
    let Some(count) = optional::<D, u64>(from)? else {
        return Ok(None);
    };
    match u32::try_from(count) {
        Ok(count) if (MIN..=MAX).contains(&count) => Ok(Some(count)),
        _ => Err(error(&FieldFault::OutOfRange { min: MIN, max: MAX })),
    }
}

/// Reads a list of objects, which must not be empty.
pub fn list<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    optional_list(from)?.ok_or_else(|| error(&FieldFault::Missing))
}

/// Reads a list of objects, which may be absent but not empty.
pub fn optional_list<'de, D, T>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let Some(list) = Option::<Vec<Object<T>>>::deserialize(from)? else {
        return Ok(None);
    };
    match list.is_empty() {
        true => Err(error(&FieldFault::Empty)),
        false => Ok(Some(list.into_iter().map(|Object(item)| item).collect())),
    }
}

/// An object, where serde would also take a list of its values.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}
