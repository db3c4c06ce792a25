use crate::{Finding, Object, Objects};

/// Annotation with codes that are not told of an object, separated by commas; `*` for all.
const ANNOTATION: &str = "galley.istio.io/analyze-suppress";

/// What a user does not want to hear: `IST0102=Namespace *`, `LEN0003=HTTPRoute shop/cart`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Suppression {
    code: String,
    /// `*` stands for any text.
    object: String,
}

impl std::str::FromStr for Suppression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (code, object) =
            text.split_once('=').ok_or("a suppression is CODE=KIND NAME, such as IST0102=Namespace *")?;
        Ok(Self { code: code.trim().to_owned(), object: object.trim().to_owned() })
    }
}

impl Suppression {
    /// Whether it silences `finding`. The object may be said as `Kind ns/name` and, as Istio's documents do, `Kind name.ns`.
    pub fn covers(&self, finding: &Finding, object: &Object) -> bool {
        let dotted = match object.namespace.as_str() {
            "" => object.describe(),
            namespace => format!("{} {}.{namespace}", object.kind, object.name),
        };
        self.code == finding.code.id && [object.describe(), dotted].iter().any(|name| is_like(name, &self.object))
    }
}

impl Objects {
    /// Whether the object itself asks not to hear of `finding`.
    pub fn is_suppressed(&self, finding: &Finding) -> bool {
        let codes = self.object(finding.object).and_then(|object| object.annotation(ANNOTATION));
        codes.is_some_and(|codes| codes.split(',').map(str::trim).any(|code| code == "*" || code == finding.code.id))
    }
}

fn is_like(text: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return text == pattern };
    let Some(text) = text.strip_prefix(start) else { return false };
    // The rest may begin anywhere.
    (0..=text.len()).filter_map(|from| text.get(from..)).any(|text| is_like(text, rest))
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn a_star_is_any_text() {
        assert!(is_like("Pod a/b", "Pod a/b") && is_like("Pod a/b", "*") && is_like("Pod a/b", "Pod */b"));
        assert!(!is_like("Pod a/b", "Pod a") && !is_like("Pod a/b", "*c"));
    }
}
