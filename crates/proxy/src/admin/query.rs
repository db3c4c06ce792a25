/// The parameters of a query, percent-decoded.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn new(query: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        };
        Self(query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The first of that name; empty where it has no value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// # Errors
    /// When it is no regular expression, in the words of Envoy's answer.
    pub(super) fn regex(&self, name: &str) -> Result<Option<regex::Regex>, String> {
        let pattern = self.get(name).filter(|pattern| !pattern.is_empty());
        let invalid = |error: regex::Error| format!("Invalid re2 regex: {error}");
        pattern.map(regex::Regex::new).transpose().map_err(invalid)
    }
}

/// What is no valid escape stays as it is; what is no UTF-8 then is replaced.
fn decoded(text: &str) -> String {
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(text.len());
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let escaped = digit(0).zip(digit(1)).filter(|_| *first == b'%');
        match escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::new("usedonly&filter=a%2Eb%2&format=json&format=text");
        assert!(query.has("usedonly") && !query.has("type"));
        assert_eq!((query.get("filter"), query.get("format")), (Some("a.b%2"), Some("json")));
        assert!(Query::new("").is_empty() && Query::new("f=(").regex("f").is_err());
    }
}
