//! Protobuf JSON as Go's protojson reads it, as far as Rekor v2 requests need it (<https://protobuf.dev/programming-guides/json/>).
//!
//! `serde`'s derive would also take an array for a message and repeat a client's megabyte in its error, so the few
//! rules are spelled out here: lowerCamelCase or original field names, null is absent, and anything unknown or
//! repeated is refused.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A message: the names of its fields and how the value of each is read.
pub(super) trait Message: Default {
    /// For each field its JSON name and its original name.
    const FIELDS: &'static [(&'static str, &'static str)];

    /// Reads the value of the field at that place in [`Message::FIELDS`].
    fn field<'de, A: MapAccess<'de>>(&mut self, field: usize, map: &mut A) -> Result<(), A::Error>;
}

/// Reads an object as a message.
pub(super) fn message<'de, M: Message, D: Deserializer<'de>>(deserializer: D) -> Result<M, D::Error> {
    struct Object<M>(PhantomData<M>);

    impl<'de, M: Message> Visitor<'de> for Object<M> {
        type Value = M;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<M, A::Error> {
            let mut message = M::default();
            let mut seen = 0u32;
            while let Some(field) = map.next_key_seed(FieldName(M::FIELDS))? {
                if seen & 1 << field != 0 {
                    return Err(A::Error::custom(format_args!("duplicate field \"{}\"", M::FIELDS[field].0)));
                }
                seen |= 1 << field;
                message.field(field, &mut map)?;
            }
            Ok(message)
        }
    }

    deserializer.deserialize_map(Object(PhantomData))
}

/// A key of an object, resolved to the field's place.
struct FieldName(&'static [(&'static str, &'static str)]);

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        self.0.iter().position(|(json, original)| name == *json || name == *original).ok_or_else(|| {
            let known = self.0.iter().map(|(json, _)| *json).collect::<Vec<_>>().join(", ");
            E::custom(format_args!("unknown field \"{}\", expected one of {known}", shortened(name)))
        })
    }
}

/// Implements `Deserialize` for a [`Message`].
macro_rules! impl_deserialize {
    ($($message:ty),+) => {$(
        impl<'de> serde::Deserialize<'de> for $message {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::wire::v2::json::message(deserializer)
            }
        }
    )+};
}
pub(super) use impl_deserialize;

/// `bytes`: base64 of either alphabet, padded or not; null is empty.
#[derive(Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl<'de> serde::Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;

        impl Visitor<'_> for Base64 {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a base64 string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
                decoded(text).map(Bytes).map_err(|problem| E::custom(format_args!("not base64: {problem}")))
            }

            fn visit_unit<E: Error>(self) -> Result<Bytes, E> {
                Ok(Bytes::default())
            }
        }

        deserializer.deserialize_any(Base64)
    }
}

/// Base64 as Go reads it: the alphabet is chosen by what occurs, line ends are skipped, spare bits ignored.
pub(crate) fn decoded(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

    // What real clients send decodes at once; only a failure is looked at twice.
    if let Ok(bytes) = STANDARD.decode(text) {
        return Ok(bytes);
    }
    let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    if joined.contains(['-', '_']) { URL_SAFE.decode(joined) } else { STANDARD.decode(joined) }
}

/// `string`; null is empty.
#[derive(Default)]
pub(super) struct Text(pub(super) String);

impl<'de> serde::Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Characters;

        impl Visitor<'_> for Characters {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_unit<E: Error>(self) -> Result<Text, E> {
                Ok(Text::default())
            }
        }

        deserializer.deserialize_any(Characters)
    }
}

/// An enum by name or number; null is zero.
pub(super) struct Enum<T>(i32, PhantomData<T>);

impl<T> Enum<T> {
    /// The number, known or not.
    pub(super) fn number(&self) -> i32 {
        self.0
    }
}

impl<T> From<i32> for Enum<T> {
    fn from(number: i32) -> Self {
        Self(number, PhantomData)
    }
}

impl<T> Default for Enum<T> {
    fn default() -> Self {
        Self(0, PhantomData)
    }
}

/// What [`Enum`] needs of an enum: its names.
pub(super) trait Names {
    /// The number behind a name.
    fn number(name: &str) -> Option<i32>;
}

impl<'de, T: Names> serde::Deserialize<'de> for Enum<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrNumber<T>(PhantomData<T>);

        impl<T: Names> Visitor<'_> for NameOrNumber<T> {
            type Value = i32;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an enum name or number")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<i32, E> {
                T::number(name)
                    .ok_or_else(|| E::custom(format_args!("unknown enum name \"{}\"", shortened(name))))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<i32, E> {
                i32::try_from(number).map_err(|_| E::custom(format_args!("{number} is not an enum number")))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<i32, E> {
                i32::try_from(number).map_err(|_| E::custom(format_args!("{number} is not an enum number")))
            }

            // protojson takes 5.0 and 5e0 for 5.
            fn visit_f64<E: Error>(self, number: f64) -> Result<i32, E> {
                let fits = f64::from(i32::MIN)..=f64::from(i32::MAX);
                if number.fract() == 0.0 && fits.contains(&number) {
                    return Ok(number as i32);
                }
                Err(E::custom(format_args!("{number} is not an enum number")))
            }

            fn visit_unit<E: Error>(self) -> Result<i32, E> {
                Ok(0)
            }
        }

        deserializer.deserialize_any(NameOrNumber::<T>(PhantomData)).map(|number| Self(number, PhantomData))
    }
}

/// `repeated`, of at most `MAX` members so that `{},{},…` cannot buy more memory than it sends; null is none.
pub(super) struct List<T, const MAX: usize>(pub(super) Vec<T>);

impl<T, const MAX: usize> Default for List<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: serde::Deserialize<'de>, const MAX: usize> serde::Deserialize<'de> for List<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: serde::Deserialize<'de>, const MAX: usize> Visitor<'de> for Members<T, MAX> {
            type Value = List<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while list.len() < MAX {
                    match members.next_element()? {
                        Some(member) => list.push(member),
                        None => return Ok(List(list)),
                    }
                }
                match members.next_element::<IgnoredAny>()? {
                    Some(_) => Err(A::Error::custom(format_args!("more than {MAX} members"))),
                    None => Ok(List(list)),
                }
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(List::default())
            }
        }

        deserializer.deserialize_any(Members::<T, MAX>(PhantomData))
    }
}

/// As much of a client's text as belongs into a message.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 64;
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn base64_is_read_as_go_reads_it() {
        for text in ["+/8=", "+/8", "-_8=", "-_8", "+/\n8=\r\n", "+/9="] {
            assert_eq!(decoded(text).as_deref(), Ok(&[0xfb, 0xff][..]), "{text:?}");
        }
        assert_eq!(decoded("").as_deref(), Ok(&[][..]));
        for text in ["+_8=", "*", "+/8= ", "A"] {
            assert!(decoded(text).is_err(), "{text:?}");
        }
    }
}
