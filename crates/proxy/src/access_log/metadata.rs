use std::collections::BTreeMap;

use leno_ir::{Metadata, MetadataValue};

/// Appends a value of metadata: a text as it is, anything else as JSON (`true`). Without a path the whole namespace, and nothing
/// when there is no value.
pub(super) fn write_metadata(metadata: &Metadata, namespace: &str, path: &[String], out: &mut Vec<u8>) -> bool {
    metadata.get(namespace).is_some_and(|fields| write_namespace(fields, path, out))
}

/// As [`write_metadata`], of one namespace.
pub(super) fn write_namespace(fields: &BTreeMap<String, MetadataValue>, path: &[String], out: &mut Vec<u8>) -> bool {
    let Some((first, rest)) = path.split_first() else {
        write_fields(fields, out);
        return true;
    };
    match fields.get(first).and_then(|value| value.at(rest)) {
        None | Some(MetadataValue::Null) => false,
        Some(MetadataValue::String(text)) => {
            out.extend_from_slice(text.as_bytes());
            false
        }
        Some(value) => {
            write_value(value, out);
            true
        }
    }
}

fn write_value(value: &MetadataValue, out: &mut Vec<u8>) {
    match value {
        MetadataValue::Null => out.extend_from_slice(b"null"),
        MetadataValue::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        MetadataValue::Number(number) => write_number(*number, out),
        MetadataValue::String(text) => write_text(text, out),
        MetadataValue::List(values) => {
            out.push(b'[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_value(value, out);
            }
            out.push(b']');
        }
        MetadataValue::Struct(fields) => write_fields(fields, out),
    }
}

fn write_fields(fields: &BTreeMap<String, MetadataValue>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (key, value)) in fields.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(key, out);
        out.push(b':');
        write_value(value, out);
    }
    out.push(b'}');
}

/// Whole numbers without a point; what JSON cannot say as a text (protobuf's JSON).
fn write_number(number: f64, out: &mut Vec<u8>) {
    // Up to 2^53 every whole number is one.
    if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 {
        out.extend_from_slice(itoa::Buffer::new().format(number as i64).as_bytes());
    } else if number.is_finite() {
        // Writing to a Vec cannot fail.
        let _ = serde_json::to_writer(out, &number);
    } else {
        let name = if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        };
        write_text(name, out);
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bare_and_everything_else_is_json() {
        let inner =
            BTreeMap::from([("a".to_owned(), MetadataValue::from("b\"c")), ("n".to_owned(), MetadataValue::Null)]);
        let list =
            MetadataValue::List(vec![MetadataValue::Number(1.0), MetadataValue::Number(-0.5), inner_value(&inner)]);
        let fields = BTreeMap::from([
            ("list".to_owned(), list),
            ("text".to_owned(), MetadataValue::from("a{")),
            ("huge".to_owned(), MetadataValue::Number(f64::INFINITY)),
        ]);
        let metadata = Metadata::from([("space".to_owned(), fields)]);
        let written = |path: &[&str]| {
            let path: Vec<_> = path.iter().map(|step| (*step).to_owned()).collect();
            let mut out = Vec::new();
            let is_json = write_metadata(&metadata, "space", &path, &mut out);
            (String::from_utf8_lossy(&out).into_owned(), is_json)
        };
        assert_eq!(written(&["text"]), ("a{".to_owned(), false));
        assert_eq!(written(&["list"]), (r#"[1,-0.5,{"a":"b\"c","n":null}]"#.to_owned(), true));
        assert_eq!(written(&["huge"]), ("\"Infinity\"".to_owned(), true));
        assert_eq!(written(&["none"]), (String::new(), false));
        assert!(written(&[]).0.starts_with("{\"huge\":"));
    }

    fn inner_value(fields: &BTreeMap<String, MetadataValue>) -> MetadataValue {
        MetadataValue::Struct(fields.clone())
    }
}
