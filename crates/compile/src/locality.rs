//! In which order, or by which shares, a client uses the localities of endpoints.
//!
//! Shape       1 client (locality, labels) and 1 setting -> a priority and a weight for each endpoint's locality
//! Invariants  priorities are 0, 1, 2 … without a gap; localities that a distribution does not name get nothing
//! Source      Istio LocalityLoadBalancerSetting: failover is in force only with outlier detection

use std::collections::BTreeMap;

use leno_ir::{Endpoint, LocalityEndpoints, Node};
use leno_model::Workload;
use leno_model::api::LocalityLb;
use leno_names::Locality;

/// What an endpoint is sorted by before it is known who asks.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<'a> {
    pub workload: &'a Workload,
    pub endpoint: Endpoint,
}

/// By locality, all of one priority.
pub(crate) fn plain(candidates: Vec<Candidate<'_>>) -> Vec<LocalityEndpoints> {
    group(candidates.into_iter().map(|candidate| (0, candidate)))
}

/// As `setting` arranges them for `client`.
pub(crate) fn arranged(candidates: Vec<Candidate<'_>>, setting: &LocalityLb, client: &Node) -> Vec<LocalityEndpoints> {
    if !setting.distribute.is_empty() {
        return distributed(candidates, setting, client);
    }
    let ranked = candidates.into_iter().map(|candidate| {
        let rank = match setting.failover_priority.is_empty() {
            true => by_distance(&client.locality, &candidate.workload.locality, setting),
            false => by_labels(client, candidate.workload, setting),
        };
        (rank, candidate)
    });
    let mut groups = group(ranked);
    let mut ranks: Vec<_> = groups.iter().map(|group| group.priority).collect();
    ranks.sort_unstable();
    ranks.dedup();
    for group in &mut groups {
        let place = ranks.iter().position(|rank| *rank == group.priority).unwrap_or_default();
        group.priority = u32::try_from(place).unwrap_or(u32::MAX);
    }
    groups
}

fn group<'a>(ranked: impl Iterator<Item = (u32, Candidate<'a>)>) -> Vec<LocalityEndpoints> {
    let mut all: BTreeMap<(u32, Locality), Vec<Endpoint>> = BTreeMap::new();
    for (rank, candidate) in ranked {
        all.entry((rank, candidate.workload.locality.clone())).or_default().push(candidate.endpoint);
    }
    let of = |((priority, locality), endpoints): ((u32, Locality), Vec<Endpoint>)| {
        let weight = endpoints.iter().fold(0_u32, |sum, endpoint| sum.saturating_add(endpoint.weight));
        LocalityEndpoints { locality, priority, weight, endpoints, ..LocalityEndpoints::default() }
    };
    all.into_iter().map(of).collect()
}

/// The same sub-zone, zone, region; a region that the setting names; any other.
fn by_distance(own: &Locality, other: &Locality, setting: &LocalityLb) -> u32 {
    if own.region != other.region {
        let named = setting.failover.iter().any(|failover| failover.from == own.region && failover.to == other.region);
        return if named { 3 } else { 4 };
    }
    match (own.zone == other.zone, own.sub_zone == other.sub_zone) {
        (true, true) => 0,
        (true, false) => 1,
        (false, _) => 2,
    }
}

/// The more of the labels, from the first on, are the same, the earlier.
fn by_labels(client: &Node, workload: &Workload, setting: &LocalityLb) -> u32 {
    let same = |label: &&String| {
        let (name, wanted) = label.split_once('=').map_or((label.as_str(), None), |(name, value)| (name, Some(value)));
        let theirs = label_of(&workload.labels, &workload.locality, name);
        match wanted {
            Some(wanted) => theirs == Some(wanted),
            None => theirs.is_some() && theirs == label_of(&client.labels, &client.locality, name),
        }
    };
    let shared = setting.failover_priority.iter().take_while(same).count();
    u32::try_from(setting.failover_priority.len() - shared).unwrap_or(u32::MAX)
}

/// Kubernetes' words for where a workload is stand for its locality.
fn label_of<'a>(labels: &'a BTreeMap<String, String>, locality: &'a Locality, name: &str) -> Option<&'a str> {
    let place = match name {
        "topology.kubernetes.io/region" => Some(locality.region.as_str()),
        "topology.kubernetes.io/zone" => Some(locality.zone.as_str()),
        "topology.istio.io/subzone" => Some(locality.sub_zone.as_str()),
        _ => None,
    };
    labels.get(name).map(String::as_str).or_else(|| place.filter(|place| !place.is_empty()))
}

fn distributed(candidates: Vec<Candidate<'_>>, setting: &LocalityLb, client: &Node) -> Vec<LocalityEndpoints> {
    let mut groups = plain(candidates);
    let Some(shares) = setting.distribute.iter().find(|shares| covers(&shares.from, &client.locality)) else {
        return groups;
    };
    // The most exact first: a locality belongs to one.
    let mut patterns: Vec<_> = shares.to.iter().collect();
    patterns.sort_by_key(|(pattern, _)| (pattern.contains('*'), std::cmp::Reverse(pattern.len())));
    let mut all = Vec::new();
    for (pattern, share) in patterns {
        let (here, rest): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| covers(pattern, &group.locality));
        groups = rest;
        let total: u64 = here.iter().map(|group| u64::from(group.weight)).sum();
        all.extend(here.into_iter().map(|mut group| {
            // Finer than percent, so that a share can be divided among many.
            let part = u64::from(*share) * 1000 * u64::from(group.weight) / total.max(1);
            group.weight = u32::try_from(part).unwrap_or(u32::MAX);
            group
        }));
    }
    all.retain(|group| group.weight > 0);
    all.sort_by(|a, b| a.locality.cmp(&b.locality));
    all
}

/// `region/zone/sub-zone`; what is not said, or `*`, is anything.
fn covers(pattern: &str, locality: &Locality) -> bool {
    let parts = [&locality.region, &locality.zone, &locality.sub_zone];
    let mut wanted = pattern.split('/').zip(parts);
    wanted.all(|(wanted, part)| wanted == "*" || wanted == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_end_where_they_stop_caring() {
        let locality = "eu/a/rack1".parse().expect("a locality");
        for pattern in ["eu", "*", "eu/*", "eu/a", "eu/a/*", "eu/a/rack1", "*/a"] {
            assert!(covers(pattern, &locality), "{pattern}");
        }
        for pattern in ["us", "eu/b", "eu/a/rack2", "e"] {
            assert!(!covers(pattern, &locality), "{pattern}");
        }
    }

    #[test]
    fn the_nearer_comes_first() {
        let locality = |text: &str| text.parse::<Locality>().expect("a locality");
        let setting = LocalityLb {
            failover: vec![leno_model::api::LocalityFailover { from: "eu".to_owned(), to: "us".to_owned() }],
            ..LocalityLb::default()
        };
        let own = locality("eu/a/1");
        let ranks =
            ["eu/a/1", "eu/a/2", "eu/b", "us/x", "asia"].map(|text| by_distance(&own, &locality(text), &setting));
        assert_eq!(ranks, [0, 1, 2, 3, 4]);
    }
}
