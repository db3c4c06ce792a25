use std::collections::HashMap;

use leno_ir::{CidrRange, FilterChain, FilterChainMatch, SourceType, TransportProtocol};
use leno_proto::envoy::config::core::v3::CidrRange as ProtoRange;
use leno_proto::envoy::config::listener::v3::{FilterChainMatch as Proto, filter_chain_match::ConnectionSourceType};

use crate::codec::common::u32_value;
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::rbac::{decode_range, encode_range};

pub(super) fn encode(matches: &FilterChainMatch) -> Proto {
    let ranges = |ranges: &[CidrRange]| ranges.iter().map(encode_range).collect();
    Proto {
        destination_port: matches.destination_port.and_then(|port| u32_value(port.into())),
        prefix_ranges: ranges(&matches.prefix_ranges),
        server_names: matches.server_names.clone(),
        transport_protocol: match matches.transport_protocol {
            None => "",
            Some(TransportProtocol::RawBuffer) => "raw_buffer",
            Some(TransportProtocol::Tls) => "tls",
        }
        .to_owned(),
        application_protocols: matches.application_protocols.clone(),
        direct_source_prefix_ranges: ranges(&matches.direct_source_prefix_ranges),
        source_type: match matches.source_type {
            None => ConnectionSourceType::Any,
            Some(SourceType::External) => ConnectionSourceType::External,
            Some(SourceType::SameIpOrLoopback) => ConnectionSourceType::SameIpOrLoopback,
        }
        .into(),
        source_prefix_ranges: ranges(&matches.source_prefix_ranges),
        source_ports: matches.source_ports.iter().map(|port| u32::from(*port)).collect(),
        ..Proto::default()
    }
}

pub(super) fn decode(matches: &Proto) -> Result<FilterChainMatch> {
    refuse!(matches, address_suffix, suffix_len);
    let port = |field: &str, port: u32| {
        u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| DecodeError::new(field, format!("{port} is no port")))
    };
    let ranges = |field: &str, ranges: &[ProtoRange]| {
        let ranges = ranges.iter().enumerate();
        ranges.map(|(index, range)| decode_range(range).at_index(field, index)).collect::<Result<Vec<_>>>()
    };
    for (index, name) in matches.server_names.iter().enumerate() {
        if name.strip_prefix("*.").unwrap_or(name).contains('*') {
            let reason = format!("\"{name}\": only whole labels can be left open, as in *.example.com");
            return Err(DecodeError::new(format!("server_names[{index}]"), reason));
        }
    }
    Ok(FilterChainMatch {
        destination_port: matches
            .destination_port
            .as_ref()
            .map(|value| port("destination_port", value.value))
            .transpose()?,
        prefix_ranges: ranges("prefix_ranges", &matches.prefix_ranges)?,
        server_names: matches.server_names.clone(),
        transport_protocol: match matches.transport_protocol.as_str() {
            "" => None,
            "raw_buffer" => Some(TransportProtocol::RawBuffer),
            "tls" => Some(TransportProtocol::Tls),
            other => return Err(DecodeError::new("transport_protocol", format!("\"{other}\" is not supported"))),
        },
        application_protocols: matches.application_protocols.clone(),
        direct_source_prefix_ranges: ranges("direct_source_prefix_ranges", &matches.direct_source_prefix_ranges)?,
        source_type: match matches.source_type() {
            ConnectionSourceType::Any => None,
            ConnectionSourceType::External => Some(SourceType::External),
            ConnectionSourceType::SameIpOrLoopback => Some(SourceType::SameIpOrLoopback),
        },
        source_prefix_ranges: ranges("source_prefix_ranges", &matches.source_prefix_ranges)?,
        source_ports: matches.source_ports.iter().map(|value| port("source_ports", *value)).collect::<Result<_>>()?,
    })
}

/// One value of each criterion; `None` where any will do.
#[derive(Eq, Hash, PartialEq)]
struct Rule<'a> {
    port: Option<u16>,
    destination: Option<String>,
    server_name: Option<String>,
    transport: Option<TransportProtocol>,
    application: Option<&'a str>,
    direct_source: Option<String>,
    source_type: Option<SourceType>,
    source: Option<String>,
    source_port: Option<u16>,
}

/// More than anybody writes; beyond it duplicates are not looked for.
const MOST_RULES: usize = 100_000;

/// Two chains with one rule would leave open which of them serves: Envoy refuses them, too.
pub(super) fn check_duplicates(chains: &[FilterChain]) -> Result<()> {
    let mut seen: HashMap<Rule<'_>, usize> = HashMap::new();
    for (index, chain) in chains.iter().enumerate() {
        let mut found = None;
        each_rule(&chain.matches, &mut |rule| {
            if seen.len() < MOST_RULES
                && let Some(other) = seen.insert(rule, index)
                && other != index
            {
                found = Some(other);
            }
        });
        if let Some(other) = found {
            let reason = format!("matches the same connections as filter_chains[{other}]");
            return Err(DecodeError::new(format!("filter_chains[{index}].filter_chain_match"), reason));
        }
    }
    Ok(())
}

fn each_rule<'a>(matches: &'a FilterChainMatch, each: &mut impl FnMut(Rule<'a>)) {
    fn or_any<T>(values: Vec<T>) -> Vec<Option<T>> {
        if values.is_empty() { vec![None] } else { values.into_iter().map(Some).collect() }
    }
    let ranges = |ranges: &[CidrRange]| or_any(ranges.iter().map(|range| format!("{range:?}")).collect());
    let names = or_any(matches.server_names.iter().map(|name| name.to_ascii_lowercase()).collect());
    let protocols = or_any(matches.application_protocols.iter().map(String::as_str).collect());
    let (sources, ports) = (ranges(&matches.source_prefix_ranges), or_any(matches.source_ports.clone()));
    for destination in ranges(&matches.prefix_ranges) {
        for server_name in &names {
            for application in &protocols {
                for direct_source in ranges(&matches.direct_source_prefix_ranges) {
                    for source in &sources {
                        for source_port in &ports {
                            each(Rule {
                                port: matches.destination_port,
                                destination: destination.clone(),
                                server_name: server_name.clone(),
                                transport: matches.transport_protocol,
                                application: *application,
                                direct_source: direct_source.clone(),
                                source_type: matches.source_type,
                                source: source.clone(),
                                source_port: *source_port,
                            });
                        }
                    }
                }
            }
        }
    }
}
