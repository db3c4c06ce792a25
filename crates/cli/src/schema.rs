use clap::Args;
use leno_api::{Kind, leno};

use crate::misuse::Misuse;

#[derive(Debug, Args)]
#[command(after_help = "Example: leno schema RetryPolicy > retrypolicy.json   # for an editor")]
pub struct SchemaArgs {
    /// By any of its names.
    kind: Kind,
    /// Default: the newest.
    #[arg(long, value_name = "VERSION")]
    api_version: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: leno crds | kubectl apply --server-side -f -")]
pub struct CrdsArgs {}

pub(crate) fn run(args: &SchemaArgs) -> anyhow::Result<i32> {
    let version =
        args.api_version.as_deref().map_or(args.kind.versions()[0], |text| text.rsplit('/').next().unwrap_or(text));
    let Some(schema) = leno::json_schema(args.kind, version) else {
        let all = args.kind.versions().join(", ");
        return Err(Misuse::error(format!("there is no schema of {} {version}; its versions are {all}", args.kind)));
    };
    println!("{schema:#}");
    Ok(0)
}

pub(crate) fn crds(_args: &CrdsArgs) -> anyhow::Result<i32> {
    for definition in Kind::ALL.into_iter().filter_map(leno::definition) {
        print!("---\n{}", serde_saphyr::to_string(&definition)?);
    }
    Ok(0)
}
