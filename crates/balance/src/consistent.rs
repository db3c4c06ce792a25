//! Tables that lead from the hash of a request to a member, so that equal requests go to one member, and a member that
//! comes or goes moves hardly any others.
//!
//! Shape       1 `HashTables` (per cluster and worker) -> 1 `Table` per priority -> places -> members
//! Invariants  a table depends on the hash keys (addresses), weights and localities of its members alone: not on their order, nor on
//!             health, so an ejection moves only the requests of the member ejected, and all workers agree
//! Cost        a look-up: ring O(log places), Maglev O(1); built by O(places log places), O(table size); 16 and 4 bytes a place
//! Source      Envoy ring_hash_lb.cc, maglev_lb.cc v1.31 (same hashes, same places). Ours: localities keep the share of
//!             their weight whatever their health, as members without traffic are passed over instead of taken out
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use leno_ir::{BalancerPolicy, RingFunction};
use xxhash_rust::xxh64::xxh64;

use crate::Member;

mod murmur;
#[cfg(test)]
mod tests;

#[derive(Debug)]
pub(crate) struct HashTables {
    /// By priority.
    tables: BTreeMap<u32, Table>,
}

#[derive(Debug)]
pub(crate) enum Table {
    Maglev(Vec<u32>),
    /// Ordered by hash.
    Ring(Vec<Point>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    hash: u64,
    at: u32,
}

/// A member and what share of the table it is to have.
#[derive(Debug)]
struct Entry<'m> {
    at: u32,
    key: Cow<'m, str>,
    share: f64,
}

impl HashTables {
    /// Of members and their places.
    pub(crate) fn new<'m, K: 'm>(policy: &BalancerPolicy, members: impl Iterator<Item = (u32, &'m Member<K>)>) -> Self {
        let mut priorities: BTreeMap<u32, Vec<(u32, &Member<K>)>> = BTreeMap::new();
        for (at, member) in members {
            priorities.entry(member.priority).or_default().push((at, member));
        }
        let table = |members: Vec<(u32, &Member<K>)>| {
            let mut entries = entries(&members);
            match *policy {
                BalancerPolicy::Maglev { table_size } => {
                    // As in Envoy.
                    entries.sort_by(|one, other| one.key.cmp(&other.key));
                    Table::Maglev(maglev(&entries, table_size))
                }
                BalancerPolicy::RingHash { minimum_ring_size, maximum_ring_size, function } => {
                    entries.sort_by(|one, other| one.key.cmp(&other.key));
                    Table::Ring(ring(&entries, minimum_ring_size, maximum_ring_size, function))
                }
                _ => Table::Ring(Vec::new()),
            }
        };
        Self { tables: priorities.into_iter().map(|(priority, members)| (priority, table(members))).collect() }
    }

    pub(crate) fn of(&self, priority: u32) -> Option<&Table> {
        self.tables.get(&priority)
    }
}

impl Table {
    /// The member of a hash.
    pub(crate) fn at(&self, hash: u64) -> Option<usize> {
        self.member(self.place(hash)?)
    }

    /// The members from that of `hash` on, once around.
    pub(crate) fn walk(&self, hash: u64) -> impl Iterator<Item = usize> {
        let length = self.len();
        let start = self.place(hash).unwrap_or(0);
        (start..length).chain(0..start).filter_map(|place| self.member(place))
    }

    fn len(&self) -> usize {
        match self {
            Self::Maglev(places) => places.len(),
            Self::Ring(points) => points.len(),
        }
    }

    fn place(&self, hash: u64) -> Option<usize> {
        match self {
            Self::Maglev(places) => usize::try_from(hash.checked_rem(places.len() as u64)?).ok(),
            Self::Ring(points) => {
                let place = points.partition_point(|point| point.hash < hash);
                Some(if place == points.len() { 0 } else { place })
            }
        }
    }

    fn member(&self, place: usize) -> Option<usize> {
        let at = match self {
            Self::Maglev(places) => *places.get(place)?,
            Self::Ring(points) => points.get(place)?.at,
        };
        usize::try_from(at).ok()
    }
}

/// Shares that sum to 1: by weight, within a locality's own share where localities are weighted.
fn entries<'m, K>(members: &[(u32, &'m Member<K>)]) -> Vec<Entry<'m>> {
    let weight = |member: &Member<K>| f64::from(member.weight.max(1));
    let mut localities: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for (_, member) in members {
        let locality = localities.entry(member.locality).or_insert((f64::from(member.locality_weight), 0.0));
        locality.1 += weight(member);
    }
    let total: f64 = localities.values().map(|(weight, _)| weight).sum();
    let all: f64 = localities.values().map(|(_, members)| members).sum();
    let share = |member: &Member<K>| match localities.get(&member.locality) {
        Some((locality, of_members)) if total > 0.0 && localities.len() > 1 => {
            locality / total * weight(member) / of_members
        }
        _ => weight(member) / all,
    };
    let entry = |(at, member): &(u32, &'m Member<K>)| Entry { at: *at, key: key(member), share: share(member) };
    members.iter().map(entry).filter(|entry| entry.share > 0.0).collect()
}

fn key<K>(member: &Member<K>) -> Cow<'_, str> {
    match &member.hash_key {
        Some(key) => Cow::Borrowed(key),
        None => Cow::Owned(member.address.to_string()),
    }
}

/// The least weighted member gets a whole number of points, the others in proportion; points are hashes of `key_i`.
fn ring(entries: &[Entry<'_>], minimum_size: u32, maximum_size: u32, function: RingFunction) -> Vec<Point> {
    let hash = match function {
        RingFunction::MurmurHash2 => murmur::hash,
        RingFunction::XxHash => |bytes: &[u8]| xxh64(bytes, 0),
    };
    let least = entries.iter().map(|entry| entry.share).fold(f64::INFINITY, f64::min);
    if entries.is_empty() {
        return Vec::new();
    }
    // Sizes of 0 make an empty ring in Envoy, and nobody is chosen; here they count as 1.
    let scale = ((least * f64::from(minimum_size.max(1))).ceil() / least).min(f64::from(maximum_size.max(1)));
    let mut points = Vec::with_capacity(scale.ceil() as usize);
    let (mut current, mut target) = (0.0_f64, 0.0_f64);
    let mut text = String::new();
    for entry in entries {
        text.clear();
        // Writing to a string does not fail.
        let _ = write!(text, "{}_", entry.key);
        let length = text.len();
        target += scale * entry.share;
        let mut number = 0_u32;
        while current < target {
            text.truncate(length);
            let _ = write!(text, "{number}");
            points.push(Point { hash: hash(text.as_bytes()), at: entry.at });
            number += 1;
            current += 1.0;
        }
    }
    points.sort_unstable_by_key(|point| (point.hash, point.at));
    points
}

/// Members take turns at the next free place of their own permutation of the table, the lighter ones less often.
fn maglev(entries: &[Entry<'_>], table_size: u32) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    struct Turn {
        at: u32,
        next: u64,
        skip: u64,
        share: f64,
        due: f64,
    }
    if entries.is_empty() {
        return Vec::new();
    }
    let size =
        if BalancerPolicy::is_maglev_table_size(table_size) { table_size } else { BalancerPolicy::MAGLEV_TABLE_SIZE };
    let places = u64::from(size);
    let turn = |entry: &Entry<'_>| Turn {
        at: entry.at,
        next: xxh64(entry.key.as_bytes(), 0) % places,
        skip: xxh64(entry.key.as_bytes(), 1) % (places - 1) + 1,
        share: entry.share,
        due: 0.0,
    };
    let mut turns: Vec<Turn> = entries.iter().map(turn).collect();
    let most = turns.iter().map(|turn| turn.share).fold(0.0, f64::max);
    let mut table = vec![FREE; size as usize];
    let mut free = places;
    let mut round = 0.0;
    while free > 0 {
        round += 1.0;
        for turn in &mut turns {
            if free == 0 {
                break;
            }
            if round * turn.share < turn.due {
                continue;
            }
            turn.due += most;
            loop {
                let place = &mut table[turn.next as usize];
                turn.next = (turn.next + turn.skip) % places;
                if *place == FREE {
                    *place = turn.at;
                    break;
                }
            }
            free -= 1;
        }
    }
    table
}
