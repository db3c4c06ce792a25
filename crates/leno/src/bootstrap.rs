//! `leno bootstrap`: what a guest needs to join: its identity, and where to ask for everything else.
//!
//! Shape       envoy: one YAML on standard output, credentials inside; grpc: a directory with files
//! Invariants  the identity is the workload's own, obtained with the join token like any other

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use leno_identity::Svid;
use leno_ir::{Flavor, Node};
use leno_names::Locality;
use leno_proxy::claim_block;
use serde_json::{Value, json};

use crate::role::proxy::join_config;
use crate::role::proxy_args::ProxyArgs;
use crate::role::workload;

/// Print or write what a guest of the mesh needs to join.
#[derive(Debug, Subcommand)]
pub(crate) enum BootstrapCommand {
    /// Print a bootstrap with which stock Envoy joins as a sidecar.
    #[command(
        after_help = "Example:\n  leno bootstrap envoy --service legacy --port 8080:http --token $TOKEN > envoy.yaml"
    )]
    Envoy(EnvoyArgs),
    /// Write bootstrap and certificates with which a gRPC program joins without a proxy.
    #[command(after_help = "Example:\n  leno bootstrap grpc --service client --token $TOKEN --directory ./grpc")]
    Grpc(GrpcArgs),
}

#[derive(Args, Debug)]
pub(crate) struct EnvoyArgs {
    #[command(flatten)]
    proxy: ProxyArgs,
}

#[derive(Args, Debug)]
pub(crate) struct GrpcArgs {
    #[command(flatten)]
    proxy: ProxyArgs,
    /// Where the files go; made if it is not there.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) async fn run(command: BootstrapCommand) -> anyhow::Result<i32> {
    match command {
        BootstrapCommand::Envoy(args) => {
            let bootstrap = envoy(&args.proxy).await?;
            print!("{}", serde_saphyr::to_string(&bootstrap).context("writing the bootstrap")?);
        }
        BootstrapCommand::Grpc(args) => grpc(&args.proxy, &args.directory).await?,
    }
    Ok(0)
}

async fn identity(args: &ProxyArgs) -> anyhow::Result<std::sync::Arc<Svid>> {
    let join = join_config(args, args.state.clone())?;
    Ok(leno_identity::join(&join).await.context("getting an identity")?.current())
}

async fn envoy(args: &ProxyArgs) -> anyhow::Result<Value> {
    let svid = identity(args).await?;
    // Only looked for: Envoy binds addresses of the block itself, and is the only one to use this workload's name.
    let block = claim_block(None, workload::seed(args)).context("looking for a free block of loopback addresses")?;
    let node = workload::node(args, Flavor::Envoy, block.prefix())?;
    let admin = args.admin.unwrap_or_else(|| (block.address(), workload::ADMIN_PORT).into());
    let control_name = format!("spiffe://{}/ns/leno-system/sa/leno-control", svid.id.trust_domain);
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificates": [{
                "certificate_chain": {"inline_string": svid.chain_pem()},
                "private_key": {"inline_string": svid.key_pem()},
            }],
            "validation_context": {
                "trusted_ca": {"inline_string": svid.roots_pem()},
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": control_name}}],
            },
        },
    });
    let ads = json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    Ok(json!({
        "node": node_value(&node),
        "admin": {"address": socket(&admin.ip().to_string(), admin.port())},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "leno-control"}}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {
            "clusters": [{
                "name": "leno-control",
                "type": "STRICT_DNS",
                "connect_timeout": "3s",
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                        "explicit_http_config": {"http2_protocol_options": {
                            "connection_keepalive": {"interval": "5s", "timeout": "4s"},
                        }},
                    },
                },
                "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
                "load_assignment": {
                    "cluster_name": "leno-control",
                    "endpoints": [{"lb_endpoints": control_endpoints(args)?}],
                },
            }],
        },
    }))
}

fn control_endpoints(args: &ProxyArgs) -> anyhow::Result<Vec<Value>> {
    args.control
        .iter()
        .map(|control| {
            let (host, port) = control.rsplit_once(':').with_context(|| format!("\"{control}\" is not host:port"))?;
            let port = port.parse().with_context(|| format!("\"{control}\" is not host:port"))?;
            Ok(json!({"endpoint": {"address": socket(host.trim_matches(['[', ']']), port)}}))
        })
        .collect()
}

fn socket(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

/// The keys that `ir::Node` documents.
fn node_value(node: &Node) -> Value {
    let ports: Vec<_> = node
        .ports
        .iter()
        .map(|port| {
            json!({
                "port": port.app,
                "appAddress": port.app_address.to_string(),
                "inbound": port.inbound,
                "protocol": port.protocol,
            })
        })
        .collect();
    let mut metadata = json!({
        "NAMESPACE": node.namespace,
        "SERVICE_ACCOUNT": node.service_account,
        "WORKLOAD_NAME": node.workload,
        "LABELS": node.labels,
        "PORTS": ports,
    });
    let optional = [
        ("SERVICE", node.service.clone()),
        ("ADDRESS", node.address.map(|address| address.to_string())),
        ("OUTBOUND_PREFIX", node.outbound_prefix.map(|[first, second]| format!("{first}.{second}"))),
        ("HTTP_PROXY_ADDRESS", node.http_proxy.map(|address| address.to_string())),
        ("ACCESS_LOG", node.access_log.clone()),
        ("ACCESS_LOG_FORMAT", node.access_log_format.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            metadata[name] = Value::from(value);
        }
    }
    let mut value = json!({"id": node.id, "cluster": node.service, "metadata": metadata});
    if node.locality != Locality::default() {
        let Locality { region, zone, sub_zone } = &node.locality;
        value["locality"] = json!({"region": region, "zone": zone, "sub_zone": sub_zone});
    }
    value
}

async fn grpc(args: &ProxyArgs, directory: &Path) -> anyhow::Result<()> {
    let svid = identity(args).await?;
    std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    let directory = directory.canonicalize().with_context(|| format!("resolving {}", directory.display()))?;
    let path = |name: &str| directory.join(name);
    write_private(&path("certificate.pem"), &svid.chain_pem())?;
    write_private(&path("key.pem"), &svid.key_pem())?;
    write_private(&path("roots.pem"), &svid.roots_pem())?;
    let block = claim_block(None, workload::seed(args)).context("looking for a free block of loopback addresses")?;
    let mut node = node_value(&workload::node(args, Flavor::Grpc, block.prefix())?);
    if let Some(metadata) = node["metadata"].as_object_mut() {
        // No proxy stands there to listen.
        ["OUTBOUND_PREFIX", "HTTP_PROXY_ADDRESS", "ADDRESS"].iter().for_each(|key| drop(metadata.remove(*key)));
    }
    let files = json!({
        "certificate_file": path("certificate.pem"),
        "private_key_file": path("key.pem"),
        "ca_certificate_file": path("roots.pem"),
    });
    let mut refreshed = files.clone();
    refreshed["refresh_interval"] = json!("60s");
    anyhow::ensure!(!args.control.is_empty(), "no control plane is known; give its address with --control");
    // The first that answers is used; those after it are fallbacks (gRPC A71).
    let servers = args.control.iter().map(|control| {
        json!({
            "server_uri": control,
            "channel_creds": [{"type": "tls", "config": files}],
            "server_features": ["xds_v3"],
        })
    });
    let bootstrap = json!({
        "xds_servers": servers.collect::<Vec<_>>(),
        "node": node,
        "certificate_providers": {"default": {"plugin_name": "file_watcher", "config": refreshed}},
        "server_listener_resource_name_template": "grpc/server?xds.resource.listening_address=%s",
    });
    let text = serde_json::to_string_pretty(&bootstrap).context("writing the bootstrap")?;
    write_private(&path("bootstrap.json"), &text)?;
    println!("export GRPC_XDS_BOOTSTRAP={}", path("bootstrap.json").display());
    Ok(())
}

fn write_private(path: &Path, content: &str) -> anyhow::Result<()> {
    let write = || {
        let mut file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        std::io::Write::write_all(&mut file, content.as_bytes())
    };
    write().with_context(|| format!("writing {}", path.display()))
}
