//! Values of one document with the place of each.

mod read;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

pub(crate) use read::{Finding, read, unknown};

/// Line and column from 1; 0 where the value did not come from text.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tree {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Float(f64),
    Int(i64),
    List(Vec<Tree>),
    Map(Vec<(String, Place, Tree)>),
    #[default]
    Null,
    Text(String),
}

impl Value {
    pub(crate) const fn describe(&self) -> &'static str {
        match self {
            Self::Bool(_) => "true or false",
            Self::Float(_) | Self::Int(_) => "a number",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
            Self::Null => "nothing",
            Self::Text(_) => "a text",
        }
    }
}

impl Tree {
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(name, ..)| name == key).map(|(.., child)| child),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Map(entries) => entries.iter_mut().find(|(name, ..)| name == key).map(|(.., child)| child),
            _ => None,
        }
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The place of `spec.http[0].route`, or of the nearest parent that is there.
    pub(crate) fn place_of(&self, path: &str) -> Place {
        let (mut at, mut place, mut rest) = (self, self.place, path);
        while let Some((found, child, left)) = at.step(rest) {
            (at, place, rest) = (child, found, left);
        }
        place
    }

    /// The place of the value of `spec.http[0].timeout`, when it is there and no list or object.
    pub(crate) fn value_place_of(&self, path: &str) -> Option<Place> {
        let (mut at, mut rest) = (self, path);
        while !rest.is_empty() {
            (_, at, rest) = at.step(rest)?;
        }
        let is_word = !matches!(at.value, Value::List(_) | Value::Map(_) | Value::Null);
        (is_word && at.place.line > 0).then_some(at.place)
    }

    /// The child that a path begins with, the place of its name, and the rest of the path. Names may have dots: those of
    /// annotations do.
    fn step<'a, 'b>(&'a self, path: &'b str) -> Option<(Place, &'a Self, &'b str)> {
        let path = path.strip_prefix('.').unwrap_or(path);
        match &self.value {
            Value::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.get(index.parse::<usize>().ok()?)?;
                Some((item.place, item, rest))
            }
            Value::Map(entries) => {
                let named = entries.iter().filter_map(|(name, place, child)| {
                    let rest = path.strip_prefix(name.as_str())?;
                    (!name.is_empty() && (rest.is_empty() || rest.starts_with(['.', '['])))
                        .then_some((*place, child, rest))
                });
                named.min_by_key(|(_, _, rest)| rest.len())
            }
            _ => None,
        }
    }

    pub(crate) fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(*flag),
            Json::Number(number) => {
                number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap_or(0.0)), Value::Int)
            }
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Self::from_json).collect()),
            Json::Object(entries) => Value::Map(
                entries.iter().map(|(name, child)| (name.clone(), Place::default(), Self::from_json(child))).collect(),
            ),
        };
        Self { place: Place::default(), value }
    }

    /// Without places. What is null is left out of objects, as Kubernetes prunes it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Bool(flag) => Json::Bool(*flag),
            Value::Float(number) => serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number),
            Value::Int(number) => Json::from(*number),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => {
                let set = entries.iter().filter(|(.., child)| child.value != Value::Null);
                Json::Object(set.map(|(name, _, child)| (name.clone(), child.to_json())).collect())
            }
            Value::Null => Json::Null,
            Value::Text(text) => Json::String(text.clone()),
        }
    }

    /// Moves every line down: the document began at line `by` + 1 of its file.
    pub(crate) fn shift(&mut self, by: usize) {
        self.place.line += by;
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.shift(by)),
            Value::Map(entries) => entries.iter_mut().for_each(|(_, place, child)| {
                place.line += by;
                child.shift(by);
            }),
            _ => {}
        }
    }
}

fn place<T>(spanned: &Spanned<T>) -> Place {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Place { line: number(spanned.referenced.line()), column: number(spanned.referenced.column()) }
}

fn tree(spanned: Spanned<Value>) -> Tree {
    Tree { place: place(&spanned), value: spanned.value }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::<Value>::deserialize(deserializer).map(tree)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Tree>()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let at = place(&key);
            entries.push((key.value, at, map.next_value::<Tree>()?));
        }
        Ok(Value::Map(entries))
    }
}
