use clap::{Args, ValueEnum};
use leno_api::Kind;
use serde_json::{Value, json};

use crate::connection::ConnectionArgs;
use crate::{kinds, rows};

#[derive(Debug, Args)]
#[command(after_help = "Example: leno get virtualservices -A -o wide")]
pub struct GetArgs {
    /// service, virtualservice, destinationrule, httproute, workloadentry or workloadgroup; also plural or short.
    #[arg(value_parser = kinds::parse_kind)]
    kind: Kind,
    /// All of the kind when left out.
    name: Option<String>,
    #[arg(short, long, default_value = leno_api::DEFAULT_NAMESPACE)]
    namespace: String,
    /// Of every namespace.
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "name"])]
    all_namespaces: bool,
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Go on and show each change.
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    Json,
    Name,
    Table,
    Wide,
    Yaml,
}

pub(crate) async fn run(args: GetArgs) -> anyhow::Result<i32> {
    let client = args.connection.client()?;
    let namespace = (!args.all_namespaces).then_some(args.namespace.as_str());
    let path = kinds::path(args.kind, namespace, args.name.as_deref())?;
    if args.watch {
        client.watch(&format!("{path}?watch=true"), |event| show_event(&args, &event)).await?;
        return Ok(0);
    }
    let answer = client.get(&path).await?;
    let mut items = match &args.name {
        Some(_) => vec![answer],
        None => answer["items"].as_array().cloned().unwrap_or_default(),
    };
    for item in &mut items {
        // For programs; people look for what they wrote.
        item["metadata"].as_object_mut().map(|metadata| metadata.shift_remove("managedFields"));
    }
    print!("{}", render(&args, &items)?);
    Ok(0)
}

fn render(args: &GetArgs, items: &[Value]) -> anyhow::Result<String> {
    Ok(match args.output {
        Format::Json => {
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
            let shown = if args.name.is_some() { items.first().unwrap_or(&Value::Null) } else { &list };
            format!("{}\n", serde_json::to_string_pretty(shown)?)
        }
        Format::Name => items.iter().map(|item| format!("{}\n", word(args.kind, item))).collect(),
        Format::Table | Format::Wide => {
            let table = rows::objects(args.kind, items, args.all_namespaces, args.output == Format::Wide);
            if table.is_empty() { format!("no {}\n", args.kind.plural()) } else { table.render() }
        }
        Format::Yaml => documents(items)?,
    })
}

pub(crate) fn documents(items: &[Value]) -> anyhow::Result<String> {
    let texts: Result<Vec<_>, _> = items.iter().map(serde_saphyr::to_string).collect();
    Ok(texts?.join("---\n"))
}

/// `service/reviews`
fn word(kind: Kind, item: &Value) -> String {
    format!("{}/{}", kind.as_str().to_ascii_lowercase(), rows::name(item))
}

/// One line each, but for YAML.
fn show_event(args: &GetArgs, event: &Value) -> anyhow::Result<()> {
    let object = &event["object"];
    match args.output {
        Format::Json => println!("{event}"),
        Format::Yaml => print!("---\n{}", serde_saphyr::to_string(event)?),
        Format::Name => println!("{}", word(args.kind, object)),
        Format::Table | Format::Wide => println!(
            "{:9} {}/{}  accepted={} programmed={}",
            event["type"].as_str().unwrap_or_default(),
            rows::namespace(object),
            rows::name(object),
            rows::condition(object, "Accepted"),
            rows::condition(object, "Programmed"),
        ),
    }
    Ok(())
}
