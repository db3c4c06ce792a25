use std::borrow::Cow;

use leno_ir::{HashPolicy, Labels, Metadata, MetadataMatch};
use leno_routing::{HeaderView, RequestView};

use super::forward::request_hash;
use super::head::RequestHead;
use crate::connection::Connection;

/// The namespace that subsets of a cluster are chosen by.
const SUBSETS: &str = "envoy.lb";

/// A request as routes see it: its head, and what filters have said about it so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Described<'a> {
    pub(crate) request: &'a RequestHead,
    pub(crate) metadata: &'a Metadata,
    pub(crate) connection: &'a Connection,
}

impl RequestView for Described<'_> {
    fn method(&self) -> &str {
        self.request.method()
    }

    fn path(&self) -> &str {
        RequestView::path(self.request)
    }

    fn authority(&self) -> &str {
        RequestView::authority(self.request)
    }

    fn scheme(&self) -> &str {
        self.request.scheme()
    }

    fn metadata_matches(&self, matches: &MetadataMatch) -> bool {
        matches.holds(self.metadata)
    }

    fn hash(&self, policies: &[HashPolicy]) -> Option<u64> {
        request_hash(policies, self.request, self.connection)
    }

    fn client_certificate(&self) -> (bool, bool) {
        self.request.client_certificate()
    }
}

impl HeaderView for Described<'_> {
    fn pseudo_header(&self, name: &str) -> Option<&str> {
        self.request.pseudo_header(name)
    }

    fn header_values<'a>(&'a self, lower_case_name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.request.header_values(lower_case_name)
    }
}

/// The labels that endpoints must have: those of the route, and over them what filters have said.
pub(super) fn wanted_labels<'r>(of_route: &'r Labels, metadata: &Metadata) -> Cow<'r, Labels> {
    match metadata.get(SUBSETS) {
        None => Cow::Borrowed(of_route),
        Some(said) => {
            let mut labels = of_route.clone();
            labels.extend(said.iter().map(|(key, value)| (key.clone(), value.clone())));
            Cow::Owned(labels)
        }
    }
}
