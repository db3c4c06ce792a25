//! What would become of one request, step by step, with the object and line behind each.
//!
//! Shape       objects -> mesh as the caller sees it -> 1 route table -> 1 route -> n clusters -> n endpoints
//! Errors      a request that goes nowhere is an answer, not an error: exit code 1

mod gateway;
mod request;
mod steps;

use std::path::PathBuf;

use clap::Args;
use leno_names::TrustDomain;

use crate::connection::ConnectionArgs;
use crate::live;
use crate::loaded::Loaded;
use crate::mesh::Mesh;
use crate::output::Format;

pub(crate) use request::Request;
#[cfg(test)]
pub(crate) use steps::Explanation;
pub(crate) use steps::explain;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: leno explain --from ratings-1 --to http://reviews:9080/products -H 'end-user: jason' -f routes/\n\nExit code: 0 the request reaches an endpoint or gets an answer on purpose, 1 it does not, 2 misused."
)]
pub struct ExplainArgs {
    /// Who asks: a workload, a service, NAMESPACE/SERVICE-ACCOUNT, or a stranger by gateway/NAME or gateway/NAMESPACE/NAME.
    #[arg(long, value_name = "WORKLOAD|NAMESPACE/ACCOUNT|gateway/NAME")]
    from: String,
    /// What is asked for.
    #[arg(long, value_name = "URL")]
    to: String,
    /// A header of the request. Repeatable.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    header: Vec<String>,
    #[arg(short = 'X', long, default_value = "GET")]
    method: String,
    /// File, directory, or - for standard input. Repeatable. Without any the running mesh is asked.
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    file: Vec<PathBuf>,
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// The trust domain of the mesh.
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    trust_domain: TrustDomain,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: ExplainArgs) -> anyhow::Result<i32> {
    let request = Request::read(&args.method, &args.to, &args.header)?;
    let loaded = Loaded::told(&live::files_or_mesh(&args.file, &args.connection).await?);
    let mut mesh = Mesh::of(&loaded.resources, &args.trust_domain);
    let explanation = explain(&loaded, &mut mesh, &args.from, &request)?;
    match args.output {
        Format::Json => println!("{:#}", serde_json::to_value(&explanation)?),
        Format::Text => print!("{}", explanation.render()),
    }
    Ok(i32::from(!explanation.is_served))
}
