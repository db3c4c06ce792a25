//! A serde deserializer over a [`Tree`] that notes unknown fields and goes on, and that can be run again without the
//! values that were of a wrong type, so that all problems of a document come out.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, MapAccess, SeqAccess, Unexpected,
};
use serde::de::{VariantAccess, Visitor};

use super::{Tree, Value};

/// A problem before it knows its file.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) message: String,
}

#[derive(Default)]
struct Notes {
    findings: Vec<Finding>,
    /// Paths of values that do not fit; left out in the next round.
    unfit: Vec<String>,
}

/// Bound on rounds: one for each wrong value that is reported.
const MOST_WRONG_VALUES: usize = 20;

/// The value as far as it can be read, and all that is wrong.
pub(crate) fn read<T: DeserializeOwned + Default>(tree: &Tree, path: &str) -> (T, Vec<Finding>) {
    let notes = RefCell::new(Notes::default());
    for _ in 0..MOST_WRONG_VALUES {
        notes.borrow_mut().findings.retain(|finding| !finding.message.starts_with("unknown field"));
        let error = match T::deserialize(Reader { tree, path: path.to_owned(), notes: &notes }) {
            Ok(value) => return (value, notes.into_inner().findings),
            Err(error) => error,
        };
        let mut notes = notes.borrow_mut();
        let at = error.path.unwrap_or_else(|| path.to_owned());
        let stuck = notes.unfit.contains(&at);
        notes.findings.push(Finding { path: at.clone(), message: error.message });
        notes.unfit.push(at);
        if stuck {
            break;
        }
    }
    (T::default(), notes.into_inner().findings)
}

#[derive(Debug)]
struct ReadError {
    path: Option<String>,
    message: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl serde::de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { path: None, message: message.to_string() }
    }

    /// serde names the Rust type that a number does not fit.
    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let most = match expected.to_string().as_str() {
            "u16" => u64::from(u16::MAX),
            "u32" => u64::from(u32::MAX),
            _ => return Self::custom(format!("invalid value: {unexpected}, expected {expected}")),
        };
        Self::custom(format!("expected a whole number from 0 to {most}, found {unexpected}"))
    }
}

#[derive(Clone)]
struct Reader<'a> {
    tree: &'a Tree,
    path: String,
    notes: &'a RefCell<Notes>,
}

impl<'a> Reader<'a> {
    fn read<'de, S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, ReadError>
    where
        'a: 'de,
    {
        let path = self.path.clone();
        seed.deserialize(self).map_err(|error| ReadError { path: error.path.or(Some(path)), ..error })
    }

    fn is_left_out(&self) -> bool {
        matches!(self.tree.value, Value::Null) || self.notes.borrow().unfit.contains(&self.path)
    }

    fn expected(&self, what: &str) -> ReadError {
        let hint = match (&self.tree.value, what) {
            (Value::Int(_) | Value::Float(_) | Value::Bool(_), "a text") => "; put it in quotes",
            _ => "",
        };
        ReadError::custom(format!("expected {what}, found {}{hint}", self.tree.value.describe()))
    }

    fn entries<'de, V: Visitor<'de>>(self, fields: &[&str], visitor: V) -> Result<V::Value, ReadError>
    where
        'a: 'de,
    {
        let Value::Map(entries) = &self.tree.value else { return Err(self.expected("an object")) };
        let mut kept = Vec::new();
        for (name, _, child) in entries {
            let path = if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
            let reader = Reader { tree: child, path, notes: self.notes };
            if !fields.is_empty() && !fields.contains(&name.as_str()) {
                let message = unknown("field", name, fields);
                self.notes.borrow_mut().findings.push(Finding { path: reader.path, message });
            } else if !reader.is_left_out() {
                kept.push((name.as_str(), reader));
            }
        }
        visitor.visit_map(Entries { rest: kept.into_iter(), value: None })
    }
}

/// "unknown field `hots`, did you mean `host`?"
pub(crate) fn unknown(what: &str, word: &str, valid: &[&str]) -> String {
    let nearest = valid
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&word.to_lowercase(), &name.to_lowercase()), *name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len().min(word.len()) / 4);
    match nearest {
        Some((_, name)) => format!("unknown {what} `{word}`, did you mean `{name}`?"),
        None => format!("unknown {what} `{word}`; valid are {}", valid.join(", ")),
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            match self.tree.value {
                Value::Int(number) => visitor.visit_i64(number),
                _ => Err(self.expected("a whole number")),
            }
        }
    )*};
}

impl<'de, 'a: 'de> Deserializer<'de> for Reader<'a> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.tree.value {
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Int(number) => visitor.visit_i64(*number),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.entries(&[], visitor),
            Value::Null => visitor.visit_unit(),
            Value::Text(text) => visitor.visit_str(text),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.tree.value {
            Value::Bool(flag) => visitor.visit_bool(flag),
            _ => Err(self.expected("true or false")),
        }
    }

    integers! { deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.tree.value {
            Value::Int(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            _ => Err(self.expected("a number")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.tree.value {
            Value::Text(text) => visitor.visit_str(text),
            _ => Err(self.expected("a text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.is_left_out() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let Value::List(items) = &self.tree.value else { return Err(self.expected("a list")) };
        let items: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(index, tree)| Reader { tree, path: format!("{}[{index}]", self.path), notes: self.notes })
            .filter(|item| !item.is_left_out())
            .collect();
        visitor.visit_seq(Items(items.into_iter()))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.entries(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.entries(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let Value::Text(text) = &self.tree.value else { return Err(self.expected("a text")) };
        if variants.contains(&text.as_str()) {
            visitor.visit_enum(Word(text))
        } else {
            Err(ReadError::custom(unknown("value", text, variants)))
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! { char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any }
}

struct Items<'a>(std::vec::IntoIter<Reader<'a>>);

impl<'de, 'a: 'de> SeqAccess<'de> for Items<'a> {
    type Error = ReadError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, ReadError> {
        self.0.next().map(|item| item.read(seed)).transpose()
    }
}

struct Entries<'a> {
    rest: std::vec::IntoIter<(&'a str, Reader<'a>)>,
    value: Option<Reader<'a>>,
}

impl<'de, 'a: 'de> MapAccess<'de> for Entries<'a> {
    type Error = ReadError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, ReadError> {
        let Some((name, reader)) = self.rest.next() else { return Ok(None) };
        self.value = Some(reader);
        seed.deserialize(StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ReadError> {
        self.value.take().ok_or_else(|| ReadError::custom("a value without its key"))?.read(seed)
    }
}

struct Word<'a>(&'a str);

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), ReadError> {
        Ok((seed.deserialize(StrDeserializer::new(self.0))?, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'_> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _seed: S) -> Result<S::Value, ReadError> {
        Err(ReadError::custom("expected one word"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, ReadError> {
        Err(ReadError::custom("expected one word"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, ReadError> {
        Err(ReadError::custom("expected one word"))
    }
}
