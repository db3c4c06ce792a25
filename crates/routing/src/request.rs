use leno_ir::{HashPolicy, MetadataMatch};

/// The headers of a message.
pub trait HeaderView {
    /// The values of every line of this name, in order.
    fn header_values<'a>(&'a self, lower_case_name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a;

    /// `:method` and its like.
    fn pseudo_header(&self, name: &str) -> Option<&str>;

    /// The first value.
    fn header<'a>(&'a self, lower_case_name: &'a str) -> Option<&'a [u8]> {
        self.header_values(lower_case_name).next()
    }
}

/// The head of a request, as far as routes look at it.
pub trait RequestView: HeaderView {
    fn method(&self) -> &str;

    /// With the query.
    fn path(&self) -> &str;

    fn authority(&self) -> &str;

    /// `http` or `https`.
    fn scheme(&self) -> &str;

    /// Whether what filters have said is so. Nothing is said unless the view knows of it.
    fn metadata_matches(&self, matches: &MetadataMatch) -> bool {
        matches.is_match(None)
    }

    /// The hash that policies make of it. Nothing to those who do not know how.
    fn hash(&self, _policies: &[HashPolicy]) -> Option<u64> {
        None
    }

    /// Whether the client presented a certificate, and whether it was verified.
    fn client_certificate(&self) -> (bool, bool) {
        (false, false)
    }
}

/// What path matches and rewrites look at: everything before `?` or `#`.
pub fn path_without_query(path: &str) -> &str {
    split_path(path).0
}

/// The path, and the rest from `?` or `#` on.
pub(crate) fn split_path(path: &str) -> (&str, &str) {
    path.split_at(memchr::memchr2(b'?', b'#', path.as_bytes()).unwrap_or(path.len()))
}
