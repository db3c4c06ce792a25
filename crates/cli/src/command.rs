use clap::Subcommand;

use crate::analyze::AnalyzeArgs;
use crate::apply::ApplyArgs;
use crate::config::ConfigArgs;
use crate::delete::DeleteArgs;
use crate::describe::DescribeArgs;
use crate::diff::DiffArgs;
use crate::explain::ExplainArgs;
use crate::get::GetArgs;
use crate::kubeconfig::KubeconfigArgs;
use crate::misuse::Misuse;
use crate::schema::{CrdsArgs, SchemaArgs};
use crate::status::StatusArgs;
use crate::token::TokenArgs;
use crate::validate::ValidateArgs;

/// What a user can ask of a mesh.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find what is wrong between objects: in files, or in the running mesh.
    Analyze(Box<AnalyzeArgs>),
    /// Write objects from files to the mesh.
    Apply(ApplyArgs),
    /// Show what a proxy runs.
    Config(ConfigArgs),
    /// Print the CustomResourceDefinitions of Leno's own kinds.
    Crds(CrdsArgs),
    /// Delete objects from the mesh.
    Delete(DeleteArgs),
    /// Show one object with what became of it.
    Describe(DescribeArgs),
    /// Show what objects would change, for which proxies.
    Diff(DiffArgs),
    /// Show what would become of a request, and which objects say so.
    Explain(ExplainArgs),
    /// List objects, or show one.
    Get(GetArgs),
    /// Let kubectl know the control plane.
    Kubeconfig(KubeconfigArgs),
    /// Print the JSON Schema of a kind.
    Schema(SchemaArgs),
    /// Show whether every proxy runs what the mesh says.
    Status(StatusArgs),
    /// Make, list and revoke the tokens with which workloads join the mesh.
    Token(TokenArgs),
    /// Check files without a mesh.
    Validate(ValidateArgs),
}

/// Runs one command to its end. The value is the exit code: 0 fine, 1 a problem was found, 2 misused.
///
/// # Errors
/// The mesh cannot be reached or refuses; exit code 1.
pub fn run(command: Command) -> anyhow::Result<i32> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(dispatch(command)) {
        Err(error) if error.is::<Misuse>() => {
            eprintln!("leno: {error}");
            Ok(2)
        }
        result => result,
    }
}

async fn dispatch(command: Command) -> anyhow::Result<i32> {
    match command {
        Command::Analyze(args) => crate::analyze::run(*args).await,
        Command::Apply(args) => crate::apply::run(args).await,
        Command::Config(args) => crate::config::run(args).await,
        Command::Crds(args) => crate::schema::crds(&args),
        Command::Delete(args) => crate::delete::run(args).await,
        Command::Describe(args) => crate::describe::run(args).await,
        Command::Diff(args) => crate::diff::run(args).await,
        Command::Explain(args) => crate::explain::run(args).await,
        Command::Get(args) => crate::get::run(args).await,
        Command::Kubeconfig(args) => crate::kubeconfig::run(&args),
        Command::Schema(args) => crate::schema::run(&args),
        Command::Status(args) => crate::status::run(args).await,
        Command::Token(args) => crate::token::run(args).await,
        Command::Validate(args) => crate::validate::run(&args),
    }
}
