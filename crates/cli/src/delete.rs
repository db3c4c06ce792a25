use std::path::PathBuf;

use clap::Args;
use leno_api::{Kind, ResourceKey};

use crate::connection::ConnectionArgs;
use crate::misuse::Misuse;
use crate::{files, kinds};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  leno delete virtualservice reviews\n  leno delete -f routes/reviews.yaml")]
pub struct DeleteArgs {
    #[arg(value_parser = kinds::parse_kind, required_unless_present = "file", requires = "name")]
    kind: Option<Kind>,
    name: Option<String>,
    /// Delete the objects of a file, a directory, or - for standard input. Repeatable.
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", conflicts_with_all = ["kind", "name", "namespace"])]
    file: Vec<PathBuf>,
    #[arg(short, long, default_value = leno_api::DEFAULT_NAMESPACE)]
    namespace: String,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: DeleteArgs) -> anyhow::Result<i32> {
    let keys = match (args.kind, &args.name) {
        (Some(kind), Some(name)) => vec![ResourceKey::new(kind, &args.namespace, name)],
        _ => keys(&args.file)?,
    };
    let client = args.connection.client()?;
    let mut failed = false;
    for key in keys {
        match client.delete(&kinds::path(key.kind, Some(&key.namespace), Some(&key.name))?).await {
            Ok(_) => println!("{} {}/{} deleted", key.kind.as_str().to_ascii_lowercase(), key.namespace, key.name),
            Err(error) => {
                failed = true;
                eprintln!("leno: {error:#}");
            }
        }
    }
    Ok(i32::from(failed))
}

/// Nothing is deleted when a file cannot be understood.
fn keys(paths: &[PathBuf]) -> anyhow::Result<Vec<ResourceKey>> {
    let mut keys = Vec::new();
    for input in files::read(paths)? {
        let parsed = leno_api::parse(&input.source, &input.text);
        if let Some(problem) = parsed.problems.first() {
            anyhow::bail!("nothing was deleted: {problem}");
        }
        keys.extend(parsed.resources.iter().map(|located| located.value.key()));
    }
    if keys.is_empty() {
        return Err(Misuse::error("the files hold no object of the mesh"));
    }
    Ok(keys)
}
