//! JSON lines: a template with operators at its leaves.

use super::{FormatError, Operator, Piece, Source, Values, escape, parse, write_operator};

/// A member of a JSON line as it is configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Member {
    List(Vec<Member>),
    /// A number or a boolean, spelled as JSON.
    Literal(String),
    Object(Vec<(String, Member)>),
    /// With operators.
    Text(String),
}

#[derive(Clone, Debug)]
pub(super) struct Object(
    /// Keys are escaped already.
    Vec<(String, Value)>,
);

#[derive(Clone, Debug)]
enum Value {
    List(Vec<Value>),
    Literal(String),
    Object(Object),
    Text(Vec<Piece>),
}

impl Object {
    pub(super) fn new<'a>(fields: impl IntoIterator<Item = (&'a str, Member)>) -> Result<Self, FormatError> {
        let pair = |(key, member): (&str, Member)| Ok((escape::json_key(key), Value::new(member)?));
        fields.into_iter().map(pair).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn any(&self, is: &impl Fn(&Piece) -> bool) -> bool {
        self.0.iter().any(|(_, value)| value.any(is))
    }

    pub(super) fn write(&self, values: &impl Values, omit_empty: bool, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut is_first = true;
        for (key, value) in &self.0 {
            let start = out.len();
            if !is_first {
                out.push(b',');
            }
            out.extend_from_slice(key.as_bytes());
            out.push(b':');
            if value.write(values, omit_empty, out) || !omit_empty {
                is_first = false;
            } else {
                out.truncate(start);
            }
        }
        out.push(b'}');
    }
}

impl Value {
    fn new(member: Member) -> Result<Self, FormatError> {
        Ok(match member {
            Member::List(members) => Self::List(members.into_iter().map(Self::new).collect::<Result<_, _>>()?),
            Member::Literal(text) => Self::Literal(text),
            Member::Object(fields) => {
                let fields = fields.iter().map(|(key, member)| (key.as_str(), member.clone()));
                Self::Object(Object::new(fields)?)
            }
            Member::Text(format) => Self::Text(parse::pieces(&format)?),
        })
    }

    fn any(&self, is: &impl Fn(&Piece) -> bool) -> bool {
        match self {
            Self::List(members) => members.iter().any(|member| member.any(is)),
            Self::Literal(_) => false,
            Self::Object(object) => object.any(is),
            Self::Text(pieces) => pieces.iter().any(is),
        }
    }

    /// Whether there is a value; without one `null` is written.
    fn write(&self, values: &impl Values, omit_empty: bool, out: &mut Vec<u8>) -> bool {
        match self {
            Self::List(members) => {
                out.push(b'[');
                let mut is_first = true;
                for member in members {
                    let start = out.len();
                    if !is_first {
                        out.push(b',');
                    }
                    if member.write(values, omit_empty, out) || !omit_empty {
                        is_first = false;
                    } else {
                        out.truncate(start);
                    }
                }
                out.push(b']');
            }
            Self::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Self::Object(object) => object.write(values, omit_empty, out),
            Self::Text(pieces) => return write_pieces(pieces, values, omit_empty, out),
        }
        true
    }
}

fn write_pieces(pieces: &[Piece], values: &impl Values, omit_empty: bool, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    if let [Piece::Operator(operator)] = pieces {
        // Other kinds of metadata than texts keep their kind.
        let mut is_json = false;
        match &operator.source {
            Source::Metadata { of, namespace, path } if operator.length.is_none() => {
                is_json = values.write_metadata(*of, namespace, path, out);
            }
            _ => write_operator(operator, values, out),
        }
        let is_there = out.len() > start;
        match &operator.source {
            _ if !is_there => out.extend_from_slice(b"null"),
            source if is_number(source, operator) => {}
            _ if is_json => {}
            _ => escape::json_string(out, start),
        }
        return is_there;
    }
    for piece in pieces {
        let before = out.len();
        match piece {
            Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Operator(operator) => {
                write_operator(operator, values, out);
                if out.len() == before && !omit_empty {
                    out.push(b'-');
                }
            }
        }
    }
    escape::json_string(out, start);
    true
}

fn is_number(source: &Source, operator: &Operator) -> bool {
    match source {
        Source::Field(field) => field.is_number() && operator.length.is_none(),
        Source::Duration { .. } => operator.length.is_none(),
        _ => false,
    }
}
