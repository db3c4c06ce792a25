//! How a cluster balances, both ways: said by fields of the cluster, or by a list of policies of which the first known one counts.
//!
//! Errors      policies and options that we do not have; as in Envoy, a list beside fields that say the same
//! Source      Envoy cluster.proto, load_balancing_policies/*, 1.40, and their defaults

use leno_ir::{
    BalancerPolicy, Balancing, Cluster, Discovery, Flavor, Hashing, LeastRequest, LocalityBalancing, SlowStart,
    ZoneAware,
};
use leno_names::Fraction;
use leno_proto::envoy::config::cluster::v3::{
    Cluster as Proto, LoadBalancingPolicy,
    cluster::{
        CommonLbConfig, LbConfig, LbPolicy, LbSubsetConfig, LeastRequestLbConfig, RoundRobinLbConfig,
        SlowStartConfig as OfCluster,
        common_lb_config::{
            ConsistentHashingLbConfig, LocalityConfigSpecifier, LocalityWeightedLbConfig, ZoneAwareLbConfig,
        },
    },
    load_balancing_policy::Policy,
};
use leno_proto::envoy::config::core::v3::{RuntimeDouble, TypedExtensionConfig};
use leno_proto::envoy::extensions::load_balancing_policies::common::v3::{
    ConsistentHashingLbConfig as HashingInList, LocalityLbConfig, SlowStartConfig,
    locality_lb_config::{
        LocalityConfigSpecifier as InList, LocalityWeightedLbConfig as WeightedInList, ZoneAwareLbConfig as ZonesInList,
    },
};
use leno_proto::envoy::extensions::load_balancing_policies::least_request::v3::{
    LeastRequest as ProtoLeastRequest, least_request::SelectionMethod,
};
use leno_proto::envoy::extensions::load_balancing_policies::maglev::v3::Maglev;
use leno_proto::envoy::extensions::load_balancing_policies::random::v3::Random;
use leno_proto::envoy::extensions::load_balancing_policies::ring_hash::v3::RingHash;
use leno_proto::envoy::extensions::load_balancing_policies::round_robin::v3::RoundRobin;
use leno_proto::envoy::extensions::load_balancing_policies::subset::v3::Subset;
use leno_proto::envoy::extensions::load_balancing_policies::wrr_locality::v3::WrrLocality;
use leno_proto::envoy::r#type::v3::Percent;
use leno_proto::google::protobuf::{self, Any, UInt32Value, UInt64Value};
use leno_proto::leno::{PEAK_EWMA_TYPE, PeakEwma};
use prost::Message;

use super::common::{any, duration, is_type, read_duration, u32_value, unpack};
use super::error::{At, DecodeError, Result, refuse};
use super::{discovery, endpoints, hash, subset};

const CLUSTER_PROVIDED_TYPE: &str = "envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided";
const LEAST_REQUEST_TYPE: &str = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest";
const RANDOM_TYPE: &str = "envoy.extensions.load_balancing_policies.random.v3.Random";
const ROUND_ROBIN_TYPE: &str = "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin";
const SUBSET_TYPE: &str = "envoy.extensions.load_balancing_policies.subset.v3.Subset";
const WRR_LOCALITY_TYPE: &str = "envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality";

pub(super) fn encode(proto: &mut Proto, cluster: &Cluster, flavor: Flavor) {
    let balancing = &cluster.balancing;
    if flavor == Flavor::Grpc {
        // What gRPC has for all the others (A27, A42).
        match cluster.balancer {
            BalancerPolicy::RingHash { .. } => encode_policy(proto, &cluster.balancer, None, flavor),
            _ => proto.lb_policy = LbPolicy::RoundRobin.into(),
        }
        return;
    }
    // Envoy's default would use unhealthy endpoints once half are.
    let default = (flavor == Flavor::Envoy).then_some(Fraction::ZERO);
    let mut common = CommonLbConfig {
        healthy_panic_threshold: balancing.panic_threshold.or(default).map(percent),
        ignore_new_hosts_until_first_hc: balancing.ignore_new_until_checked,
        override_host_status: balancing.override_health.as_deref().map(endpoints::encode_statuses),
        ..CommonLbConfig::default()
    };
    match &cluster.balancer {
        BalancerPolicy::LeastRequest(config) if config.is_full_scan => {
            proto.load_balancing_policy = Some(encode_full_scan(config, balancing));
        }
        policy => {
            encode_policy(proto, policy, balancing.slow_start.as_ref(), flavor);
            common.locality_config_specifier = encode_localities(&balancing.localities);
            common.consistent_hashing_lb_config =
                (balancing.hashing != Hashing::default()).then(|| ConsistentHashingLbConfig {
                    use_hostname_for_hashing: balancing.hashing.by_hostname,
                    hash_balance_factor: balancing.hashing.balance_percent.and_then(u32_value),
                });
            proto.lb_subset_config = balancing.subsets.as_deref().map(subset::encode);
        }
    }
    proto.common_lb_config = Some(common);
    proto.ignore_health_on_host_removal = balancing.ignore_health_on_removal;
    proto.close_connections_on_host_health_failure = balancing.closes_connections_of_failed;
}

fn encode_policy(proto: &mut Proto, policy: &BalancerPolicy, slow_start: Option<&SlowStart>, flavor: Flavor) {
    match policy {
        BalancerPolicy::ClusterProvided => proto.lb_policy = LbPolicy::ClusterProvided.into(),
        BalancerPolicy::LeastRequest(config) => encode_least_request(proto, config, slow_start),
        BalancerPolicy::Maglev { table_size } => hash::encode_maglev(proto, *table_size),
        BalancerPolicy::Random => proto.lb_policy = LbPolicy::Random.into(),
        BalancerPolicy::RingHash { minimum_ring_size, maximum_ring_size, function } => {
            hash::encode_ring(proto, *minimum_ring_size, *maximum_ring_size, *function);
        }
        BalancerPolicy::RoundRobin => {
            proto.lb_policy = LbPolicy::RoundRobin.into();
            let slow_start = slow_start.map(slow_start_of_cluster);
            proto.lb_config = slow_start
                .map(|config| LbConfig::RoundRobinLbConfig(RoundRobinLbConfig { slow_start_config: Some(config) }));
        }
        BalancerPolicy::PeakEwma { .. } if flavor == Flavor::Envoy => {
            encode_least_request(proto, &LeastRequest::default(), slow_start);
        }
        BalancerPolicy::PeakEwma { default_rtt, decay } => {
            let config = PeakEwma {
                default_rtt: duration(*default_rtt),
                decay: duration(*decay),
                slow_start: slow_start.map(encode_slow_start),
            };
            proto.load_balancing_policy = Some(list(any(PEAK_EWMA_TYPE, &config)));
        }
    }
}

fn slow_start_of_cluster(slow_start: &SlowStart) -> OfCluster {
    OfCluster {
        slow_start_window: duration(slow_start.window),
        aggression: Some(double(slow_start.aggression)),
        min_weight_percent: Some(percent(slow_start.min_weight)),
    }
}

fn encode_least_request(proto: &mut Proto, config: &LeastRequest, slow_start: Option<&SlowStart>) {
    proto.lb_policy = LbPolicy::LeastRequest.into();
    let bias = Some(config.active_request_bias).filter(|bias| *bias != LeastRequest::ACTIVE_REQUEST_BIAS);
    proto.lb_config = Some(LbConfig::LeastRequestLbConfig(LeastRequestLbConfig {
        choice_count: u32_value(config.choices.max(LeastRequest::CHOICES)),
        active_request_bias: bias.map(double),
        slow_start_config: slow_start.map(slow_start_of_cluster),
    }));
}

/// Least request that looks at all endpoints, which only the policy of a list can say; what else a list has to say is in it.
fn encode_full_scan(config: &LeastRequest, balancing: &Balancing) -> LoadBalancingPolicy {
    let locality_config_specifier = match &balancing.localities {
        LocalityBalancing::Ignored => None,
        LocalityBalancing::Weighted => Some(InList::LocalityWeightedLbConfig(WeightedInList {})),
        LocalityBalancing::ZoneAware(zones) => Some(InList::ZoneAwareLbConfig(ZonesInList {
            routing_enabled: Some(percent(zones.routing_enabled)),
            min_cluster_size: Some(UInt64Value { value: zones.min_cluster_size }),
            fail_traffic_on_panic: zones.fails_in_panic,
            ..ZonesInList::default()
        })),
    };
    let leaf = ProtoLeastRequest {
        choice_count: u32_value(config.choices.max(LeastRequest::CHOICES)),
        active_request_bias: Some(double(config.active_request_bias)),
        selection_method: SelectionMethod::FullScan.into(),
        slow_start_config: balancing.slow_start.as_ref().map(encode_slow_start),
        locality_lb_config: locality_config_specifier
            .map(|specifier| LocalityLbConfig { locality_config_specifier: Some(specifier) }),
        ..ProtoLeastRequest::default()
    };
    let leaf = list(any(LEAST_REQUEST_TYPE, &leaf));
    let Some(settings) = balancing.subsets.as_deref() else { return leaf };
    // The same fields have the same numbers in both messages.
    let subset = Subset::decode(subset::encode(settings).encode_to_vec().as_slice()).unwrap_or_default();
    list(any(SUBSET_TYPE, &Subset { subset_lb_policy: Some(leaf), ..subset }))
}

fn list(policy: Any) -> LoadBalancingPolicy {
    let name = policy.type_url.rsplit('/').next().unwrap_or_default().to_owned();
    let typed_extension_config = Some(TypedExtensionConfig { name, typed_config: Some(policy) });
    LoadBalancingPolicy { policies: vec![Policy { typed_extension_config }] }
}

fn encode_slow_start(slow_start: &SlowStart) -> SlowStartConfig {
    SlowStartConfig {
        slow_start_window: duration(slow_start.window),
        aggression: Some(double(slow_start.aggression)),
        min_weight_percent: Some(percent(slow_start.min_weight)),
    }
}

fn encode_localities(localities: &LocalityBalancing) -> Option<LocalityConfigSpecifier> {
    Some(match localities {
        LocalityBalancing::Ignored => return None,
        LocalityBalancing::Weighted => LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {}),
        LocalityBalancing::ZoneAware(zones) => LocalityConfigSpecifier::ZoneAwareLbConfig(ZoneAwareLbConfig {
            routing_enabled: Some(percent(zones.routing_enabled)),
            min_cluster_size: Some(UInt64Value { value: zones.min_cluster_size }),
            fail_traffic_on_panic: zones.fails_in_panic,
        }),
    })
}

fn percent(share: Fraction) -> Percent {
    Percent { value: share.as_f64() * 100.0 }
}

fn double(value: f64) -> RuntimeDouble {
    RuntimeDouble { default_value: value, ..RuntimeDouble::default() }
}

pub(super) fn decode(proto: &Proto, discovery: &Discovery) -> Result<(BalancerPolicy, Balancing)> {
    let mut balancing = decode_common(proto)?;
    let policy = match &proto.load_balancing_policy {
        None => {
            let subsets = proto.lb_subset_config.as_ref().map(subset::decode).transpose();
            balancing.subsets = subsets.at("lb_subset_config")?.flatten().map(Box::new);
            decode_field(proto, &mut balancing)?
        }
        Some(policies) => {
            refuse_beside_list(proto, policies)?;
            if let Some(subsets) = proto.lb_subset_config.as_ref() {
                balancing.subsets = subset::decode(subsets).at("lb_subset_config")?.map(Box::new);
            }
            decode_list(policies, &mut balancing).at("load_balancing_policy")?
        }
    };
    let has_names = matches!(discovery, Discovery::Dns(dns) if !dns.is_logical);
    if balancing.hashing.by_hostname && !has_names {
        return Err(DecodeError::new("use_hostname_for_hashing", "is only for clusters of type STRICT_DNS"));
    }
    if balancing.subsets.as_ref().is_some_and(|subsets| subsets.weighs_localities)
        && balancing.localities != LocalityBalancing::Weighted
    {
        return Err(DecodeError::new("lb_subset_config.locality_weight_aware", "needs locality_weighted_lb_config"));
    }
    let is_provided = policy == BalancerPolicy::ClusterProvided;
    let provides = discovery::provides_balancer(discovery);
    if is_provided != provides {
        let reason = if provides {
            "must be CLUSTER_PROVIDED for a cluster of this type"
        } else {
            "CLUSTER_PROVIDED, and a cluster of this type provides none"
        };
        return Err(DecodeError::new("lb_policy", reason));
    }
    Ok((policy, balancing))
}

/// What a list says itself; ours is written beside them.
fn refuse_beside_list(proto: &Proto, policies: &LoadBalancingPolicy) -> Result<()> {
    let is_ours = |policy: &Policy| {
        let config = policy.typed_extension_config.as_ref().and_then(|extension| extension.typed_config.as_ref());
        is_type(config, PEAK_EWMA_TYPE)
    };
    if policies.policies.iter().any(is_ours) {
        return Ok(());
    }
    let beside =
        |field: &str| Err(DecodeError::new(field, "cannot be set beside load_balancing_policy, which says it itself"));
    if proto.lb_subset_config.as_ref().is_some_and(|config| !config.subset_selectors.is_empty()) {
        return beside("lb_subset_config");
    }
    let Some(common) = &proto.common_lb_config else { return Ok(()) };
    if common.locality_config_specifier.is_some() || common.consistent_hashing_lb_config.is_some() {
        return beside("common_lb_config");
    }
    Ok(())
}

fn decode_common(proto: &Proto) -> Result<Balancing> {
    let none = CommonLbConfig::default();
    let common = proto.common_lb_config.as_ref().unwrap_or(&none);
    let decode = || {
        refuse!(common, close_connections_on_host_set_change);
        let hashing = common.consistent_hashing_lb_config.as_ref();
        Ok(Balancing {
            panic_threshold: common
                .healthy_panic_threshold
                .as_ref()
                .map(|percent| Fraction::from_percent_f64(percent.value))
                .transpose()
                .map_err(|error| DecodeError::new("healthy_panic_threshold", error.to_string()))?,
            localities: match &common.locality_config_specifier {
                None => LocalityBalancing::Ignored,
                Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(_)) => LocalityBalancing::Weighted,
                Some(LocalityConfigSpecifier::ZoneAwareLbConfig(zones)) => zone_aware(
                    zones.routing_enabled.as_ref(),
                    zones.min_cluster_size.as_ref(),
                    zones.fail_traffic_on_panic,
                ),
            },
            ignore_new_until_checked: common.ignore_new_hosts_until_first_hc,
            ignore_health_on_removal: proto.ignore_health_on_host_removal,
            closes_connections_of_failed: proto.close_connections_on_host_health_failure,
            hashing: match hashing {
                None => Hashing::default(),
                Some(config) => decode_hashing(config.use_hostname_for_hashing, config.hash_balance_factor)
                    .at("consistent_hashing_lb_config")?,
            },
            slow_start: None,
            subsets: None,
            override_health: common.override_host_status.as_ref().map(endpoints::decode_statuses).transpose()?,
        })
    };
    decode().at("common_lb_config")
}

fn zone_aware(enabled: Option<&Percent>, size: Option<&UInt64Value>, fails_in_panic: bool) -> LocalityBalancing {
    let default = ZoneAware::default();
    let enabled = enabled.map(|enabled| Fraction::from_percent_f64(enabled.value.clamp(0.0, 100.0)));
    LocalityBalancing::ZoneAware(ZoneAware {
        routing_enabled: enabled.and_then(|enabled| enabled.ok()).unwrap_or(default.routing_enabled),
        min_cluster_size: size.map_or(default.min_cluster_size, |size| size.value),
        fails_in_panic,
    })
}

fn decode_hashing(by_hostname: bool, factor: Option<UInt32Value>) -> Result<Hashing> {
    let balance_percent = factor.map(|factor| factor.value);
    if balance_percent.is_some_and(|percent| percent < 100) {
        return Err(DecodeError::new("hash_balance_factor", "is below 100"));
    }
    Ok(Hashing { by_hostname, balance_percent })
}

/// `None`: without a window there is no slow start.
fn slow_start(
    window: Option<&protobuf::Duration>,
    aggression: Option<&RuntimeDouble>,
    min_weight: Option<&Percent>,
) -> Result<Option<SlowStart>> {
    let Some(window) = read_duration(window).filter(|window| !window.is_zero()) else { return Ok(None) };
    let default = SlowStart::new(window);
    let aggression = aggression.map_or(default.aggression, |aggression| aggression.default_value);
    if aggression <= 0.0 || !aggression.is_finite() {
        return Err(DecodeError::new("aggression", "must be above 0"));
    }
    let min_weight = min_weight.map(|share| Fraction::from_percent_f64(share.value)).transpose();
    let min_weight = min_weight.map_err(|error| DecodeError::new("min_weight_percent", error.to_string()))?;
    Ok(Some(SlowStart { window, aggression, min_weight: min_weight.unwrap_or(default.min_weight) }))
}

fn of_cluster(config: Option<&OfCluster>) -> Result<Option<SlowStart>> {
    let Some(config) = config else { return Ok(None) };
    slow_start(config.slow_start_window.as_ref(), config.aggression.as_ref(), config.min_weight_percent.as_ref())
        .at("slow_start_config")
}

fn of_list(config: Option<&SlowStartConfig>) -> Result<Option<SlowStart>> {
    let Some(config) = config else { return Ok(None) };
    slow_start(config.slow_start_window.as_ref(), config.aggression.as_ref(), config.min_weight_percent.as_ref())
        .at("slow_start_config")
}

fn least_request(choices: Option<&UInt32Value>, bias: Option<&RuntimeDouble>) -> Result<LeastRequest> {
    let default = LeastRequest::default();
    let choices = choices.map_or(default.choices, |choices| choices.value);
    if choices < LeastRequest::CHOICES {
        return Err(DecodeError::new("choice_count", "is below 2"));
    }
    let active_request_bias = bias.map_or(default.active_request_bias, |bias| bias.default_value);
    if active_request_bias < 0.0 || !active_request_bias.is_finite() {
        return Err(DecodeError::new("active_request_bias", "is below 0"));
    }
    Ok(LeastRequest { choices, active_request_bias, ..default })
}

fn decode_field(proto: &Proto, balancing: &mut Balancing) -> Result<BalancerPolicy> {
    match proto.lb_policy() {
        LbPolicy::ClusterProvided => Ok(BalancerPolicy::ClusterProvided),
        LbPolicy::LeastRequest => {
            let none = LeastRequestLbConfig::default();
            let config = match &proto.lb_config {
                Some(LbConfig::LeastRequestLbConfig(config)) => config,
                _ => &none,
            };
            balancing.slow_start = of_cluster(config.slow_start_config.as_ref()).at("least_request_lb_config")?;
            least_request(config.choice_count.as_ref(), config.active_request_bias.as_ref())
                .at("least_request_lb_config")
                .map(BalancerPolicy::LeastRequest)
        }
        LbPolicy::Maglev => hash::decode_maglev(proto.lb_config.as_ref()),
        LbPolicy::Random => Ok(BalancerPolicy::Random),
        LbPolicy::RingHash => hash::decode_ring(proto.lb_config.as_ref()),
        LbPolicy::RoundRobin => {
            if let Some(LbConfig::RoundRobinLbConfig(config)) = &proto.lb_config {
                balancing.slow_start = of_cluster(config.slow_start_config.as_ref()).at("round_robin_lb_config")?;
            }
            Ok(BalancerPolicy::RoundRobin)
        }
        LbPolicy::LoadBalancingPolicyConfig => Err(DecodeError::new("load_balancing_policy", "is missing")),
    }
}

/// The first that is known.
fn decode_list(policies: &LoadBalancingPolicy, balancing: &mut Balancing) -> Result<BalancerPolicy> {
    for (index, policy) in policies.policies.iter().enumerate() {
        let config = policy.typed_extension_config.as_ref().and_then(|extension| extension.typed_config.as_ref());
        let Some(config) = config else { continue };
        if let Some(known) = decode_extension(config, balancing).at_index("policies", index)? {
            return Ok(known);
        }
    }
    Err(DecodeError::new("policies", "none of them is supported"))
}

/// `None`: a policy we do not have.
#[allow(deprecated, reason = "Envoy still reads the older fields")]
fn decode_extension(config: &Any, balancing: &mut Balancing) -> Result<Option<BalancerPolicy>> {
    let type_name = config.type_url.rsplit('/').next().unwrap_or_default();
    let config = Some(config);
    Ok(Some(match type_name {
        PEAK_EWMA_TYPE => {
            let ewma: PeakEwma = unpack(config, type_name)?;
            let (default_rtt, decay) = (read_duration(ewma.default_rtt.as_ref()), read_duration(ewma.decay.as_ref()));
            let Some((default_rtt, decay)) = default_rtt.zip(decay) else { return Ok(None) };
            balancing.slow_start = of_list(ewma.slow_start.as_ref())?;
            BalancerPolicy::PeakEwma { default_rtt, decay }
        }
        CLUSTER_PROVIDED_TYPE => BalancerPolicy::ClusterProvided,
        LEAST_REQUEST_TYPE => {
            let policy: ProtoLeastRequest = unpack(config, type_name)?;
            balancing.slow_start = of_list(policy.slow_start_config.as_ref())?;
            set_localities(balancing, policy.locality_lb_config.as_ref())?;
            BalancerPolicy::LeastRequest(LeastRequest {
                is_full_scan: policy.selection_method() == SelectionMethod::FullScan,
                ..least_request(policy.choice_count.as_ref(), policy.active_request_bias.as_ref())?
            })
        }
        RANDOM_TYPE => {
            let policy: Random = unpack(config, type_name)?;
            set_localities(balancing, policy.locality_lb_config.as_ref())?;
            BalancerPolicy::Random
        }
        ROUND_ROBIN_TYPE => {
            let policy: RoundRobin = unpack(config, type_name)?;
            balancing.slow_start = of_list(policy.slow_start_config.as_ref())?;
            set_localities(balancing, policy.locality_lb_config.as_ref())?;
            BalancerPolicy::RoundRobin
        }
        hash::RING_HASH_TYPE => {
            let policy: RingHash = unpack(config, type_name)?;
            set_hashing(balancing, policy.consistent_hashing_lb_config.as_ref(), policy.locality_weighted_lb_config)?;
            if policy.consistent_hashing_lb_config.is_none() {
                balancing.hashing = decode_hashing(policy.use_hostname_for_hashing, policy.hash_balance_factor)?;
            }
            hash::decode_ring_extension(&policy)?
        }
        hash::MAGLEV_TYPE => {
            let policy: Maglev = unpack(config, type_name)?;
            set_hashing(balancing, policy.consistent_hashing_lb_config.as_ref(), policy.locality_weighted_lb_config)?;
            hash::decode_maglev_extension(&policy)?
        }
        SUBSET_TYPE => {
            let policy: Subset = unpack(config, type_name)?;
            refuse!(policy, allow_redundant_keys);
            let child = policy.subset_lb_policy.as_ref();
            let child = child.ok_or_else(|| DecodeError::new("subset_lb_policy", "is missing"))?;
            let policy_of_child = decode_list(child, balancing).at("subset_lb_policy")?;
            // The same fields have the same numbers in both messages.
            let settings = LbSubsetConfig::decode(policy.encode_to_vec().as_slice()).unwrap_or_default();
            balancing.subsets = subset::decode(&settings)?.map(Box::new);
            policy_of_child
        }
        WRR_LOCALITY_TYPE => {
            let policy: WrrLocality = unpack(config, type_name)?;
            let child = policy.endpoint_picking_policy.as_ref();
            let child = child.ok_or_else(|| DecodeError::new("endpoint_picking_policy", "is missing"))?;
            let policy_of_child = decode_list(child, balancing).at("endpoint_picking_policy")?;
            balancing.localities = LocalityBalancing::Weighted;
            policy_of_child
        }
        _ => return Ok(None),
    }))
}

#[allow(deprecated, reason = "a field that is refused has to be looked at")]
fn set_localities(balancing: &mut Balancing, config: Option<&LocalityLbConfig>) -> Result<()> {
    balancing.localities = match config.and_then(|config| config.locality_config_specifier.as_ref()) {
        // Ours is written beside its list.
        None => return Ok(()),
        Some(InList::LocalityWeightedLbConfig(_)) => LocalityBalancing::Weighted,
        Some(InList::ZoneAwareLbConfig(zones)) => {
            let decode = || {
                refuse!(zones, force_locality_direct_routing, force_local_zone, locality_basis);
                Ok(zone_aware(
                    zones.routing_enabled.as_ref(),
                    zones.min_cluster_size.as_ref(),
                    zones.fail_traffic_on_panic,
                ))
            };
            decode().at("locality_lb_config.zone_aware_lb_config")?
        }
    };
    Ok(())
}

fn set_hashing(
    balancing: &mut Balancing,
    config: Option<&HashingInList>,
    weighted: Option<WeightedInList>,
) -> Result<()> {
    if weighted.is_some() {
        balancing.localities = LocalityBalancing::Weighted;
    }
    let Some(config) = config else { return Ok(()) };
    let decode = || {
        refuse!(config, hash_policy);
        decode_hashing(config.use_hostname_for_hashing, config.hash_balance_factor)
    };
    balancing.hashing = decode().at("consistent_hashing_lb_config")?;
    Ok(())
}
