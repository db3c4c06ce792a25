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
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value as Json;

use super::tree::{Tree, Value};

const DURATION: &str = "google.protobuf.Duration";
/// Longer ones do not fit into the nanoseconds that Envoy counts in, either.
const LONGEST_SECONDS: f64 = 9_223_372_036.0;
const NANOSECONDS: f64 = 1e9;

/// `uint32.gte` and `1`.
type Word = (&'static str, &'static str);

/// Of one field.
#[derive(Debug, Default)]
pub(crate) struct FieldRules {
    words: Vec<Word>,
    /// Of single values, in lists too.
    of_items: Vec<Word>,
    /// The numbers among them, to be compared at once.
    bounds: Vec<Bound>,
    /// How many values there may be is limited.
    is_counted: bool,
    is_duration: bool,
    item: Option<Values>,
}

/// Of an enumeration: its name, and those of its values. Not the descriptor, which would keep all descriptors.
#[derive(Debug)]
struct Values {
    name: String,
    known: Vec<(String, i32)>,
}

/// `gte`, the limit as a number and as text.
type Bound = (&'static str, f64, &'static str);

/// What a message must have.
#[derive(Debug)]
pub(crate) enum Need {
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
pub(crate) fn needs(message: &MessageDescriptor) -> Vec<Need> {
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
    pub(crate) fn of(field: &FieldDescriptor) -> Option<Self> {
        let message = field.parent_message().full_name().to_owned();
        let words = lines(&message).find(|(name, _)| *name == field.name()).map(|(_, words)| words);
        let is_duration = field.kind().as_message().is_some_and(|message| message.full_name() == DURATION);
        let item = match field.kind() {
            Kind::Enum(item) if words.is_some() => Some(Values {
                name: item.name().to_owned(),
                known: item.values().map(|value| (value.name().to_owned(), value.number())).collect(),
            }),
            _ => None,
        };
        let words = words.unwrap_or_default();
        let of_items = if field.is_list() { within(&words, "repeated.items.") } else { words.clone() };
        let bound = |(rule, limit): &Word| {
            let kind = rule.rsplit('.').next().filter(|kind| matches!(*kind, "gt" | "gte" | "lt" | "lte"))?;
            Some((kind, limit.parse().ok()?, *limit))
        };
        let bounds = of_items.iter().filter_map(bound).collect();
        let is_counted = words.iter().any(|(rule, _)| rule.ends_with("_items") || rule.ends_with("_pairs"));
        (is_duration || !words.is_empty()).then_some(Self { words, of_items, bounds, is_counted, is_duration, item })
    }

    /// What is wrong with a value that is of the right type.
    pub(super) fn broken(&self, value: &Tree) -> Option<String> {
        let of_duration = self.is_duration.then(|| value.text().and_then(seconds)).flatten().and_then(|seconds| {
            let is_too_long = seconds >= LONGEST_SECONDS;
            (seconds < 0.0).then(|| "is negative".to_owned()).or(is_too_long.then(|| "is too long".to_owned()))
        });
        of_duration.or_else(|| broken(&self.words, value, self.item.as_ref()))
    }

    /// How often a list or a map may have something; none at all is a [`Need`].
    pub(crate) fn broken_by_count(&self, count: usize) -> Option<String> {
        if count == 0 || !self.is_counted {
            return None;
        }
        of_length(&self.words, "repeated", "items", count).or_else(|| of_length(&self.words, "map", "pairs", count))
    }

    pub(crate) fn broken_by_key(&self, key: &str) -> Option<String> {
        if self.words.is_empty() { None } else { of_text(&within(&self.words, "map.keys."), key) }
    }

    pub(crate) fn broken_by_duration(&self, seconds: i64, nanos: i64) -> Option<String> {
        if seconds < 0 || nanos < 0 {
            return Some("is negative".to_owned());
        }
        let nanoseconds = seconds as f64 * NANOSECONDS + nanos as f64;
        if nanoseconds >= LONGEST_SECONDS * NANOSECONDS {
            return Some("is too long".to_owned());
        }
        let broken = |(kind, limit, _): &Bound| {
            Some(format!("must be {} {}s", past(kind, *limit, nanoseconds)?, limit / NANOSECONDS))
        };
        self.bounds.iter().find_map(broken)
    }

    pub(crate) fn broken_by_text(&self, text: &str) -> Option<String> {
        // The most common rule, by far.
        match self.of_items.as_slice() {
            [("string.min_len", "1")] => text.is_empty().then(|| "is empty".to_owned()),
            words => of_text(words, text),
        }
    }

    pub(crate) fn broken_by_bytes(&self, bytes: &[u8]) -> Option<String> {
        let is_needed = self.of_items.iter().any(|(rule, limit)| *rule == "bytes.min_len" && *limit != "0");
        (is_needed && bytes.is_empty()).then(|| "is empty".to_owned())
    }

    pub(crate) fn broken_by_bool(&self, value: bool) -> Option<String> {
        let wanted = self.of_items.iter().find(|(rule, _)| *rule == "bool.const")?.1;
        (value.to_string() != wanted).then(|| format!("must be {wanted}"))
    }

    pub(crate) fn broken_by_number(&self, value: f64) -> Option<String> {
        let broken = |(kind, limit, text): &Bound| Some(format!("must be {} {text}", past(kind, *limit, value)?));
        self.bounds.iter().find_map(broken)
    }

    /// Values of an enumeration, too.
    pub(crate) fn broken_by_integer(&self, value: i64) -> Option<String> {
        match &self.item {
            Some(item) => of_enum(&self.of_items, &Json::from(value), item),
            None => self.broken_by_number(value as f64),
        }
    }
}

fn within(words: &[Word], prefix: &str) -> Vec<Word> {
    words.iter().filter_map(|(rule, limit)| Some((rule.strip_prefix(prefix)?, *limit))).collect()
}

fn broken(words: &[Word], value: &Tree, item: Option<&Values>) -> Option<String> {
    match &value.value {
        Value::List(items) => {
            let of_items = within(words, "repeated.items.");
            of_length(words, "repeated", "items", items.len())
                .or_else(|| {
                    let is_unique = words.iter().any(|(rule, _)| *rule == "repeated.unique");
                    let different: BTreeSet<_> = items.iter().map(|item| item.to_json().to_string()).collect();
                    (is_unique && different.len() < items.len()).then(|| "has a value twice".to_owned())
                })
                .or_else(|| items.iter().find_map(|value| broken(&of_items, value, item)))
        }
        Value::Map(entries) => of_length(words, "map", "pairs", entries.len()).or_else(|| {
            let of_keys = within(words, "map.keys.");
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

fn of_scalar(words: &[Word], scalar: &Json, item: Option<&Values>) -> Option<String> {
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

fn of_enum(words: &[Word], scalar: &Json, item: &Values) -> Option<String> {
    let named = |text: &str| {
        item.known.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, number)| i64::from(*number))
    };
    let number = scalar.as_i64().or_else(|| named(scalar.as_str()?))?;
    let is_known = item.known.iter().any(|(_, known)| i64::from(*known) == number);
    words.iter().find_map(|(rule, limit)| match *rule {
        "enum.defined_only" if !is_known => Some(format!("{number} is no value of {}", item.name)),
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
    past(rule.rsplit('.').next()?, limit.parse().ok()?, value)
}

fn past(kind: &str, limit: f64, value: f64) -> Option<&'static str> {
    match kind {
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
