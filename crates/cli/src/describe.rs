use std::fmt::Write;

use clap::Args;
use leno_api::Kind;
use serde_json::Value;

use crate::connection::ConnectionArgs;
use crate::table::Table;
use crate::{get, kinds, rows};

#[derive(Debug, Args)]
#[command(after_help = "Example: leno describe virtualservice reviews")]
pub struct DescribeArgs {
    #[arg(value_parser = kinds::parse_kind)]
    kind: Kind,
    name: String,
    #[arg(short, long, default_value = leno_api::DEFAULT_NAMESPACE)]
    namespace: String,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: DescribeArgs) -> anyhow::Result<i32> {
    let path = kinds::path(args.kind, Some(&args.namespace), Some(&args.name))?;
    let client = args.connection.client()?;
    let mut object = client.get(&path).await?;
    object["status"]["proxies"] = client.get(&format!("{path}/proxies")).await?;
    print!("{}", describe(args.kind, &object)?);
    Ok(0)
}

pub(crate) fn describe(kind: Kind, object: &Value) -> anyhow::Result<String> {
    let mut text = String::new();
    writeln!(text, "{kind} {}/{}", rows::namespace(object), rows::name(object))?;
    for (title, field) in [("Labels", "labels"), ("Annotations", "annotations")] {
        let Some(map) = object["metadata"][field].as_object().filter(|map| !map.is_empty()) else { continue };
        writeln!(text, "\n{title}:")?;
        for (key, value) in map {
            writeln!(text, "  {key}: {}", rows::text(value))?;
        }
    }
    let mut table = Table::new(["TYPE", "STATUS", "REASON", "MESSAGE"]);
    for condition in rows::conditions(object) {
        table.row(["type", "status", "reason", "message"].map(|field| rows::text(&condition[field])));
    }
    if !table.is_empty() {
        writeln!(text, "\nConditions:\n{}", indent(table.render().trim_end()))?;
    }
    let mut table = Table::new(["NAME", "NAMESPACE", "STATE"]);
    for proxy in object["status"]["proxies"].as_array().into_iter().flatten() {
        table.row(["name", "namespace", "state"].map(|field| rows::text(&proxy[field])));
    }
    if !table.is_empty() {
        writeln!(text, "\nProxies:\n{}", indent(table.render().trim_end()))?;
    }
    let spec = get::documents(std::slice::from_ref(&object["spec"]))?;
    writeln!(text, "\nSpec:\n{}", indent(spec.trim_end()))?;
    Ok(text)
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
