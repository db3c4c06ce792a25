use crate::ResourceKind;

/// What became of resources on a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    pub kind: ResourceKind,
    /// Name and version.
    pub resources: Vec<(String, String)>,
    /// Names that the response took away.
    pub removed: Vec<String>,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    Acked,
    Rejected { reason: String },
    Sent,
}

/// A response that the client has not answered yet.
#[derive(Debug)]
pub(super) struct Outstanding {
    pub(super) nonce: String,
    pub(super) resources: Vec<(String, String)>,
    pub(super) removed: Vec<String>,
}

impl Outstanding {
    pub(super) fn sent(&self, kind: ResourceKind) -> Report {
        let (resources, removed) = (self.resources.clone(), self.removed.clone());
        Report { kind, resources, removed, verdict: Verdict::Sent }
    }

    pub(super) fn acked(self, kind: ResourceKind) -> Vec<Report> {
        let Self { resources, removed, .. } = self;
        vec![Report { kind, resources, removed, verdict: Verdict::Acked }]
    }

    /// A NACK carries one text for the whole response. Clients name the resources they dislike in it and use the others
    /// (Envoy's LDS and CDS, Leno), so only those are rejected; when it names none, all are.
    pub(super) fn rejected(self, kind: ResourceKind, reason: &str) -> Vec<Report> {
        let Self { resources, removed, .. } = self;
        let (named, others): (Vec<_>, Vec<_>) = resources.into_iter().partition(|(name, _)| mentions(reason, name));
        let (named, others) = if named.is_empty() { (others, named) } else { (named, others) };
        let mut reports = vec![Report {
            kind,
            resources: named,
            removed: Vec::new(),
            verdict: Verdict::Rejected { reason: reason.to_owned() },
        }];
        if !others.is_empty() || !removed.is_empty() {
            reports.push(Report { kind, resources: others, removed, verdict: Verdict::Acked });
        }
        reports
    }
}

/// Whether `name` stands in `text` as a word of its own, not as a part of a longer name.
fn mentions(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '|' | '_' | '-' | '/');
    !name.is_empty()
        && text.match_indices(name).any(|(at, found)| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let mut rest = text.get(at + found.len()..).unwrap_or_default().chars();
            let after = rest.next();
            // A dot ends a sentence, or goes on with a longer host name.
            let goes_on = after == Some('.') && rest.next().is_some_and(is_part);
            !before.is_some_and(|c| is_part(c) || c == '.') && !after.is_some_and(is_part) && !goes_on
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outstanding(names: &[&str]) -> Outstanding {
        let resources = names.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
        Outstanding { nonce: "1".to_owned(), resources, removed: Vec::new() }
    }

    fn rejected_names(names: &[&str], reason: &str) -> Vec<String> {
        let reports = outstanding(names).rejected(ResourceKind::Cluster, reason);
        reports
            .into_iter()
            .next()
            .map(|report| report.resources.into_iter().map(|(name, _)| name).collect())
            .unwrap_or_default()
    }

    #[test]
    fn only_named_resources_are_rejected() {
        assert_eq!(rejected_names(&["a", "b"], "Error adding/updating cluster(s) b: no load balancer"), ["b"]);
        assert_eq!(rejected_names(&["a", "ab"], "bad: ab"), ["ab"]);
        assert_eq!(
            rejected_names(&["outbound|80||a.x", "outbound|80||a.x.y"], "outbound|80||a.x.y: wrong."),
            ["outbound|80||a.x.y"]
        );
    }

    #[test]
    fn a_reason_without_names_rejects_all() {
        assert_eq!(rejected_names(&["a1", "b1"], "cannot parse"), ["a1", "b1"]);
    }
}
