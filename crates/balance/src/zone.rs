//! Which share of a priority goes to which locality, so that traffic stays where its caller is as far as that is fair.
//!
//! Units       percents of percents, whole ones, as in Envoy: equal shares are equal whatever the numbers
//! Source      Envoy "zone aware routing" and zone_aware_lb_base.cc, 1.40
use std::collections::BTreeMap;

use leno_names::Fraction;

/// The callers of a cluster, this proxy among them, by the localities of the cluster's members.
#[derive(Clone, Debug, PartialEq)]
pub struct Zones {
    /// Share of the requests for which this counts.
    pub routing_enabled: Fraction,
    /// With fewer healthy members it does not.
    pub min_members: u64,
    /// Of this proxy; `None`: no member is there.
    pub local: Option<u32>,
    /// How many are where this proxy is.
    pub local_callers: u32,
    /// How many are in the locality of a member.
    pub callers: BTreeMap<u32, u32>,
    /// Those elsewhere included.
    pub all_callers: u32,
}

const WHOLE: u64 = 10_000;

/// Localities with their shares, which sum to 1; of healthy members by locality. `None`: localities do not matter.
pub(crate) fn shares(zones: &Zones, healthy: &BTreeMap<u32, usize>) -> Option<Vec<(u32, f64)>> {
    let count = |locality: u32| healthy.get(&locality).map_or(0, |count| *count as u64);
    let all: u64 = healthy.values().map(|count| *count as u64).sum();
    let callers = |locality: u32| zones.callers.get(&locality).map_or(0, |count| u64::from(*count));
    let of_members = |locality: u32| (WHOLE * count(locality)).checked_div(all).unwrap_or(0);
    let part_of_callers = |count: u64| (WHOLE * count).checked_div(u64::from(zones.all_callers)).unwrap_or(0);
    if healthy.is_empty() || all < zones.min_members || zones.local_callers == 0 {
        return None;
    }
    let (here, callers_here) = (zones.local.map_or(0, of_members), part_of_callers(zones.local_callers.into()));
    let local = zones.local.filter(|_| here > 0);
    if let Some(local) = local.filter(|_| here >= callers_here) {
        return Some(vec![(local, 1.0)]);
    }
    let stays = here as f64 / callers_here.max(1) as f64;
    let others = healthy.keys().copied().filter(|locality| Some(*locality) != local);
    let room_of = |other| of_members(other).saturating_sub(part_of_callers(callers(other))) as f64;
    let mut room: Vec<(u32, f64)> = others.map(|other| (other, room_of(other))).collect();
    let mut whole: f64 = room.iter().map(|(_, room)| room).sum();
    if whole <= 0.0 {
        // Nobody has any to spare.
        room.iter_mut().for_each(|(_, room)| *room = 1.0);
        whole = room.len() as f64;
    }
    let rest = room.into_iter().map(|(other, room)| (other, (1.0 - stays) * room / whole));
    Some(local.map(|local| (local, stays)).into_iter().chain(rest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(callers: &[(u32, u32)], healthy: &[(u32, usize)]) -> Option<Vec<(u32, f64)>> {
        let all_callers = callers.iter().map(|(_, count)| count).sum();
        let callers: BTreeMap<_, _> = callers.iter().copied().collect();
        let zones = Zones {
            routing_enabled: Fraction::ONE,
            min_members: 3,
            local: Some(0),
            local_callers: callers.get(&0).copied().unwrap_or_default(),
            callers,
            all_callers,
        };
        shares(&zones, &healthy.iter().copied().collect())
    }

    #[test]
    fn all_stays_where_the_members_can_carry_it() {
        assert_eq!(of(&[(0, 1), (1, 1)], &[(0, 5), (1, 5)]), Some(vec![(0, 1.0)]));
        assert_eq!(of(&[(0, 1), (1, 2)], &[(0, 4), (1, 2)]), Some(vec![(0, 1.0)]));
    }

    #[test]
    fn what_they_cannot_carry_goes_where_there_is_room() {
        assert_eq!(of(&[(0, 1), (1, 1)], &[(0, 1), (1, 3)]), Some(vec![(0, 0.5), (1, 0.5)]));
        // No callers in 2, so all of its share is room; 1 has none.
        assert_eq!(of(&[(0, 2), (1, 2)], &[(0, 1), (1, 2), (2, 1)]), Some(vec![(0, 0.5), (1, 0.0), (2, 0.5)]));
    }

    #[test]
    fn with_no_member_at_home_all_goes_where_there_is_room() {
        assert_eq!(of(&[(0, 1), (1, 1)], &[(1, 4), (2, 4)]), Some(vec![(1, 0.0), (2, 1.0)]));
    }

    #[test]
    fn zones_do_not_matter_with_few_members_or_no_caller_at_home() {
        assert_eq!(of(&[(0, 1), (1, 1)], &[(0, 1), (1, 1)]), None);
        assert_eq!(of(&[(1, 1)], &[(0, 4), (1, 4)]), None);
    }
}
