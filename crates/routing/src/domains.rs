use std::borrow::Cow;

// Its keys are the configuration's, so nobody can make them collide.
use rustc_hash::FxHashMap as HashMap;

/// From a host to the position of its virtual host: exact, then the longest `*suffix`, then the longest `prefix*`, then `*`.
///
/// A wildcard stands for at least one character (Envoy `VirtualHost.domains`). Case is ignored (RFC 9110 §4.2.3).
#[derive(Debug, Default)]
pub(crate) struct DomainIndex {
    exact: HashMap<Box<str>, usize>,
    /// Longest first.
    suffixes: Vec<Wildcards>,
    prefixes: Vec<Wildcards>,
    any: Option<usize>,
}

/// The wildcards of one length.
#[derive(Debug)]
struct Wildcards {
    length: usize,
    hosts: HashMap<Box<str>, usize>,
}

impl DomainIndex {
    /// The first host that claims a domain keeps it.
    pub(crate) fn new<'a>(domains: impl Iterator<Item = (usize, &'a str)>) -> Self {
        let mut index = Self::default();
        for (host, domain) in domains {
            let domain = domain.to_ascii_lowercase();
            if domain == "*" {
                index.any.get_or_insert(host);
            } else if let Some(suffix) = domain.strip_prefix('*') {
                insert(&mut index.suffixes, suffix, host);
            } else if let Some(prefix) = domain.strip_suffix('*') {
                insert(&mut index.prefixes, prefix, host);
            } else {
                index.exact.entry(domain.into()).or_insert(host);
            }
        }
        index
    }

    pub(crate) fn find(&self, authority: &str) -> Option<usize> {
        if self.exact.is_empty() && self.suffixes.is_empty() && self.prefixes.is_empty() {
            return self.any;
        }
        let authority = lower_case(authority);
        let authority = authority.as_ref();
        self.exact
            .get(authority)
            .or_else(|| find(&self.suffixes, authority, |length| authority.get(authority.len() - length..)))
            .or_else(|| find(&self.prefixes, authority, |length| authority.get(..length)))
            .copied()
            .or(self.any)
    }
}

fn insert(wildcards: &mut Vec<Wildcards>, text: &str, host: usize) {
    let at = wildcards.partition_point(|group| group.length > text.len());
    if wildcards.get(at).is_none_or(|group| group.length != text.len()) {
        wildcards.insert(at, Wildcards { length: text.len(), hosts: HashMap::default() });
    }
    wildcards[at].hosts.entry(text.into()).or_insert(host);
}

/// `part` cuts as many bytes as asked off the authority; it is asked for fewer than there are.
fn find<'a, 'b>(
    wildcards: &'a [Wildcards],
    authority: &'b str,
    part: impl Fn(usize) -> Option<&'b str>,
) -> Option<&'a usize> {
    wildcards
        .iter()
        .filter(|group| group.length < authority.len())
        .find_map(|group| part(group.length).and_then(|part| group.hosts.get(part)))
}

fn lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}
