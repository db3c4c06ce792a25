//! Bootstraps that a proxy must refuse.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use crate::file::Refuse;
use crate::side::Side;

/// What is wrong with the two answers; `None` when both are as the case says.
///
/// # Errors
/// When the bootstrap cannot be changed as the case says.
pub(crate) fn check(side: &Side, envoy: &Path, at: usize, refuse: &Refuse) -> anyhow::Result<Option<String>> {
    let mut bootstrap = side.file.bootstrap.clone();
    for (pointer, value) in &refuse.set {
        set(&mut bootstrap, pointer, value.clone())?;
    }
    let file = side.sandbox.write(&format!("refuse-{at}.json"), &serde_json::to_string_pretty(&bootstrap)?)?;
    let of_leno = side.sandbox.leno_refuses(&file)?;
    let said = String::from_utf8_lossy(&of_leno.stderr).into_owned();
    let mut command = Command::new(envoy);
    command.args(["--mode", "validate", "--log-level", "error", "-c"]).arg(&file);
    let of_envoy = command.output().context("starting Envoy")?;
    let envoy_said = String::from_utf8_lossy(&of_envoy.stderr).into_owned();
    if of_leno.status.code() != Some(1) {
        return Ok(Some(format!("Leno does not refuse it: {:?}\n{said}", of_leno.status)));
    }
    if !said.contains(&refuse.leno) {
        return Ok(Some(format!("Leno does not say {:?}, but:\n{said}", refuse.leno)));
    }
    Ok(match (of_envoy.status.success(), refuse.envoy_serves) {
        (true, false) => Some(format!("Envoy serves it; Leno says:\n{said}")),
        (false, true) => Some(format!("Envoy refuses it as well:\n{envoy_said}")),
        _ => None,
    })
}

/// Sets the member that a JSON pointer names; its parent must be there.
fn set(value: &mut Value, pointer: &str, new: Value) -> anyhow::Result<()> {
    let (parent, name) = pointer.rsplit_once('/').context("a JSON pointer starts with /")?;
    let parent = value.pointer_mut(parent).with_context(|| format!("the bootstrap has no {parent}"))?;
    match parent {
        Value::Object(map) => {
            map.insert(name.to_owned(), new);
        }
        Value::Array(values) => match name.parse::<usize>() {
            Ok(at) if at < values.len() => values[at] = new,
            _ => values.push(new),
        },
        _ => anyhow::bail!("{pointer} is below a value without members"),
    }
    Ok(())
}
