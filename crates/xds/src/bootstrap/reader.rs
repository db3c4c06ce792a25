//! A tree of YAML or JSON as the message it describes, with the place of everything that is wrong.
//!
//! Shape       1 [`Reader`] -> n [`Plan`] (a message type) -> n [`FieldPlan`], made when first met
//! Errors      unknown names, wrong types, and fields that would have no effect here: all of them are reported
//! Cost        values go straight to the wire format; places are put into words only when something is reported
//! Source      proto3 JSON mapping; prost-reflect reads the unusual values, but knows no places, so the walk is ours

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use leno_proto::BOOTSTRAP_DESCRIPTORS;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};
use serde_json::Value as Json;

use super::fields::{Support, support};
use super::leaf::{is_zero, leaf, write_plain};
use super::rules::{self, FieldRules, Need};
use super::tree::{Entry, Tree, Value, camel_case};
use super::wire::Wire;

const ANY: &str = "google.protobuf.Any";
const TYPE: &str = "@type";

/// Envoy's API. Several megabytes, so whoever has read a file lets go of it.
pub(crate) fn pool() -> DescriptorPool {
    DescriptorPool::decode(BOOTSTRAP_DESCRIPTORS).expect("the descriptors are in the repository")
}

/// Reads one file.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Line, field, reason.
    pub(super) problems: Vec<(usize, String, String)>,
    pool: DescriptorPool,
    /// What would have to be there may be elsewhere.
    is_partial: bool,
    plans: HashMap<String, Plan>,
    needs: HashMap<String, Rc<[Need]>>,
}

/// The fields of a message type by the names they were written with; `None`: there is no such field.
type Plan = HashMap<String, Option<Rc<FieldPlan>>>;

#[derive(Debug)]
struct FieldPlan {
    field: FieldDescriptor,
    support: Support,
    /// The type of the messages in it whose values have places of their own.
    inner: Option<MessageDescriptor>,
    /// Only one field of a oneof may be there.
    oneof: Option<String>,
    rules: Option<FieldRules>,
}

/// The way from the top of the file to a value.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Field(&'a Self, &'a str),
    Index(&'a Self, usize),
    Key(&'a Self, &'a str),
    Top,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(Path::Top, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Self::Key(parent, key) => write!(f, "{parent}[{key}]"),
            Self::Top => Ok(()),
        }
    }
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { problems: Vec::new(), pool: pool(), is_partial: false, plans: HashMap::new(), needs: HashMap::new() }
    }

    /// The message of that name, one of the roots of the descriptors, as far as it can be read.
    pub(super) fn read(&mut self, name: &str, tree: &Tree) -> Wire {
        let descriptor = self.pool.get_message_by_name(name).expect("it is a root of the descriptors");
        let mut bytes = Vec::new();
        self.write_message(&descriptor, tree, Path::Top, &mut bytes);
        Wire::new(descriptor, bytes)
    }

    /// The bytes of a message, or a part of one, in JSON; `name` is one that the descriptors have.
    ///
    /// # Errors
    /// Field and reason of everything that is wrong.
    pub(crate) fn read_value(
        &mut self,
        name: &str,
        value: &Json,
        is_partial: bool,
    ) -> Result<Vec<u8>, Vec<(String, String)>> {
        self.is_partial = is_partial;
        let tree = Tree::without_lines(&value.to_string()).ok_or_else(Vec::new)?;
        let bytes = self.read(name, &tree).bytes().to_vec();
        let problems = std::mem::take(&mut self.problems);
        if problems.is_empty() {
            return Ok(bytes);
        }
        Err(problems.into_iter().map(|(_, field, reason)| (field, reason)).collect())
    }

    pub(crate) const fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    fn write_message(&mut self, descriptor: &MessageDescriptor, tree: &Tree, path: Path<'_>, out: &mut Vec<u8>) {
        if matches!(tree.value, Value::Null) {
            return;
        }
        let Some(entries) = tree.entries() else { return self.report(tree.line, path, "must be an object") };
        let mut written: Vec<Rc<FieldPlan>> = Vec::with_capacity(entries.len());
        let mut has_unknown = false;
        for entry in entries.iter().filter(|entry| entry.key != TYPE) {
            let Some(plan) = self.plan(descriptor, &entry.key) else {
                let reason = unknown(descriptor, &entry.key);
                self.report(entry.line, Path::Field(&path, &entry.key), reason);
                has_unknown = true;
                continue;
            };
            if matches!(entry.tree.value, Value::Null) {
                continue;
            }
            let path = Path::Field(&path, plan.field.name());
            if written.iter().any(|other| other.field == plan.field) {
                self.report(entry.line, path, "is there twice");
                continue;
            }
            let other = written.iter().find(|other| plan.oneof.is_some() && other.oneof == plan.oneof);
            if let Some(other) = other {
                self.report(entry.line, path, format!("cannot be set together with {}", other.field.name()));
                continue;
            }
            if self.write_supported(&plan, &entry.tree, path, entry.line, out) {
                if let Some(reason) = plan.rules.as_ref().and_then(|rules| rules.broken(&entry.tree)) {
                    self.report(entry.line, path, reason);
                }
                written.push(plan);
            }
        }
        // What is misspelt is probably what would be missing.
        if !has_unknown && !self.is_partial {
            self.check_needs(descriptor, entries, tree.line, path);
        }
    }

    /// What must be there and is not.
    fn check_needs(&mut self, descriptor: &MessageDescriptor, entries: &[Entry], line: usize, path: Path<'_>) {
        let needs = self.needs.get(descriptor.full_name()).cloned().unwrap_or_else(|| {
            let needs: Rc<[Need]> = rules::needs(descriptor).into();
            self.needs.insert(descriptor.full_name().to_owned(), needs.clone());
            needs
        });
        let has = |name: &str| {
            let mut entries = entries.iter().filter(|entry| !matches!(entry.tree.value, Value::Null));
            entries.any(|entry| entry.key == name || entry.key == camel_case(name))
        };
        for need in needs.iter() {
            match need {
                Need::Field(name) if !has(name) => self.report(line, Path::Field(&path, name), "is missing"),
                Need::OneOf(name, fields) if !fields.iter().any(|field| has(field)) => {
                    let reason = format!("is missing: one of {}", fields.join(", "));
                    self.report(line, Path::Field(&path, name), reason);
                }
                Need::Field(_) | Need::OneOf(..) => {}
            }
        }
    }

    fn plan(&mut self, descriptor: &MessageDescriptor, key: &str) -> Option<Rc<FieldPlan>> {
        if let Some(plan) = self.plans.get(descriptor.full_name()).and_then(|plan| plan.get(key)) {
            return plan.clone();
        }
        let plan = field(descriptor, key).map(|field| {
            Rc::new(FieldPlan {
                support: support(descriptor.full_name(), field.name()),
                inner: inner_message(&field),
                oneof: field.containing_oneof().map(|oneof| oneof.name().to_owned()),
                rules: FieldRules::of(&field),
                field,
            })
        });
        let of_message = self.plans.entry(descriptor.full_name().to_owned()).or_default();
        of_message.insert(key.to_owned(), plan.clone());
        plan
    }

    /// `false` when it was reported.
    fn write_supported(
        &mut self,
        plan: &FieldPlan,
        tree: &Tree,
        path: Path<'_>,
        line: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let (reason, may_be_off) = match plan.support {
            Support::Full => return self.write_field(plan, tree, path, line, out),
            Support::No => ("is not supported", false),
            Support::NotHere(reason) => (reason, false),
            Support::OffOnly => ("is not supported", true),
        };
        // What was written but says nothing.
        let field = &plan.field;
        let is_off = match leaf(field, &tree.to_json()) {
            Ok(message) if may_be_off => is_zero(&message.get_field(field)),
            Ok(message) => !field.supports_presence() && message.get_field(field).is_default_for_field(field),
            Err(_) => false,
        };
        if !is_off {
            self.report(line, path, reason);
        }
        false
    }

    fn write_field(&mut self, plan: &FieldPlan, tree: &Tree, path: Path<'_>, line: usize, out: &mut Vec<u8>) -> bool {
        let FieldPlan { field, .. } = plan;
        let Some(message) = &plan.inner else { return self.write_leaf(field, tree, path, line, out) };
        if field.is_map() {
            let Some(entries) = tree.entries() else {
                self.report(line, path, "must be an object");
                return false;
            };
            for entry in entries {
                // A map's entry is a message of key and value.
                nested(field.number(), out, |out| {
                    write_bytes(1, entry.key.as_bytes(), out);
                    let path = Path::Key(&path, &entry.key);
                    nested(2, out, |out| self.write_inner(message, &entry.tree, path, out));
                });
            }
            return true;
        }
        if !field.is_list() {
            nested(field.number(), out, |out| self.write_inner(message, tree, path, out));
            return true;
        }
        let Value::List(items) = &tree.value else {
            self.report(line, path, "must be a list");
            return false;
        };
        for (index, item) in items.iter().enumerate() {
            let path = Path::Index(&path, index);
            nested(field.number(), out, |out| self.write_inner(message, item, path, out));
        }
        true
    }

    fn write_inner(&mut self, descriptor: &MessageDescriptor, tree: &Tree, path: Path<'_>, out: &mut Vec<u8>) {
        if descriptor.full_name() == ANY {
            self.write_any(tree, path, out);
        } else {
            self.write_message(descriptor, tree, path, out);
        }
    }

    /// A message of a type that Leno does not have stays closed: whoever it is for says what is missing.
    fn write_any(&mut self, tree: &Tree, path: Path<'_>, out: &mut Vec<u8>) {
        let entries = tree.entries().unwrap_or_default();
        let Some(type_url) = entries.iter().find(|entry| entry.key == TYPE).and_then(|entry| entry.tree.text()) else {
            return self.report(tree.line, path, "has no @type");
        };
        let name = type_url.rsplit('/').next().unwrap_or_default();
        write_bytes(1, type_url.as_bytes(), out);
        if let Some(descriptor) = self.pool.get_message_by_name(name) {
            nested(2, out, |out| self.write_message(&descriptor, tree, path, out));
        }
    }

    fn write_leaf(
        &mut self,
        field: &FieldDescriptor,
        tree: &Tree,
        path: Path<'_>,
        line: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        if write_plain(field, tree, out) {
            return true;
        }
        match leaf(field, &tree.to_json()) {
            Ok(message) => {
                out.extend_from_slice(&message.encode_to_vec());
                true
            }
            Err(reason) => {
                self.report(line, path, reason);
                false
            }
        }
    }

    fn report(&mut self, line: usize, field: Path<'_>, reason: impl Into<String>) {
        self.problems.push((line, field.to_string(), reason.into()));
    }
}

/// Writes a length-delimited field whose content `write` appends.
fn nested(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    encode_key(number, WireType::LengthDelimited, out);
    let start = out.len();
    write(out);
    let mut length = Vec::with_capacity(5);
    encode_varint((out.len() - start) as u64, &mut length);
    out.splice(start..start, length);
}

pub(super) fn write_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// By the name in the API, or by its JSON name.
fn field(descriptor: &MessageDescriptor, key: &str) -> Option<FieldDescriptor> {
    descriptor.get_field_by_name(key).or_else(|| descriptor.get_field_by_json_name(key))
}

fn unknown(descriptor: &MessageDescriptor, key: &str) -> String {
    let near = descriptor
        .fields()
        .map(|field| (strsim::damerau_levenshtein(field.name(), key), field.name().to_owned()))
        .filter(|(distance, _)| *distance <= key.len() / 3)
        .min();
    let message = descriptor.full_name();
    near.map_or_else(
        || format!("{message} has no such field"),
        |(_, name)| format!("{message} has no such field; did you mean {name}?"),
    )
}

/// The type of the messages in a field whose values have places of their own. Well-known types are values like numbers,
/// but for `Any`.
fn inner_message(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let kind = field.kind();
    let message = kind.as_message()?.clone();
    let message = if field.is_map() { message.map_entry_value_field().kind().as_message().cloned()? } else { message };
    (!message.full_name().starts_with("google.protobuf.") || message.full_name() == ANY).then_some(message)
}
