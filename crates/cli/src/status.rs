use std::fmt::Write;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::connection::ConnectionArgs;
use crate::rows::text;
use crate::table::Table;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: leno status -o json\n\nExit code: 0 every proxy is in sync and no object has errors, 1 otherwise."
)]
pub struct StatusArgs {
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Json,
    Table,
}

pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<i32> {
    let status = args.connection.client()?.get("/status").await?;
    match args.output {
        Format::Json => println!("{}", serde_json::to_string_pretty(&status)?),
        Format::Table => print!("{}", render(&status, SystemTime::now())?),
    }
    Ok(i32::from(!in_sync(&status) || has_errors(&status)))
}

pub(crate) fn in_sync(status: &Value) -> bool {
    proxies(status).all(|proxy| proxy["inSync"] == true)
}

/// A file that cannot be read, or an object of which a part has no effect.
pub(crate) fn has_errors(status: &Value) -> bool {
    status["problems"].as_array().into_iter().flatten().any(|problem| problem["severity"] == "error")
}

pub(crate) fn render(status: &Value, now: SystemTime) -> anyhow::Result<String> {
    let mut table = Table::new(["NAME", "NAMESPACE", "KIND", "ADDRESS", "STATE", "RESOURCES", "CONNECTED"]);
    let mut rejections = String::new();
    for proxy in proxies(status) {
        table.row([
            text(&proxy["name"]),
            text(&proxy["namespace"]),
            text(&proxy["flavor"]).to_ascii_lowercase(),
            text(&proxy["address"]),
            state(proxy),
            taken(proxy),
            since(&proxy["connectedSince"], now),
        ]);
        for rejected in proxy["rejected"].as_array().into_iter().flatten() {
            let part = |field: &str| text(&rejected[field]);
            let (kind, name, reason) = (part("type"), part("name"), part("reason"));
            writeln!(rejections, "{} rejects {kind} {name}: {reason}", text(&proxy["name"]))?;
        }
    }
    let mut shown = format!("revision {}\n", text(&status["revision"]));
    shown.push_str(&if table.is_empty() { "no proxies are connected\n".to_owned() } else { table.render() });
    shown.push_str(&rejections);
    for problem in status["problems"].as_array().into_iter().flatten() {
        writeln!(shown, "{}", problem_line(problem))?;
    }
    Ok(shown)
}

fn proxies(status: &Value) -> impl Iterator<Item = &Value> {
    status["proxies"].as_array().into_iter().flatten()
}

fn state(proxy: &Value) -> String {
    let rejected = proxy["rejected"].as_array().map_or(0, Vec::len);
    let pending = proxy["pending"].as_u64().unwrap_or_default();
    if proxy["inSync"] == true {
        "in sync".to_owned()
    } else if rejected > 0 {
        format!("{rejected} rejected")
    } else if pending > 0 {
        format!("{pending} pending")
    } else {
        "not in sync".to_owned()
    }
}

fn taken(proxy: &Value) -> String {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    proxy["taken"].as_object().map(|map| map.values().map(count).sum::<u64>().to_string()).unwrap_or_default()
}

/// `3m 5s`, from seconds since 1970.
fn since(seconds: &Value, now: SystemTime) -> String {
    let Some(seconds) = seconds.as_u64() else { return text(seconds) };
    let Some(then) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)) else { return String::new() };
    let age = now.duration_since(then).unwrap_or_default();
    humantime::format_duration(Duration::from_secs(age.as_secs())).to_string()
}

/// Problems of objects name them by key, those of files by place.
fn problem_line(problem: &Value) -> String {
    let object = &problem["object"];
    let object = if object.is_object() {
        format!("{} {}/{}", text(&object["kind"]), text(&object["namespace"]), text(&object["name"]))
    } else {
        text(object)
    };
    let mut place = text(&problem["source"]);
    if let Some(line) = problem["line"].as_u64().filter(|line| *line > 0) {
        place = format!("{place}:{line}");
    }
    let severity = text(&problem["severity"]);
    let severity = if severity.is_empty() { "problem".to_owned() } else { severity };
    let parts = [severity, place, object, text(&problem["field"]), text(&problem["message"])];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
}
