//! `leno bootstrap`: what a guest needs to join: its identity, and where to ask for everything else.
//!
//! Shape       envoy: one YAML on standard output, credentials inside or in files; grpc: a directory with files
//! Invariants  the identity is the workload's own, obtained with the join token like any other; files are renewed only for
//!             as long as we are asked to stay

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use leno_identity::{Identity, Svid};
use leno_ir::{Flavor, Node};
use leno_names::Locality;
use leno_runtime::Tasks;
use leno_telemetry::Registry;
use serde_json::{Value, json};

use self::files::{Files, Format};
use crate::parent;
use crate::role::proxy::join_config;
use crate::role::proxy_args::ProxyArgs;
use crate::role::workload;

mod files;

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
    /// Keep the certificate for the control plane in files there instead of in the bootstrap; made if it is not there.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Stay and renew the certificate for the control plane until stopped. Without this Envoy cannot connect to the control
    /// plane any more once the certificate has expired.
    #[arg(long, requires = "directory")]
    stay: bool,
}

#[derive(Args, Debug)]
pub(crate) struct GrpcArgs {
    #[command(flatten)]
    proxy: ProxyArgs,
    /// Where the files go; made if it is not there.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// Stay and renew the certificate until stopped. Without this the program leaves the mesh once it has expired.
    #[arg(long)]
    stay: bool,
}

pub(crate) async fn run(command: BootstrapCommand) -> anyhow::Result<i32> {
    match command {
        BootstrapCommand::Envoy(args) => {
            let identity = identity(&args.proxy).await?;
            let svid = identity.current();
            let files = args.directory.as_deref().map(Files::create).transpose()?;
            let bootstrap = envoy(&args.proxy, &svid, files.as_ref())?;
            say(&serde_saphyr::to_string(&bootstrap).context("writing the bootstrap")?)?;
            if let Some(files) = files.filter(|_| args.stay) {
                keep_renewed(identity, &args.proxy, &files, Format::Envoy).await?;
            }
        }
        BootstrapCommand::Grpc(args) => {
            let identity = identity(&args.proxy).await?;
            let files = Files::create(&args.directory)?;
            let path = grpc(&args.proxy, &identity.current(), &files)?;
            say(&format!("export GRPC_XDS_BOOTSTRAP={}\n", path.display()))?;
            if args.stay {
                keep_renewed(identity, &args.proxy, &files, Format::Pem).await?;
            }
        }
    }
    Ok(0)
}

async fn identity(args: &ProxyArgs) -> anyhow::Result<Identity> {
    let join = join_config(args, args.state.clone())?;
    leno_identity::join(&join).await.context("getting an identity")
}

/// At once, even when standard output is a file and we stay.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("writing to standard output")
}

/// Renews at half life, as sidecars do, until a signal comes.
async fn keep_renewed(identity: Identity, args: &ProxyArgs, files: &Files, format: Format) -> anyhow::Result<()> {
    let tasks = Tasks::new();
    let mut changed = identity.changed();
    leno_identity::spawn_rotation(identity.clone(), join_config(args, args.state.clone())?, &tasks, &Registry::new());
    let renewing = async {
        while changed.changed().await.is_ok() {
            if let Err(error) = files.write_svid(&identity.current(), format) {
                tracing::error!(error = format!("{error:#}"), "the renewed certificate cannot be handed on");
            }
        }
    };
    tokio::select! {
        () = renewing => {}
        result = parent::shutdown(false) => result?,
    }
    tasks.stop().await;
    Ok(())
}

fn envoy(args: &ProxyArgs, svid: &Svid, files: Option<&Files>) -> anyhow::Result<Value> {
    // Only looked for: Envoy binds addresses of the block itself, and is the only one to use this workload's name.
    let block = workload::claim(args, None).context("looking for a free block of loopback addresses")?;
    let node = workload::node(args, Flavor::Envoy, block.prefix())?;
    let admin = args.admin.unwrap_or_else(|| (block.address(), workload::ADMIN_PORT).into());
    let tls = control_tls(svid, files)?;
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

/// How Envoy shows itself to the control plane and knows it.
fn control_tls(svid: &Svid, files: Option<&Files>) -> anyhow::Result<Value> {
    let control_name = format!("spiffe://{}/ns/leno-system/sa/leno-control", svid.id.trust_domain);
    let names = json!([{"san_type": "URI", "matcher": {"exact": control_name}}]);
    let mut common = json!({
        "alpn_protocols": ["h2"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
    });
    if let Some(files) = files {
        files.write_svid(svid, Format::Envoy)?;
        let (certificate, roots) = files.references();
        common["tls_certificate_sds_secret_configs"] = json!([certificate]);
        common["combined_validation_context"] = json!({
            "default_validation_context": {"match_typed_subject_alt_names": names},
            "validation_context_sds_secret_config": roots,
        });
    } else {
        common["tls_certificates"] = json!([files::certificate(svid)]);
        common["validation_context"] = files::roots(svid);
        common["validation_context"]["match_typed_subject_alt_names"] = names;
    }
    Ok(json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": common,
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

/// Writes everything; the value is the path of the bootstrap.
fn grpc(args: &ProxyArgs, svid: &Svid, directory: &Files) -> anyhow::Result<PathBuf> {
    directory.write_svid(svid, Format::Pem)?;
    let path = |name: &str| directory.path(name);
    let block = workload::claim(args, None).context("looking for a free block of loopback addresses")?;
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
    directory.write("bootstrap.json", &text)?;
    Ok(path("bootstrap.json"))
}
