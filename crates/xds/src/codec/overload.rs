//! The overload manager, which only a bootstrap has.

use std::time::Duration;

use leno_ir::{Overload, OverloadAction, OverloadActionKind, OverloadTrigger};
use leno_proto::envoy::config::overload::v3::{
    OverloadAction as ProtoAction, OverloadManager, ResourceMonitor, Trigger, resource_monitor, trigger,
};
use leno_proto::envoy::extensions::resource_monitors::downstream_connections::v3::DownstreamConnectionsConfig;
use leno_proto::envoy::extensions::resource_monitors::fixed_heap::v3::FixedHeapConfig;

use super::common::{is_type, read_duration, unpack};
use super::error::{At, DecodeError, Result, refuse};

const CONNECTIONS: &str = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig";
const HEAP: &str = "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig";
const HEAP_NAME: &str = "envoy.resource_monitors.fixed_heap";
const CONNECTIONS_NAME: &str = "envoy.resource_monitors.global_downstream_max_connections";
const ACTION_PREFIX: &str = "envoy.overload_actions.";

/// Envoy's.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// Chosen: a look takes some microseconds.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

pub(super) fn decode(proto: &OverloadManager) -> Result<Overload> {
    refuse!(proto, loadshed_points, buffer_factory_config);
    let refresh_interval = read_duration(proto.refresh_interval.as_ref()).unwrap_or(REFRESH_INTERVAL);
    if refresh_interval < SHORTEST_INTERVAL {
        return Err(DecodeError::new("refresh_interval", "must be at least 0.001s"));
    }
    let mut overload =
        Overload { refresh_interval, max_heap_size_bytes: None, max_downstream_connections: None, actions: Vec::new() };
    if proto.resource_monitors.is_empty() {
        return Err(DecodeError::new("resource_monitors", "must be at least one"));
    }
    for (index, monitor) in proto.resource_monitors.iter().enumerate() {
        add_monitor(&mut overload, monitor).at_index("resource_monitors", index)?;
    }
    for (index, action) in proto.actions.iter().enumerate() {
        add_action(&mut overload, action).at_index("actions", index)?;
    }
    Ok(overload)
}

fn add_monitor(overload: &mut Overload, monitor: &ResourceMonitor) -> Result<()> {
    let config = monitor.config_type.as_ref().map(|resource_monitor::ConfigType::TypedConfig(config)| config);
    let previous = if is_type(config, CONNECTIONS) {
        check_name(&monitor.name, CONNECTIONS_NAME)?;
        let limit = unpack::<DownstreamConnectionsConfig>(config, CONNECTIONS)?.max_active_downstream_connections;
        let limit = u64::try_from(limit).ok().filter(|limit| *limit > 0);
        let field = "typed_config.max_active_downstream_connections";
        let limit = limit.ok_or_else(|| DecodeError::new(field, "must be at least 1"))?;
        overload.max_downstream_connections.replace(limit)
    } else {
        let heap = unpack::<FixedHeapConfig>(config, HEAP)?;
        check_name(&monitor.name, HEAP_NAME)?;
        if heap.max_heap_size_bytes_runtime.is_some() {
            return Err(DecodeError::unsupported("typed_config.max_heap_size_bytes_runtime"));
        }
        if heap.max_heap_size_bytes == 0 {
            return Err(DecodeError::new("typed_config.max_heap_size_bytes", "must be at least 1"));
        }
        overload.max_heap_size_bytes.replace(heap.max_heap_size_bytes)
    };
    match previous {
        Some(_) => Err(DecodeError::new("name", format!("another monitor is called {}", monitor.name))),
        None => Ok(()),
    }
}

fn check_name(name: &str, of_type: &str) -> Result<()> {
    if name == of_type {
        return Ok(());
    }
    Err(DecodeError::new("name", format!("its configuration is that of {of_type}")))
}

fn add_action(overload: &mut Overload, action: &ProtoAction) -> Result<()> {
    refuse!(action, typed_config);
    let kind = action.name.strip_prefix(ACTION_PREFIX);
    let kind = kind.and_then(|name| OverloadActionKind::ALL.into_iter().find(|kind| kind.as_str() == name));
    let kind = kind.ok_or_else(|| DecodeError::new("name", format!("{} is not supported", action.name)))?;
    if overload.actions.iter().any(|other| other.kind == kind) {
        return Err(DecodeError::new("name", format!("another action is called {}", action.name)));
    }
    // An action has one trigger a monitor, and one monitor can be a trigger.
    let [trigger] = action.triggers.as_slice() else {
        return Err(DecodeError::new("triggers", "must be exactly one"));
    };
    let trigger = decode_trigger(trigger, overload).at_index("triggers", 0)?;
    overload.actions.push(OverloadAction { kind, trigger });
    Ok(())
}

fn decode_trigger(proto: &Trigger, overload: &Overload) -> Result<OverloadTrigger> {
    if proto.name != HEAP_NAME || overload.max_heap_size_bytes.is_none() {
        return Err(DecodeError::new("name", format!("there is no monitor {} that is looked at in turn", proto.name)));
    }
    let share = |value: f64, field: &str| {
        let is_share = (0.0..=1.0).contains(&value);
        if is_share { Ok(value) } else { Err(DecodeError::new(field, "must be between 0 and 1")) }
    };
    match &proto.trigger_oneof {
        Some(trigger::TriggerOneof::Threshold(threshold)) => {
            Ok(OverloadTrigger::Threshold(share(threshold.value, "threshold.value")?))
        }
        Some(trigger::TriggerOneof::Scaled(scaled)) => {
            let scaling = share(scaled.scaling_threshold, "scaled.scaling_threshold")?;
            let saturation = share(scaled.saturation_threshold, "scaled.saturation_threshold")?;
            if scaling >= saturation {
                return Err(DecodeError::new("scaled.saturation_threshold", "must be above scaling_threshold"));
            }
            Ok(OverloadTrigger::Scaled { scaling, saturation })
        }
        None => Err(DecodeError::new("threshold", "is missing, and so is scaled")),
    }
}
