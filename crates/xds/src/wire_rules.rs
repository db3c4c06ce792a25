//! What Envoy's API asks of values, held against resources that come over xDS: the rules that bootstraps are held to, found in
//! the bytes as they came.
//!
//! Shape       descriptors and rules -> 1 [`Checks`] of a process, made for the first resource -> a walk over each resource
//! Errors      the first field that breaks a rule, and why
//! Cost        messages without rules below them are passed over; otherwise no allocation but for fields that break a rule
//! Source      protoc-gen-validate's rules in Envoy's protobuf files; who answers with a NACK is Envoy's `MessageUtil::validate`

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::bootstrap::{Path, pool, rules};
use crate::codec::DecodeError;

const ANY: &str = "google.protobuf.Any";

/// # Errors
/// The first thing that is wrong with a message of that type; what is no such message is for the decoder to say.
pub fn check_rules(type_name: &str, body: &[u8]) -> Result<(), DecodeError> {
    static CHECKS: LazyLock<Checks> = LazyLock::new(Checks::new);
    let Some(at) = CHECKS.by_name.get(type_name) else { return Ok(()) };
    CHECKS.message(*at, body, Path::Top)
}

/// All messages with something to check in them or below them.
#[derive(Debug, Default)]
struct Checks {
    messages: Vec<MessageCheck>,
    by_name: HashMap<Box<str>, usize>,
}

#[derive(Debug, Default)]
struct MessageCheck {
    /// By number.
    fields: Vec<FieldCheck>,
    needs: Vec<Need>,
}

/// Of these fields, by their places, one must be there.
#[derive(Debug)]
struct Need {
    name: Box<str>,
    places: Vec<usize>,
    reason: Box<str>,
}

#[derive(Debug)]
struct FieldCheck {
    number: u32,
    name: Box<str>,
    is_list: bool,
    value: ValueCheck,
    rules: rules::FieldRules,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ValueCheck {
    Any,
    /// Of a map.
    Entry(Option<usize>),
    Message(usize),
    Scalar(Scalar),
    /// The wrapper of a scalar.
    Wrapper(Scalar),
    Duration,
    /// Only whether it is there.
    Opaque,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scalar {
    Bool,
    Bytes,
    Double,
    Float,
    Signed,
    Text,
    Unsigned,
}

impl Checks {
    fn new() -> Self {
        let pool = pool();
        let messages: Vec<_> = pool.all_messages().filter(|message| !is_well_known(message)).collect();
        let wanted = with_checks(&messages);
        let mut checks = Self::default();
        for message in messages.iter().filter(|message| wanted.contains(message.full_name())) {
            checks.by_name.insert(message.full_name().into(), checks.by_name.len());
        }
        checks.messages = messages
            .iter()
            .filter(|message| wanted.contains(message.full_name()))
            .map(|message| checks.compile(message))
            .collect();
        checks
    }

    fn compile(&self, message: &MessageDescriptor) -> MessageCheck {
        let needs = rules::needs(message);
        let is_needed = |name: &str| {
            needs.iter().any(|need| match need {
                rules::Need::Field(field) => field == name,
                rules::Need::OneOf(_, fields) => fields.iter().any(|field| field == name),
            })
        };
        let mut fields: Vec<_> = message.fields().collect();
        fields.sort_by_key(FieldDescriptor::number);
        let check = |field: FieldDescriptor| {
            let value = self.value(&field);
            let rules = rules::FieldRules::of(&field);
            let has_none = rules.is_none() && matches!(value, ValueCheck::Opaque | ValueCheck::Entry(None));
            if has_none && !is_needed(field.name()) {
                return None;
            }
            Some(FieldCheck {
                number: field.number(),
                name: field.name().into(),
                is_list: field.is_list(),
                value,
                rules: rules.unwrap_or_default(),
            })
        };
        let fields: Vec<FieldCheck> = fields.into_iter().filter_map(check).collect();
        let place = |name: &String| fields.iter().position(|field| *field.name == **name);
        let needs = needs.iter().map(|need| match need {
            rules::Need::Field(name) => Need {
                name: name.as_str().into(),
                places: place(name).into_iter().collect(),
                reason: "is missing".into(),
            },
            rules::Need::OneOf(name, of) => Need {
                name: name.as_str().into(),
                places: of.iter().filter_map(place).collect(),
                reason: format!("is missing: one of {}", of.join(", ")).into(),
            },
        });
        MessageCheck { needs: needs.collect(), fields }
    }

    fn value(&self, field: &FieldDescriptor) -> ValueCheck {
        let scalar = |kind: &Kind| match kind {
            Kind::Bool => Some(Scalar::Bool),
            Kind::Bytes => Some(Scalar::Bytes),
            Kind::Double => Some(Scalar::Double),
            Kind::Float => Some(Scalar::Float),
            Kind::Enum(_) | Kind::Int32 | Kind::Int64 => Some(Scalar::Signed),
            Kind::String => Some(Scalar::Text),
            Kind::Uint32 | Kind::Uint64 => Some(Scalar::Unsigned),
            _ => None,
        };
        let kind = field.kind();
        let Some(message) = kind.as_message() else {
            let has_rules = rules::FieldRules::of(field).is_some();
            return scalar(&kind).filter(|_| has_rules).map_or(ValueCheck::Opaque, ValueCheck::Scalar);
        };
        if field.is_map() {
            let value = message.map_entry_value_field().kind();
            let inner = value.as_message().and_then(|message| self.by_name.get(message.full_name()).copied());
            let is_any = value.as_message().is_some_and(|message| message.full_name() == ANY);
            return if is_any { ValueCheck::Entry(Some(usize::MAX)) } else { ValueCheck::Entry(inner) };
        }
        match message.full_name() {
            ANY => ValueCheck::Any,
            "google.protobuf.Duration" => ValueCheck::Duration,
            name if name.starts_with("google.protobuf.")
                && name.ends_with("Value")
                && name != "google.protobuf.Value" =>
            {
                let inner = message.get_field(1).and_then(|inner| scalar(&inner.kind()));
                let has_rules = rules::FieldRules::of(field).is_some();
                inner.filter(|_| has_rules).map_or(ValueCheck::Opaque, ValueCheck::Wrapper)
            }
            name => self.by_name.get(name).map_or(ValueCheck::Opaque, |at| ValueCheck::Message(*at)),
        }
    }

    fn message(&self, at: usize, body: &[u8], path: Path<'_>) -> Result<(), DecodeError> {
        let Some(message) = self.messages.get(at) else { return Ok(()) };
        let mut few = [0_u32; 24];
        let mut many = Vec::new();
        let counts = match few.get_mut(..message.fields.len()) {
            Some(counts) => counts,
            None => {
                many.resize(message.fields.len(), 0);
                many.as_mut_slice()
            }
        };
        let mut rest = body;
        while rest.has_remaining() {
            // What is broken here is for the decoder to say.
            let Ok((number, wire)) = decode_key(&mut rest) else { return Ok(()) };
            let Ok(place) = message.fields.binary_search_by_key(&number, |field| field.number) else {
                if skip_field(wire, number, &mut rest, DecodeContext::default()).is_err() {
                    return Ok(());
                }
                continue;
            };
            let field = &message.fields[place];
            let Some(found) = take(wire, number, &mut rest) else { return Ok(()) };
            let path = Path::Field(&path, &field.name);
            let index = counts[place] as usize;
            counts[place] += 1;
            if field.is_list {
                self.value_of(field, found, Path::Index(&path, index))?;
            } else {
                self.value_of(field, found, path)?;
            }
        }
        for need in &message.needs {
            if !need.places.iter().any(|place| counts[*place] > 0) {
                return Err(wrong(Path::Field(&path, &need.name), &*need.reason));
            }
        }
        for (field, count) in message.fields.iter().zip(counts.iter()) {
            if let Some(reason) = field.rules.broken_by_count(*count as usize) {
                return Err(wrong(Path::Field(&path, &field.name), reason));
            }
        }
        Ok(())
    }

    fn value_of(&self, field: &FieldCheck, found: Found<'_>, path: Path<'_>) -> Result<(), DecodeError> {
        match (field.value, found) {
            (ValueCheck::Message(at), Found::Bytes(bytes)) => self.message(at, bytes, path),
            (ValueCheck::Any, Found::Bytes(bytes)) => self.any(bytes, path),
            (ValueCheck::Entry(inner), Found::Bytes(bytes)) => {
                let (key, value) = parts(bytes);
                let key = key.and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
                if let Some(reason) = field.rules.broken_by_key(key) {
                    return Err(wrong(path, reason));
                }
                let path = Path::Key(&path, key);
                match (inner, value) {
                    (Some(usize::MAX), value) => self.any(value.unwrap_or_default(), path),
                    (Some(at), value) => self.message(at, value.unwrap_or_default(), path),
                    (None, _) => Ok(()),
                }
            }
            (ValueCheck::Duration, Found::Bytes(bytes)) => {
                let [seconds, nanos] = numbers(bytes);
                broken(field.rules.broken_by_duration(seconds as i64, nanos as i64), path)
            }
            (ValueCheck::Wrapper(scalar), Found::Bytes(bytes)) => {
                let inner = first(bytes).unwrap_or(if matches!(scalar, Scalar::Text | Scalar::Bytes) {
                    Found::Bytes(&[])
                } else {
                    Found::Number(0)
                });
                broken(scalar_problem(&field.rules, scalar, inner), path)
            }
            (ValueCheck::Scalar(scalar), Found::Bytes(mut bytes))
                if !matches!(scalar, Scalar::Text | Scalar::Bytes) =>
            {
                // Packed.
                while bytes.has_remaining() {
                    let number = match scalar {
                        Scalar::Double if bytes.len() >= 8 => bytes.get_u64_le(),
                        Scalar::Float if bytes.len() >= 4 => bytes.get_u32_le().into(),
                        _ => match decode_varint(&mut bytes) {
                            Ok(number) => number,
                            Err(_) => return Ok(()),
                        },
                    };
                    broken(scalar_problem(&field.rules, scalar, Found::Number(number)), path)?;
                }
                Ok(())
            }
            (ValueCheck::Scalar(scalar), found) => broken(scalar_problem(&field.rules, scalar, found), path),
            _ => Ok(()),
        }
    }

    /// A type that is not known here is for the decoder.
    fn any(&self, bytes: &[u8], path: Path<'_>) -> Result<(), DecodeError> {
        let (Some(url), body) = parts(bytes) else { return Ok(()) };
        let name = std::str::from_utf8(url).ok().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
        self.by_name.get(name).map_or(Ok(()), |at| self.message(*at, body.unwrap_or_default(), path))
    }
}

/// A value on the wire.
#[derive(Clone, Copy)]
enum Found<'b> {
    Bytes(&'b [u8]),
    Number(u64),
}

fn scalar_problem(rules: &rules::FieldRules, scalar: Scalar, found: Found<'_>) -> Option<String> {
    match (scalar, found) {
        (Scalar::Text, Found::Bytes(bytes)) => rules.broken_by_text(std::str::from_utf8(bytes).ok()?),
        (Scalar::Bytes, Found::Bytes(bytes)) => rules.broken_by_bytes(bytes),
        (Scalar::Bool, Found::Number(number)) => rules.broken_by_bool(number != 0),
        (Scalar::Double, Found::Number(number)) => rules.broken_by_number(f64::from_bits(number)),
        (Scalar::Float, Found::Number(number)) => rules.broken_by_number(f32::from_bits(number as u32).into()),
        (Scalar::Signed, Found::Number(number)) => rules.broken_by_integer(number as i64),
        (Scalar::Unsigned, Found::Number(number)) => rules.broken_by_number(number as f64),
        _ => None,
    }
}

fn take<'b>(wire: WireType, number: u32, rest: &mut &'b [u8]) -> Option<Found<'b>> {
    match wire {
        WireType::LengthDelimited => {
            let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
            let (bytes, after) = rest.split_at_checked(length)?;
            *rest = after;
            Some(Found::Bytes(bytes))
        }
        WireType::Varint => decode_varint(rest).ok().map(Found::Number),
        WireType::SixtyFourBit => (rest.len() >= 8).then(|| Found::Number(rest.get_u64_le())),
        WireType::ThirtyTwoBit => (rest.len() >= 4).then(|| Found::Number(rest.get_u32_le().into())),
        WireType::StartGroup | WireType::EndGroup => {
            skip_field(wire, number, rest, DecodeContext::default()).ok()?;
            None
        }
    }
}

/// Fields 1 and 2, where they are bytes: of an `Any`, of an entry of a map.
fn parts(mut rest: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    let mut found = (None, None);
    while let Ok((number, wire)) = decode_key(&mut rest) {
        match (number, take(wire, number, &mut rest)) {
            (1, Some(Found::Bytes(bytes))) => found.0 = Some(bytes),
            (2, Some(Found::Bytes(bytes))) => found.1 = Some(bytes),
            (_, Some(_)) => {}
            (_, None) => break,
        }
    }
    found
}

/// Fields 1 and 2, where they are numbers.
fn numbers(mut rest: &[u8]) -> [u64; 2] {
    let mut found = [0; 2];
    while let Ok((number, wire)) = decode_key(&mut rest) {
        match (number, take(wire, number, &mut rest)) {
            (1, Some(Found::Number(seconds))) => found[0] = seconds,
            (2, Some(Found::Number(nanos))) => found[1] = nanos,
            (_, Some(_)) => {}
            (_, None) => break,
        }
    }
    found
}

fn first(mut rest: &[u8]) -> Option<Found<'_>> {
    let (number, wire) = decode_key(&mut rest).ok()?;
    take(wire, number, &mut rest)
}

fn broken(reason: Option<String>, path: Path<'_>) -> Result<(), DecodeError> {
    reason.map_or(Ok(()), |reason| Err(wrong(path, reason)))
}

fn wrong(path: Path<'_>, reason: impl Into<String>) -> DecodeError {
    DecodeError { field: path.to_string(), reason: reason.into() }
}

fn is_well_known(message: &MessageDescriptor) -> bool {
    message.full_name().starts_with("google.protobuf.") || message.is_map_entry()
}

/// The names of messages with rules, or with messages that have some.
fn with_checks(messages: &[MessageDescriptor]) -> HashSet<String> {
    let has_own = |message: &MessageDescriptor| {
        !rules::needs(message).is_empty()
            || message.fields().any(|field| {
                rules::FieldRules::of(&field).is_some() || inner(&field).is_some_and(|inner| inner.full_name() == ANY)
            })
    };
    let mut wanted: HashSet<String> =
        messages.iter().filter(|message| has_own(message)).map(|message| message.full_name().to_owned()).collect();
    loop {
        let is_new = |message: &&MessageDescriptor| {
            let below = |field: FieldDescriptor| inner(&field).is_some_and(|inner| wanted.contains(inner.full_name()));
            !wanted.contains(message.full_name()) && message.fields().any(below)
        };
        let new: Vec<_> = messages.iter().filter(is_new).map(|message| message.full_name().to_owned()).collect();
        if new.is_empty() {
            return wanted;
        }
        wanted.extend(new);
    }
}

/// The type of the messages in a field, or in the values of a map.
fn inner(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let message = field.kind().as_message()?.clone();
    if field.is_map() { message.map_entry_value_field().kind().as_message().cloned() } else { Some(message) }
}

#[cfg(test)]
mod tests;
