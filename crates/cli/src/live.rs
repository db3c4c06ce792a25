use std::path::PathBuf;

use leno_api::Kind;

use crate::client::Refusal;
use crate::connection::ConnectionArgs;
use crate::files::Input;
use crate::{files, kinds};

/// Every object of the running mesh, each as a text of its own.
pub(crate) async fn inputs(connection: &ConnectionArgs) -> anyhow::Result<Vec<Input>> {
    let client = connection.client()?;
    let mut inputs = Vec::new();
    for kind in Kind::ALL {
        let list = match client.get(&kinds::path(kind, None, None)?).await {
            // An older server may not have the kind, and so no object of it.
            Err(error) if error.downcast_ref().is_some_and(|refusal: &Refusal| refusal.status == 404) => continue,
            list => list?,
        };
        for item in list["items"].as_array().into_iter().flatten() {
            let mut item = item.clone();
            item["apiVersion"] = kind.api_versions().swap_remove(0).into();
            item["kind"] = kind.as_str().into();
            let metadata = |key: &str| item["metadata"][key].as_str().unwrap_or_default().to_owned();
            let source = format!("{}/{}/{}", kind.plural(), metadata("namespace"), metadata("name"));
            inputs.push(Input { source, text: serde_saphyr::to_string(&item)? });
        }
    }
    Ok(inputs)
}

/// What the files hold; without any, the running mesh.
pub(crate) async fn files_or_mesh(files: &[PathBuf], connection: &ConnectionArgs) -> anyhow::Result<Vec<Input>> {
    if files.is_empty() { inputs(connection).await } else { files::read(files) }
}
