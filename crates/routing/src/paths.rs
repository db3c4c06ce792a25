//! Which routes of one virtual host may match a path, found without a look at the others.
//!
//! Shape       1 `PathIndex` -> n `Node`s, one per text that a route's path must equal or begin with, sorted; each knows the
//!             longest other text that its own begins with
//! Invariants  a route that matches is among the candidates; candidates come in the order of the configuration
//! Cost        a binary search over the texts, then a merge of as many lists as texts of the path begin with one another. Routes
//!             whose path begins with nothing fixed (some regular expressions) are candidates for every path

use std::cmp::Ordering;

use leno_ir::{PathMatch, Route};
use regex_syntax::hir::literal::Extractor;
use smallvec::SmallVec;

/// Below this many routes a scan is as good.
const FEW: usize = 5;

#[derive(Debug, Default)]
pub(crate) struct PathIndex {
    /// Some route ignores case: texts are in lower case, and paths are compared as if they were. That finds candidates enough.
    folds: bool,
    /// Sorted by text.
    nodes: Vec<Node>,
    /// Candidates for every path.
    others: Vec<u32>,
}

/// Positions of routes are in order.
#[derive(Debug, Default)]
struct Node {
    text: Box<[u8]>,
    /// The longest text that this one begins with.
    parent: Option<usize>,
    /// Of routes for paths that are the text.
    whole: Vec<u32>,
    /// Of routes for paths that begin with it.
    prefixes: Vec<u32>,
}

impl PathIndex {
    /// `None`: they are too few.
    pub(crate) fn new(routes: &[Route]) -> Option<Self> {
        if routes.len() < FEW {
            return None;
        }
        let folds = routes.iter().any(|route| ignores_case(&route.matches.path));
        let keys: Vec<_> = routes.iter().map(|route| key(&route.matches.path, folds)).collect();
        let mut texts: Vec<&[u8]> = keys.iter().flatten().map(|(text, _)| text.as_slice()).collect();
        texts.sort_unstable();
        texts.dedup();
        let mut index = Self { folds, nodes: Vec::with_capacity(texts.len()), others: Vec::new() };
        for text in texts {
            let parent = index.parent_of(text);
            index.nodes.push(Node { text: text.into(), parent, ..Node::default() });
        }
        for (key, position) in keys.iter().zip(0_u32..) {
            match key {
                None => index.others.push(position),
                Some((text, is_whole)) => {
                    let at = index.nodes.partition_point(|node| *node.text < **text);
                    if let Some(node) = index.nodes.get_mut(at) {
                        if *is_whole { &mut node.whole } else { &mut node.prefixes }.push(position);
                    }
                }
            }
        }
        Some(index)
    }

    /// Among the nodes there are, all of which sort before `text`.
    fn parent_of(&self, text: &[u8]) -> Option<usize> {
        let mut at = self.nodes.len().checked_sub(1)?;
        while !text.starts_with(&self.nodes[at].text) {
            at = self.nodes[at].parent?;
        }
        Some(at)
    }

    /// Positions of routes, in order, among them every one whose path matches.
    pub(crate) fn candidates(&self, path: &str) -> Candidates<'_> {
        let path = path.as_bytes();
        let mut lists = SmallVec::new();
        let mut add = |list| {
            if let Some(list) = Positions::of(list) {
                lists.push(list);
            }
        };
        add(&self.others);
        let after = self.nodes.partition_point(|node| self.compare(&node.text, path) != Ordering::Greater);
        let mut at = after.checked_sub(1);
        // All texts that sort between the longest one that the path begins with and the path itself begin with that one.
        let mut is_found = false;
        while let Some(node) = at.and_then(|at| self.nodes.get(at)) {
            is_found = is_found || self.begins_with(path, &node.text);
            if is_found {
                add(&node.prefixes);
                if node.text.len() == path.len() {
                    add(&node.whole);
                }
            }
            at = node.parent;
        }
        Candidates { lists }
    }

    fn begins_with(&self, path: &[u8], text: &[u8]) -> bool {
        path.get(..text.len()).is_some_and(|head| self.compare(text, head) == Ordering::Equal)
    }

    fn compare(&self, text: &[u8], path: &[u8]) -> Ordering {
        if self.folds { text.iter().copied().cmp(path.iter().map(u8::to_ascii_lowercase)) } else { text.cmp(path) }
    }
}

fn ignores_case(path: &PathMatch) -> bool {
    match path {
        PathMatch::Exact { ignore_case, .. }
        | PathMatch::PathSeparatedPrefix { ignore_case, .. }
        | PathMatch::Prefix { ignore_case, .. } => *ignore_case,
        PathMatch::Connect | PathMatch::Regex(_) => false,
    }
}

/// What paths that match begin with, and whether nothing follows. `None`: nothing that is always the same.
fn key(path: &PathMatch, folds: bool) -> Option<(Vec<u8>, bool)> {
    let (mut text, is_whole) = match path {
        PathMatch::Connect => return None,
        PathMatch::Exact { text, .. } => (text.as_bytes().to_vec(), true),
        PathMatch::PathSeparatedPrefix { text, .. } | PathMatch::Prefix { text, .. } => {
            (text.as_bytes().to_vec(), false)
        }
        PathMatch::Regex(pattern) => (beginning(pattern.as_str())?, false),
    };
    if folds {
        text.make_ascii_lowercase();
    }
    Some((text, is_whole))
}

/// What all texts begin with that the expression matches as a whole.
fn beginning(pattern: &str) -> Option<Vec<u8>> {
    let parsed = regex_syntax::parse(pattern).ok()?;
    let literals = Extractor::new().extract(&parsed);
    literals.longest_common_prefix().filter(|prefix| !prefix.is_empty()).map(<[u8]>::to_vec)
}

/// The rest of a list, and its first element.
#[derive(Clone, Copy, Debug)]
struct Positions<'a> {
    first: u32,
    rest: &'a [u32],
}

impl<'a> Positions<'a> {
    fn of(list: &'a [u32]) -> Option<Self> {
        list.split_first().map(|(first, rest)| Self { first: *first, rest })
    }
}

/// Several sorted lists as one.
#[derive(Debug)]
pub(crate) struct Candidates<'a> {
    lists: SmallVec<[Positions<'a>; 6]>,
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let (at, next) = self.lists.iter().map(|list| list.first).enumerate().min_by_key(|(_, first)| *first)?;
        match Positions::of(self.lists[at].rest) {
            Some(rest) => self.lists[at] = rest,
            None => {
                self.lists.swap_remove(at);
            }
        }
        Some(next as usize)
    }
}
