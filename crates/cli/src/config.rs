use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value};

use crate::ApiClient;
use crate::rows::text;
use crate::table::Table;

#[derive(Debug, Args)]
#[command(after_help = "Example: leno config clusters --admin 127.0.0.1:15000")]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// The sockets it listens on.
    Listeners(ProxyArgs),
    /// The route tables it picks clusters with.
    Routes(ProxyArgs),
    /// Whom it can talk to, and how.
    Clusters(ProxyArgs),
    /// The addresses behind the clusters.
    Endpoints(ProxyArgs),
    /// All of it as JSON.
    Dump(ProxyArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: leno config listeners --admin 127.0.0.1:15000 -o json")]
struct ProxyArgs {
    /// The proxy's admin address.
    #[arg(long, env = "LENO_ADMIN", default_value = "127.0.0.1:15000", value_name = "ADDRESS")]
    admin: String,
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Json,
    Table,
}

pub(crate) async fn run(args: ConfigArgs) -> anyhow::Result<i32> {
    let (proxy, part) = match &args.command {
        ConfigCommand::Listeners(proxy) => (proxy, Some("listeners")),
        ConfigCommand::Routes(proxy) => (proxy, Some("route_tables")),
        ConfigCommand::Clusters(proxy) => (proxy, Some("clusters")),
        ConfigCommand::Endpoints(proxy) => (proxy, Some("endpoints")),
        ConfigCommand::Dump(proxy) => (proxy, None),
    };
    let dump = ApiClient::of_proxy(&proxy.admin)?.get("/config").await?;
    let config = config_of(&dump);
    match (proxy.output, part) {
        (Format::Json, Some(part)) => println!("{}", serde_json::to_string_pretty(&config[part])?),
        (_, None) => println!("{}", serde_json::to_string_pretty(&dump)?),
        (Format::Table, Some(part)) => print!("{}", render(part, config)),
    }
    Ok(0)
}

/// The dump also tells of the version and the certificates.
pub(crate) fn config_of(dump: &Value) -> &Value {
    dump.get("config").unwrap_or(dump)
}

pub(crate) fn render(part: &str, config: &Value) -> String {
    let none = Map::new();
    let entries = config[part].as_object().unwrap_or(&none);
    let table = match part {
        "listeners" => listeners(entries),
        "route_tables" => routes(entries),
        "clusters" => clusters(entries),
        _ => endpoints(entries),
    };
    if table.is_empty() { format!("no {part}\n") } else { table.render() }
}

fn listeners(entries: &Map<String, Value>) -> Table {
    let mut table = Table::new(["NAME", "ADDRESS", "DIRECTION", "CHAINS"]);
    for (name, listener) in entries {
        let chains = listener["filter_chains"].as_array().map_or(0, Vec::len);
        let chains = chains + usize::from(!listener["default_filter_chain"].is_null());
        table.row([name.clone(), text(&listener["address"]), text(&listener["direction"]), chains.to_string()]);
    }
    table
}

fn routes(entries: &Map<String, Value>) -> Table {
    let mut table = Table::new(["TABLE", "VIRTUAL-HOST", "ROUTES", "DOMAINS"]);
    for (name, routes) in entries {
        for host in routes["virtual_hosts"].as_array().into_iter().flatten() {
            let domains: Vec<_> = host["domains"].as_array().into_iter().flatten().map(text).collect();
            let count = host["routes"].as_array().map_or(0, Vec::len);
            table.row([name.clone(), text(&host["name"]), count.to_string(), domains.join(",")]);
        }
    }
    table
}

fn clusters(entries: &Map<String, Value>) -> Table {
    let mut table = Table::new(["NAME", "DISCOVERY", "TLS", "BALANCER"]);
    for (name, cluster) in entries {
        let tls = if cluster["tls"].is_null() { "plain" } else { "tls" };
        table.row([name.clone(), variant(&cluster["discovery"]), tls.to_owned(), variant(&cluster["balancer"])]);
    }
    table
}

fn endpoints(entries: &Map<String, Value>) -> Table {
    let mut table = Table::new(["CLUSTER", "ADDRESS", "HEALTH", "WEIGHT", "PRIORITY", "WORKLOAD"]);
    for (name, set) in entries {
        for locality in set["localities"].as_array().into_iter().flatten() {
            for endpoint in locality["endpoints"].as_array().into_iter().flatten() {
                table.row([
                    name.clone(),
                    text(&endpoint["address"]),
                    text(&endpoint["health"]),
                    text(&endpoint["weight"]),
                    text(&locality["priority"]),
                    text(&endpoint["workload"]["workload"]),
                ]);
            }
        }
    }
    table
}

/// The name of an enum's variant, however it is written.
fn variant(value: &Value) -> String {
    match value {
        Value::Object(map) => map.keys().next().cloned().unwrap_or_default(),
        other => text(other),
    }
    .to_ascii_lowercase()
}
