use std::collections::BTreeMap;

use super::cells::MergedHistogram;
use super::names::Root;
use super::{Stats, lock};

/// Everything that has a name of Envoy's, over all workers, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) stats: BTreeMap<String, Stat>,
}

#[derive(Clone, Debug)]
pub(crate) struct Stat {
    /// Where it is counted, for the labels of Prometheus; `None`: nowhere in particular.
    pub(crate) place: Option<(Root, String)>,
    pub(crate) value: Value,
    /// Somebody has written to it, be it zero.
    pub(crate) is_used: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Counter(u64),
    Gauge(i64),
    Histogram(Histogram),
}

/// Milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram(Box<MergedHistogram>);

impl Histogram {
    pub(crate) fn count(&self) -> u64 {
        self.0.count()
    }

    pub(crate) fn sum(&self) -> f64 {
        self.0.sum
    }

    /// Upper bound and count of each bucket, not cumulated.
    pub(crate) fn buckets(&self) -> Vec<(f64, u64)> {
        self.0.buckets()
    }

    /// Between the bounds of its bucket in proportion.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        let wanted = quantile * self.count() as f64;
        let (mut lower, mut passed) = (0.0, 0.0);
        for (upper, count) in self.buckets().into_iter().filter(|(upper, _)| upper.is_finite()) {
            let count = count as f64;
            if count > 0.0 && passed + count >= wanted {
                return lower + (upper - lower) * ((wanted - passed) / count).clamp(0.0, 1.0);
            }
            passed += count;
            lower = upper;
        }
        if passed > 0.0 { lower } else { 0.0 }
    }
}

impl Snapshot {
    pub(crate) fn gauge(&mut self, name: impl Into<String>, level: i64) {
        self.stats.insert(name.into(), Stat { place: None, value: Value::Gauge(level), is_used: true });
    }

    /// In a scope, so that Prometheus labels it.
    pub(crate) fn gauge_at(&mut self, (root, scope): (Root, &str), name: &str, level: i64) {
        let stat = Stat { place: Some((root, scope.to_owned())), value: Value::Gauge(level), is_used: true };
        self.stats.insert(format!("{}.{scope}.{name}", root.as_str()), stat);
    }

    /// The sum of all gauges whose names begin and end so.
    pub(crate) fn levels(&self, start: &str, end: &str) -> i64 {
        let level = |stat: &Stat| if let Value::Gauge(level) = stat.value { level } else { 0 };
        let matching = self.stats.iter().filter(|(name, _)| name.starts_with(start) && name.ends_with(end));
        matching.map(|(_, stat)| level(stat)).sum()
    }

    /// Counts what came after `earlier`. Distributions stay as they are.
    pub(crate) fn subtract(&mut self, earlier: &Self) {
        for (name, stat) in &mut self.stats {
            if let Value::Counter(total) = &mut stat.value
                && let Some(Stat { value: Value::Counter(before), .. }) = earlier.stats.get(name)
            {
                *total = total.saturating_sub(*before);
            }
        }
    }

    fn entry(&mut self, root: Root, scope: &str, name: &str, empty: Value) -> &mut Stat {
        let name = format!("{}.{scope}.{name}", root.as_str());
        let stat = || Stat { place: Some((root, scope.to_owned())), value: empty, is_used: false };
        self.stats.entry(name).or_insert_with(stat)
    }
}

impl Stats {
    /// What all workers have counted. Forgets places that no configuration has any more.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let shards = lock(&self.shared.shards).clone();
        for shard in &shards {
            let mut scopes = lock(&shard.scopes);
            scopes.retain(|_, cells| std::sync::Arc::strong_count(cells) > 1);
            for ((root, scope), cells) in scopes.iter() {
                cells.counters(|name, total| {
                    if let Value::Counter(sum) = &mut snapshot.entry(*root, scope, name, Value::Counter(0)).value {
                        // Every worker is told of every change.
                        *sum = if name == "membership_change" { total.max(*sum) } else { *sum + total };
                    }
                });
                for (name, level, is_used) in cells.gauges() {
                    let stat = snapshot.entry(*root, scope, name, Value::Gauge(0));
                    stat.is_used |= is_used;
                    if let Value::Gauge(sum) = &mut stat.value {
                        // Each worker ejects by what it saw itself.
                        *sum = if name.ends_with("ejections_active") { level.max(*sum) } else { *sum + level };
                    }
                }
                cells.histograms(|name, add| {
                    let empty = Value::Histogram(Histogram::default());
                    if let Value::Histogram(Histogram(merged)) = &mut snapshot.entry(*root, scope, name, empty).value {
                        add(merged);
                    }
                });
            }
            drop(scopes);
            for cells in lock(&shard.filter_counters).iter() {
                let stat = snapshot.stats.entry(cells.name.clone());
                let empty = || Stat { place: place_of(&cells.name), value: Value::Counter(0), is_used: false };
                if let Value::Counter(sum) = &mut stat.or_insert_with(empty).value {
                    *sum += cells.total.get();
                }
            }
            for cells in lock(&shard.filter_gauges).iter() {
                let stat = snapshot.stats.entry(cells.name.clone());
                let empty = || Stat { place: place_of(&cells.name), value: Value::Gauge(0), is_used: false };
                if let Value::Gauge(sum) = &mut stat.or_insert_with(empty).value {
                    *sum += cells.level.get();
                }
            }
        }
        snapshot
    }
}

/// Of a filter's name: `http.<stat_prefix>.…`, `cluster.<name>.…`. A prefix with a dot in it is taken up to the dot.
fn place_of(name: &str) -> Option<(Root, String)> {
    let mut parts = name.splitn(3, '.');
    let root = match parts.next()? {
        "cluster" => Root::Cluster,
        "http" => Root::Http,
        "tcp" => Root::Tcp,
        _ => return None,
    };
    let scope = parts.next()?.to_owned();
    parts.next().map(|_| (root, scope))
}

#[cfg(test)]
mod tests {
    use super::super::cells::{DURATION_BOUNDS, HistogramCells};
    use super::*;

    #[test]
    fn a_quantile_lies_in_the_bucket_of_its_rank() {
        let cells = HistogramCells::new(DURATION_BOUNDS);
        (0..90).for_each(|_| cells.observe(0.2));
        (0..10).for_each(|_| cells.observe(60.0));
        let mut histogram = Histogram::default();
        cells.add_to(&mut histogram.0);
        assert!(histogram.quantile(0.5) <= 0.5);
        assert!((50.0..=75.0).contains(&histogram.quantile(0.95)));
        assert_eq!(Histogram::default().quantile(0.5), 0.0);
    }
}
