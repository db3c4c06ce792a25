//! `docs/envoy-fields.md`: the table as users read it. Written by `UPDATE=1 cargo test -p leno-xds`, checked without.

use std::fmt::Write as _;
use std::path::Path;

use super::{FIELDS, NOT_HERE};

const HEAD: &str = "# Fields of Envoy's API\n\n\
    What a bootstrap may say to `leno proxy --bootstrap`: messages of Envoy's API v3 and the fields that are read, over xDS too.\n\
    Any other field that is set is refused by its name. *Only off*: the field may be there as long as\n\
    it asks for nothing (false, 0, empty). Messages without fields are listed by their name alone.\n\n\
    Written by `UPDATE=1 cargo test -p leno-xds`. Behaviour beside Envoy's: [differential.md](differential.md).\n";

fn page() -> String {
    let mut text = HEAD.to_owned();
    let mut package = "";
    for (message, full, off_only) in FIELDS {
        let (of, name) = split(message);
        if of != package {
            package = of;
            let _ = write!(text, "\n## {package}\n\n| message | fields | only off |\n|---|---|---|\n");
        }
        let here = |field: &&str| !NOT_HERE.iter().any(|(of, name, _)| of == message && name == field);
        let list = |fields: &str| {
            let mut fields: Vec<&str> = fields.split(' ').filter(|field| !field.is_empty()).filter(here).collect();
            fields.sort_unstable();
            fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ")
        };
        let _ = writeln!(text, "| `{name}` | {} | {} |", list(full), list(off_only));
    }
    text += "\n## Not in a bootstrap\n\n| message | field | why |\n|---|---|---|\n";
    for (message, field, why) in NOT_HERE {
        let _ = writeln!(text, "| `{message}` | `{field}` | {why} |");
    }
    text
}

/// Package and message; messages begin with a capital letter.
fn split(message: &str) -> (&str, &str) {
    let at = message.split('.').take_while(|part| part.starts_with(|first: char| first.is_lowercase()));
    let length = at.map(|part| part.len() + 1).sum::<usize>();
    (message.get(..length - 1).unwrap_or_default(), message.get(length..).unwrap_or_default())
}

#[test]
fn the_page_lists_every_field() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/envoy-fields.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).expect("the page can be written");
    }
    let current = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(current == page, "{} is not what fields.rs says: UPDATE=1 cargo test -p leno-xds", path.display());
}
