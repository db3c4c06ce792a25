use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use leno_names::TrustDomain;
use serde::Deserialize;
use serde_json::Value;

use crate::connection::ConnectionArgs;
use crate::problem::FileProblem;
use crate::{diff, files, live};

#[derive(Debug, Args)]
#[command(after_help = "Example: leno apply -f routes/ --dry-run")]
pub struct ApplyArgs {
    /// File, directory, or - for standard input. Repeatable.
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR|-")]
    file: Vec<PathBuf>,
    /// Only say what would happen; with =server also what would change for the proxies.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "check", value_name = "HOW")]
    dry_run: Option<DryRun>,
    /// The trust domain of the mesh.
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    trust_domain: TrustDomain,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum DryRun {
    /// Whether the objects would be taken.
    Check,
    /// As `leno diff`.
    Server,
}

#[derive(Debug, Deserialize)]
struct Answer {
    results: Vec<Applied>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Applied {
    kind: String,
    namespace: String,
    name: String,
    outcome: String,
    problems: Vec<FileProblem>,
}

pub(crate) async fn run(args: ApplyArgs) -> anyhow::Result<i32> {
    let inputs = files::read(&args.file)?;
    let client = args.connection.client()?;
    let (mut rejected, mut is_empty) = (false, true);
    let is_dry = args.dry_run.is_some();
    for input in &inputs {
        let path = format!("/apply?dryRun={is_dry}&source={}", escape(&input.source));
        let answer: Value =
            client.post_text(&path, &input.text).await.with_context(|| format!("applying {}", input.source))?;
        let answer: Answer = serde_json::from_value(answer).context("the answer is not understood")?;
        is_empty &= answer.results.is_empty();
        if answer.results.is_empty() {
            eprintln!("{}: holds no object of the mesh", input.source);
        }
        for applied in &answer.results {
            rejected |= applied.outcome == "rejected";
            show(applied, is_dry);
        }
    }
    if args.dry_run == Some(DryRun::Server) && !rejected && !is_empty {
        let before = live::inputs(&args.connection).await?;
        print!("{}", diff::render(&diff::compare(&before, &inputs, true, &args.trust_domain), diff::Format::Text));
    }
    Ok(i32::from(rejected || is_empty))
}

fn show(applied: &Applied, dry_run: bool) {
    if !applied.name.is_empty() {
        let suffix = if dry_run { " (dry run)" } else { "" };
        let kind = applied.kind.to_ascii_lowercase();
        println!("{kind} {}/{} {}{suffix}", applied.namespace, applied.name, applied.outcome);
    }
    for problem in &applied.problems {
        eprintln!("{problem}");
    }
}

/// For a query (RFC 3986 §3.4): all but unreserved characters.
fn escape(text: &str) -> String {
    let show = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(show).collect()
}
