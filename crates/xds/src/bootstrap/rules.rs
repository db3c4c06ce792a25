//! What Envoy's API asks of values beyond their types, so that a file which Envoy would not start with is refused here too.
//!
//! Shape       `rules.txt`, one line per field -> [`FieldRules`] of a field that was written, [`Need`]s of a message
//! Units       numbers as they are in the file; durations in nanoseconds
//! Errors      one reason per field: the first rule that is broken
//! Cost        the lines of a message type are looked for once per file; then a comparison or two per value
//! Source      protoc-gen-validate's rules in Envoy's protobuf files, cut out by `cargo xtask descriptors`

use std::collections::BTreeSet;
use std::sync::LazyLock;

use leno_proto::BOOTSTRAP_RULES;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value as Json;

use super::leaf::enum_number;
use super::tree::{Tree, Value};

const DURATION: &str = "google.protobuf.Duration";
/// Longer ones do not fit into the nanoseconds that Envoy counts in, either.
const LONGEST_SECONDS: f64 = 9_223_372_036.0;
const NANOSECONDS: f64 = 1e9;

/// `uint32.gte` and `1`.
type Word = (&'static str, &'static str);

/// Of one field.
#[derive(Debug)]
pub(super) struct FieldRules {
    words: Vec<Word>,
    is_duration: bool,
    item: Option<EnumDescriptor>,
}

/// What a message must have.
#[derive(Debug)]
pub(super) enum Need {
    Field(String),
    /// The name, and the fields of which one must be there.
    OneOf(String, Vec<String>),
}

/// Field, rules.
fn lines(message: &str) -> impl Iterator<Item = (&'static str, Vec<Word>)> {
    static LINES: LazyLock<Vec<&str>> = LazyLock::new(|| BOOTSTRAP_RULES.lines().collect());
    // Sorted by message.
    let start = LINES.partition_point(|line| line.split('\t').next() < Some(message));
    LINES.get(start..).unwrap_or_default().iter().map_while(move |line| {
        let (field, words) = line.strip_prefix(message)?.strip_prefix('\t')?.split_once('\t')?;
        Some((field, words.split('\t').map(|word| word.split_once('=').unwrap_or((word, ""))).collect()))
    })
}

/// What messages of that type must have and would not have by themselves.
pub(super) fn needs(message: &MessageDescriptor) -> Vec<Need> {
    lines(message.full_name())
        .filter_map(|(name, words)| {
            if let Some(oneof) = message.oneofs().find(|oneof| oneof.name() == name) {
                let fields = oneof.fields().map(|field| field.name().to_owned()).collect();
                return Some(Need::OneOf(name.to_owned(), fields));
            }
            let field = message.get_field_by_name(name)?;
            needs_a_value(&field, &words).then(|| Need::Field(name.to_owned()))
        })
        .collect()
}

/// Whether the value that an absent field has breaks a rule.
fn needs_a_value(field: &FieldDescriptor, words: &[Word]) -> bool {
    // Of a oneof, even of one field: required when it is the one that is there.
    let may_be_absent = field.containing_oneof().is_some();
    if !may_be_absent && words.iter().any(|(rule, value)| rule.ends_with(".required") && *value == "true") {
        return true;
    }
    if field.supports_presence() || words.iter().any(|(rule, _)| rule.ends_with(".ignore_empty")) {
        return false;
    }
    words.iter().any(|(rule, limit)| match *rule {
        "bytes.min_len" | "map.min_pairs" | "repeated.min_items" | "string.min_bytes" | "string.min_len" => {
            *limit != "0"
        }
        "enum.not_in" => *limit == "0",
        rule if rule.starts_with("repeated.") || rule.starts_with("map.") => false,
        rule => out_of_range(rule, limit, 0.0).is_some(),
    })
}

impl FieldRules {
    /// `None`: any value of the type will do.
    pub(super) fn of(field: &FieldDescriptor) -> Option<Self> {
        let message = field.parent_message().full_name().to_owned();
        let words = lines(&message).find(|(name, _)| *name == field.name()).map(|(_, words)| words);
        let is_duration = field.kind().as_message().is_some_and(|message| message.full_name() == DURATION);
        let item = match field.kind() {
            Kind::Enum(item) => Some(item),
            _ => None,
        };
        let words = words.unwrap_or_default();
        (is_duration || !words.is_empty()).then_some(Self { words, is_duration, item })
    }

    /// What is wrong with a value that is of the right type.
    pub(super) fn broken(&self, value: &Tree) -> Option<String> {
        let of_duration = self.is_duration.then(|| value.text().and_then(seconds)).flatten().and_then(|seconds| {
            let is_too_long = seconds >= LONGEST_SECONDS;
            (seconds < 0.0).then(|| "is negative".to_owned()).or(is_too_long.then(|| "is too long".to_owned()))
        });
        of_duration.or_else(|| broken(&self.words, value, self.item.as_ref()))
    }
}

fn broken(words: &[Word], value: &Tree, item: Option<&EnumDescriptor>) -> Option<String> {
    let within = |prefix: &str| -> Vec<Word> {
        words.iter().filter_map(|(rule, limit)| Some((rule.strip_prefix(prefix)?, *limit))).collect()
    };
    match &value.value {
        Value::List(items) => {
            let of_items = within("repeated.items.");
            of_length(words, "repeated", "items", items.len())
                .or_else(|| {
                    let is_unique = words.iter().any(|(rule, _)| *rule == "repeated.unique");
                    let different: BTreeSet<_> = items.iter().map(|item| item.to_json().to_string()).collect();
                    (is_unique && different.len() < items.len()).then(|| "has a value twice".to_owned())
                })
                .or_else(|| items.iter().find_map(|value| broken(&of_items, value, item)))
        }
        Value::Map(entries) => of_length(words, "map", "pairs", entries.len()).or_else(|| {
            let of_keys = within("map.keys.");
            entries.iter().find_map(|entry| of_text(&of_keys, &entry.key))
        }),
        Value::Null => None,
        Value::Scalar(scalar) => of_scalar(words, scalar, item),
    }
}

fn of_length(words: &[Word], of: &str, what: &str, length: usize) -> Option<String> {
    let limit = |name: &str| {
        let word = words.iter().find(|(rule, _)| *rule == format!("{of}.{name}_{what}"));
        word.and_then(|(_, limit)| limit.parse::<usize>().ok())
    };
    match (limit("min"), limit("max")) {
        (Some(1), _) if length == 0 => Some("is empty".to_owned()),
        (Some(least), _) if length < least => Some(format!("has {length} {what}, and needs {least}")),
        (_, Some(most)) if length > most => Some(format!("has {length} {what}, and {most} is the most")),
        _ => None,
    }
}

fn of_scalar(words: &[Word], scalar: &Json, item: Option<&EnumDescriptor>) -> Option<String> {
    if let Some(item) = item {
        return of_enum(words, scalar, item);
    }
    if let Some(text) = scalar.as_str()
        && let Some(reason) = of_text(words, text)
    {
        return Some(reason);
    }
    // Numbers may be written as strings.
    let number = scalar.as_f64().or_else(|| scalar.as_str()?.parse().ok());
    let nanoseconds = scalar.as_str().and_then(seconds).map(|seconds| seconds * NANOSECONDS);
    words.iter().find_map(|(rule, limit)| match rule.split_once('.')? {
        ("bool", "const") => (scalar.as_bool()?.to_string() != *limit).then(|| format!("must be {limit}")),
        ("duration", _) => {
            let reason = out_of_range(rule, limit, nanoseconds?)?;
            let limit = limit.parse::<f64>().unwrap_or_default() / NANOSECONDS;
            Some(format!("must be {reason} {limit}s"))
        }
        ("string" | "bytes", _) => None,
        _ => Some(format!("must be {} {limit}", out_of_range(rule, limit, number?)?)),
    })
}

fn of_enum(words: &[Word], scalar: &Json, item: &EnumDescriptor) -> Option<String> {
    let number = scalar.as_i64().or_else(|| enum_number(item, scalar.as_str()?).map(i64::from))?;
    let is_known = i32::try_from(number).is_ok_and(|number| item.get_value(number).is_some());
    words.iter().find_map(|(rule, limit)| match *rule {
        "enum.defined_only" if !is_known => Some(format!("{number} is no value of {}", item.name())),
        "enum.not_in" if limit.parse() == Ok(number) => Some(format!("must not be {scalar}")),
        _ => None,
    })
}

fn of_text(words: &[Word], text: &str) -> Option<String> {
    let is_strict = !words.contains(&("string.strict", "false"));
    if text.is_empty() && words.iter().any(|(rule, _)| *rule == "string.ignore_empty") {
        return None;
    }
    let allowed: Vec<_> = words.iter().filter(|(rule, _)| *rule == "string.in").map(|(_, text)| *text).collect();
    if !allowed.is_empty() && !allowed.contains(&text) {
        return Some(format!("{text:?} is none of {}", allowed.join(", ")));
    }
    words.iter().find_map(|(rule, limit)| {
        let number = || limit.parse::<usize>().ok();
        match *rule {
            "string.min_len" if text.chars().count() < number()? => {
                Some(if text.is_empty() { "is empty".to_owned() } else { format!("is shorter than {limit}") })
            }
            "string.max_len" if text.chars().count() > number()? => Some(format!("is longer than {limit}")),
            "string.max_bytes" if text.len() > number()? => Some(format!("is longer than {limit} bytes")),
            "string.prefix" if !text.starts_with(limit) => Some(format!("{text:?} does not begin with {limit}")),
            "string.suffix" if !text.ends_with(limit) => Some(format!("{text:?} does not end with {limit}")),
            // A header's name, a header's value.
            "string.well_known_regex" if *limit == "1" => {
                (!is_header_name(text, is_strict)).then(|| format!("{text:?} is not a header name"))
            }
            "string.well_known_regex" => text
                .bytes()
                .any(|byte| {
                    matches!(byte, 0 | b'\r' | b'\n') || (is_strict && byte != b'\t' && byte.is_ascii_control())
                })
                .then(|| format!("{text:?} has a control character")),
            _ => None,
        }
    })
}

fn is_header_name(text: &str, is_strict: bool) -> bool {
    let name = text.strip_prefix(':').unwrap_or(text);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_|~`".contains(&byte);
    let is_right = |byte: u8| if is_strict { is_token(byte) } else { !matches!(byte, 0 | b'\r' | b'\n') };
    // Where it may be empty no rule asks for a length, and the rule for names is not what forbids it.
    text.is_empty() || (!name.is_empty() && name.bytes().all(is_right))
}

/// `uint32.gte` and `1`: "at least", when the value is less.
fn out_of_range(rule: &str, limit: &str, value: f64) -> Option<&'static str> {
    let limit: f64 = limit.parse().ok()?;
    match rule.rsplit('.').next()? {
        "gt" if value <= limit => Some("above"),
        "gte" if value < limit => Some("at least"),
        "lt" if value >= limit => Some("below"),
        "lte" if value > limit => Some("at most"),
        _ => None,
    }
}

/// `1.5s`.
fn seconds(text: &str) -> Option<f64> {
    text.strip_suffix('s')?.parse().ok()
}
