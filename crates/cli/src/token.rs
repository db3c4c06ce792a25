use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::connection::ConnectionArgs;
use crate::kinds;
use crate::misuse::Misuse;
use crate::output::Format;
use crate::rows::text;
use crate::table::Table;

#[derive(Debug, Args)]
#[command(after_help = "Example: leno token create --service-account reviews --ttl 10m")]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token; it is shown only now.
    Create(CreateArgs),
    /// List the tokens that are not used up.
    List(ListArgs),
    /// Make a token worthless.
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: leno token create --service-account reviews --uses 3 --ttl 10m")]
struct CreateArgs {
    #[arg(short, long, default_value = leno_api::DEFAULT_NAMESPACE)]
    namespace: String,
    /// Who may join with it. Repeatable.
    #[arg(long, alias = "service", required = true, value_name = "NAME")]
    service_account: Vec<String>,
    /// How many workloads may join with it.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// How long it is good for, as 90s, 10m, 1h or 2d.
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// text prints the token and nothing else.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: leno token list -o json")]
struct ListArgs {
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: leno token revoke 4f1c09aa2b7e")]
struct RevokeArgs {
    /// From `leno token list`.
    id: String,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: TokenArgs) -> anyhow::Result<i32> {
    match args.command {
        TokenCommand::Create(args) => create(args).await?,
        TokenCommand::List(args) => list(args).await?,
        TokenCommand::Revoke(args) => {
            let path = format!("/tokens/{}", kinds::segment("token id", &args.id)?);
            args.connection.client()?.delete(&path).await?;
            println!("{} revoked", args.id);
        }
    }
    Ok(0)
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    if args.ttl < Duration::from_secs(1) {
        return Err(Misuse::error("--ttl must be at least 1s"));
    }
    let request = json!({
        "namespace": args.namespace,
        "serviceAccounts": args.service_account,
        "uses": args.uses,
        "ttlSeconds": args.ttl.as_secs(),
    });
    let created = args.connection.client()?.post("/tokens", &request).await?;
    match args.output {
        Format::Json => println!("{}", serde_json::to_string_pretty(&created)?),
        Format::Text => println!("{}", created["token"].as_str().context("the answer holds no token")?),
    }
    Ok(())
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let tokens = args.connection.client()?.get("/tokens").await?;
    match args.output {
        Format::Json => println!("{}", serde_json::to_string_pretty(&tokens)?),
        Format::Text => print!("{}", render(&tokens)),
    }
    Ok(())
}

pub(crate) fn render(tokens: &Value) -> String {
    let mut table = Table::new(["ID", "NAMESPACE", "SERVICE-ACCOUNTS", "USES-LEFT", "EXPIRES"]);
    let tokens = tokens.as_array().or_else(|| tokens["tokens"].as_array());
    for token in tokens.into_iter().flatten() {
        let accounts = token["serviceAccounts"].as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
        table.row([
            text(&token["id"]),
            text(&token["namespace"]),
            accounts.join(","),
            text(&token["usesLeft"]),
            moment(&token["expires"]),
        ]);
    }
    if table.is_empty() { "no tokens\n".to_owned() } else { table.render() }
}

/// RFC 3339 from seconds since 1970.
fn moment(value: &Value) -> String {
    let seconds = value.as_i64().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    seconds.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| text(value))
}
