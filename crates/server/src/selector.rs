//! Which objects a list or a watch is about: label and field selectors.
//!
//! Source      Kubernetes "Labels and Selectors" (equality and sets), "Field Selectors"

use leno_api::Resource;

use crate::ApiError;

/// All of it must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selector {
    labels: Vec<(String, Requirement)>,
    fields: Vec<(Field, Requirement)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Requirement {
    Exists,
    In(Vec<String>),
    Missing,
    /// Also true where there is none.
    NotIn(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Name,
    Namespace,
}

impl Selector {
    /// Of the parameters `labelSelector` and `fieldSelector`.
    ///
    /// # Errors
    /// What is no selector, and fields that cannot be selected by.
    pub(crate) fn parse(labels: &str, fields: &str) -> Result<Self, ApiError> {
        let wrong = |message: String| ApiError::bad_request(message);
        let labels = split(labels)
            .into_iter()
            .map(|term| requirement(term).ok_or_else(|| wrong(format!("unable to parse requirement: \"{term}\""))))
            .collect::<Result<_, _>>()?;
        let fields = split(fields)
            .into_iter()
            .map(|term| {
                let (name, requirement) =
                    requirement(term).ok_or_else(|| wrong(format!("invalid field selector: \"{term}\"")))?;
                let field = match name.as_str() {
                    "metadata.name" => Field::Name,
                    "metadata.namespace" => Field::Namespace,
                    _ => return Err(wrong(format!("field label not supported: {name}"))),
                };
                Ok((field, requirement))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    pub(crate) fn of_name(name: &str) -> Self {
        Self { labels: Vec::new(), fields: vec![(Field::Name, Requirement::In(vec![name.to_owned()]))] }
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.labels.extend(other.labels);
        self.fields.extend(other.fields);
        self
    }

    pub(crate) fn matches(&self, resource: &Resource) -> bool {
        let metadata = resource.metadata();
        let field = |field: Field| match field {
            Field::Name => metadata.name.as_str(),
            Field::Namespace => metadata.namespace.as_deref().unwrap_or_default(),
        };
        self.labels.iter().all(|(name, wanted)| wanted.holds(metadata.labels.get(name).map(String::as_str)))
            && self.fields.iter().all(|(name, wanted)| wanted.holds(Some(field(*name))))
    }
}

impl Requirement {
    fn holds(&self, value: Option<&str>) -> bool {
        let among = |values: &[String]| value.is_some_and(|value| values.iter().any(|known| known == value));
        match self {
            Self::Exists => value.is_some(),
            Self::In(values) => among(values),
            Self::Missing => value.is_none(),
            Self::NotIn(values) => !among(values),
        }
    }
}

/// By commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let terms = text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    terms.map(str::trim).filter(|term| !term.is_empty()).collect()
}

fn requirement(term: &str) -> Option<(String, Requirement)> {
    let named = |name: &str, requirement| is_name(name.trim()).then(|| (name.trim().to_owned(), requirement));
    if let Some((name, value)) = term.split_once("!=") {
        return named(name, Requirement::NotIn(vec![value.trim().to_owned()]));
    }
    if let Some((name, value)) = term.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return named(name, Requirement::In(vec![value.trim().to_owned()]));
    }
    if let Some(values) = term.strip_suffix(')') {
        let (head, values) = values.split_once('(')?;
        let (name, operator) = head.trim_end().rsplit_once(char::is_whitespace)?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        return match operator {
            "in" => named(name, Requirement::In(values)),
            "notin" => named(name, Requirement::NotIn(values)),
            _ => None,
        };
    }
    match term.strip_prefix('!') {
        Some(name) => named(name, Requirement::Missing),
        None => named(term, Requirement::Exists),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> Resource {
        let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: ns, labels: {app: shop, tier: web}}\n\
                    spec: {ports: [{port: 80}]}\n";
        let mut parsed = leno_api::parse("test", text);
        assert_eq!(parsed.problems, []);
        parsed.resources.remove(0).value
    }

    #[test]
    fn selectors_say_what_they_say_in_kubernetes() {
        for (labels, fields, wanted) in [
            ("", "", true),
            ("app=shop,tier==web", "", true),
            ("app=shop,tier=db", "", false),
            ("app!=shop", "", false),
            ("zone!=a", "", true),
            ("app in (shop, cart),tier notin (db)", "", true),
            ("app in (cart)", "", false),
            ("zone notin (a)", "", true),
            ("app", "", true),
            ("zone", "", false),
            ("!zone,!region", "", true),
            ("!app", "", false),
            ("", "metadata.name=a,metadata.namespace=ns", true),
            ("", "metadata.name!=a", false),
            ("", "metadata.namespace=m", false),
        ] {
            let selector = Selector::parse(labels, fields).unwrap();
            assert_eq!(selector.matches(&object()), wanted, "{labels} {fields}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for (labels, fields) in
            [("a b", ""), ("=x", ""), ("a in x", ""), ("a of (x)", ""), ("", "spec.host=a"), ("", "=")]
        {
            assert!(Selector::parse(labels, fields).is_err(), "{labels} {fields}");
        }
    }
}
