use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_saphyr::Spanned;

use super::yaml;

/// A value of the file and the line it begins in, from 1.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    List(Vec<Tree>),
    Map(Vec<Entry>),
    Null,
    Scalar(Json),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) tree: Tree,
}

impl Tree {
    /// JSON, many times faster than as the YAML that it is, or YAML; without lines, which cost as much again. `None`: neither.
    pub(super) fn without_lines(text: &str) -> Option<Self> {
        let json = serde_json::from_str(text).ok();
        json.or_else(|| yaml::read(text).ok()).map(|Unplaced(tree)| tree)
    }

    pub(super) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Json::String(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|entry| (entry.key.clone(), entry.tree.to_json())).collect())
            }
            Value::Null => Json::Null,
            Value::Scalar(value) => value.clone(),
        }
    }

    /// The line of `static_resources.listeners[0].address`, or of the nearest parent that is there.
    pub(super) fn line_of(&self, path: &str) -> usize {
        self.follow(path).0
    }

    /// The value at a path, in either spelling of its names; `None` when it is not there.
    pub(super) fn at(&self, path: &str) -> Option<&Self> {
        self.follow(path).1
    }

    fn follow(&self, path: &str) -> (usize, Option<&Self>) {
        let (mut at, mut line) = (self, self.line);
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            let index = step.strip_suffix(']').and_then(|index| index.parse::<usize>().ok());
            let next = match (&at.value, index) {
                (Value::List(items), Some(index)) => items.get(index).map(|item| (item.line, item)),
                (Value::Map(entries), None) => entries
                    .iter()
                    .find(|entry| entry.key == step || entry.key == camel_case(step))
                    .map(|entry| (entry.line, &entry.tree)),
                _ => None,
            };
            let Some(next) = next else { return (line, None) };
            (line, at) = next;
        }
        (line, Some(at))
    }
}

/// The JSON name that protobuf gives a field (`json_name`).
pub(super) fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut text = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    text
}

/// How the places of values are found out.
trait Places<'de> {
    type Child: Deserialize<'de> + Into<Tree>;
    type Key: Deserialize<'de> + Into<(String, usize)>;
}

/// By the reader of YAML.
struct Known;

/// Not at all: every line is 0.
struct Unknown;

/// A value whose place is not known.
struct Unplaced(Tree);

struct PlacedKey(Spanned<String>);
struct UnplacedKey(String);

impl Places<'_> for Known {
    type Child = Tree;
    type Key = PlacedKey;
}

impl Places<'_> for Unknown {
    type Child = Unplaced;
    type Key = UnplacedKey;
}

impl From<Unplaced> for Tree {
    fn from(Unplaced(tree): Unplaced) -> Self {
        tree
    }
}

impl From<PlacedKey> for (String, usize) {
    fn from(PlacedKey(key): PlacedKey) -> Self {
        let line = line(&key);
        (key.value, line)
    }
}

impl From<UnplacedKey> for (String, usize) {
    fn from(UnplacedKey(key): UnplacedKey) -> Self {
        (key, 0)
    }
}

fn line<T>(spanned: &Spanned<T>) -> usize {
    usize::try_from(spanned.referenced.line()).unwrap_or(usize::MAX)
}

impl<'de> Deserialize<'de> for PlacedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for UnplacedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { line: line(&spanned), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Unplaced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(Any::<Unknown>(PhantomData))?;
        Ok(Self(Tree { line: 0, value }))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any::<Known>(PhantomData))
    }
}

struct Any<P>(PhantomData<P>);

impl<'de, P: Places<'de>> Visitor<'de> for Any<P> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<P::Child>()? {
            items.push(item.into());
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<P::Key>()? {
            let (key, line) = key.into();
            entries.push(Entry { key, line, tree: map.next_value::<P::Child>()?.into() });
        }
        Ok(Value::Map(entries))
    }
}
