use leno_ir::WeightedCluster;

/// The place of one of the clusters, each for exactly its share of the values of `random`. `None` when none has a weight.
///
/// The bias of the remainder is below 2^-30, as weights sum to less than 2^34.
pub fn pick_cluster(clusters: &[WeightedCluster], random: u64) -> Option<usize> {
    if let [only] = clusters {
        return (only.weight > 0).then_some(0);
    }
    let total: u64 = clusters.iter().map(|cluster| u64::from(cluster.weight)).sum();
    let mut at = random.checked_rem(total)?;
    clusters.iter().position(|cluster| {
        let weight = u64::from(cluster.weight);
        let chosen = at < weight;
        at = at.saturating_sub(weight);
        chosen
    })
}
