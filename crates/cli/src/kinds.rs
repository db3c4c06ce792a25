use leno_api::Kind;

use crate::misuse::Misuse;

/// Likeness from which a word is taken for a slip; 1 is the same word. Chosen: `serv` and `virtalservices` are, `pods` is
/// not.
const NEAR: f64 = 0.85;

/// For clap: any spelling of a kind.
pub(crate) fn parse_kind(word: &str) -> Result<Kind, String> {
    Kind::from_word(word).ok_or_else(|| {
        let known: Vec<_> = Kind::ALL.into_iter().map(|kind| kind.as_str().to_ascii_lowercase()).collect();
        let word = word.to_ascii_lowercase();
        let near =
            known.iter().map(|kind| (strsim::jaro_winkler(kind, &word), kind)).max_by(|a, b| a.0.total_cmp(&b.0));
        match near {
            Some((likeness, kind)) if likeness >= NEAR => {
                format!("did you mean {kind}? There are {}", known.join(", "))
            }
            _ => format!("there are {}", known.join(", ")),
        }
    })
}

/// Where the API has the objects of a kind; of all namespaces when none is given.
pub(crate) fn path(kind: Kind, namespace: Option<&str>, name: Option<&str>) -> anyhow::Result<String> {
    let api_version = kind.api_versions().swap_remove(0);
    let root = if kind.group().is_empty() { "api" } else { "apis" };
    let mut path = format!("/{root}/{api_version}");
    if let Some(namespace) = namespace.filter(|_| kind.is_namespaced()) {
        path.push_str(&format!("/namespaces/{}", segment("namespace", namespace)?));
    }
    path.push_str(&format!("/{}", kind.plural()));
    if let Some(name) = name {
        path.push_str(&format!("/{}", segment("name", name)?));
    }
    Ok(path)
}

/// Names of objects need no escapes; what does is no name.
pub(crate) fn segment<'a>(what: &str, text: &'a str) -> anyhow::Result<&'a str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) && text.bytes().any(|byte| byte != b'.') {
        Ok(text)
    } else {
        Err(Misuse::error(format!("\"{text}\" is no {what}")))
    }
}
