//! A case and its steps, each tried until it holds or its time is over.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::ask::Ask;
use crate::call::{Call, Line};
use crate::many;
use crate::site::Site;

/// Chosen: a configuration arrives within a fraction of a second; the rest is for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    #[serde(rename = "case")]
    pub(crate) name: String,
    pub(crate) features: Vec<String>,
    pub(crate) manifests: Vec<String>,
    #[serde(default)]
    pub(crate) steps: Vec<Step>,
    /// Why it has no steps.
    pub(crate) unwritten: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Step {
    /// A gateway is programmed, and takes routes.
    Accepted {
        gateway: String,
        kind: String,
        routes: Vec<String>,
    },
    /// Each listener that is named, or each that there is, says this.
    AllListeners {
        kind: String,
        object: String,
        conditions: Vec<Condition>,
        names: Option<Vec<String>>,
    },
    /// Where the gateway says it is reached.
    Addresses {
        gateway: String,
        values: Vec<String>,
    },
    AttachedSets {
        object: String,
        count: u64,
    },
    /// Of the object, or of it at a parent.
    Condition {
        kind: String,
        object: String,
        parent: Option<String>,
        #[serde(flatten)]
        condition: Condition,
    },
    /// Makes or overwrites an object with what another holds.
    Copy {
        kind: String,
        from: String,
        object: String,
    },
    Delete {
        kind: String,
        object: String,
    },
    /// Fills an EndpointSlice with those of a workload.
    Endpoints {
        object: String,
        of: String,
    },
    /// It is older than whatever comes next: ages are in seconds.
    Old {
        kind: String,
        object: String,
    },
    /// Every condition speaks of the object as it is now.
    Latest {
        kind: String,
        object: String,
    },
    /// Exactly these.
    Listeners {
        kind: String,
        object: String,
        listeners: Vec<Listener>,
    },
    /// Copies of a request go to these, too: each time, or of so many in a hundred.
    Mirrored {
        ask: Box<Ask>,
        to: Vec<String>,
        percent: Option<u32>,
    },
    NoRoutes {
        object: String,
    },
    NotAccepted {
        kind: String,
        object: String,
    },
    /// Many times: each answer is of the backend that a header names.
    OwnHeader {
        ask: Box<Ask>,
        header: String,
        times: u32,
    },
    /// Exactly these parents are spoken of: `KIND NAMESPACE/NAME`.
    Parents {
        kind: String,
        object: String,
        parents: Vec<String>,
    },
    Patch {
        kind: String,
        object: String,
        patch: Value,
    },
    /// A call of gRPC.
    Call(Box<Call>),
    /// A line of TCP, perhaps in TLS.
    Line(Line),
    Request(Box<Ask>),
    /// A proxy serves the gateway from now on.
    Serve {
        gateway: String,
    },
    /// Makes an object.
    Write {
        object: Value,
    },
    WebSocket {
        gateway: String,
        path: String,
        frames: Vec<String>,
    },
    /// The share of each backend.
    Weights {
        #[serde(flatten)]
        way: Way,
        weights: std::collections::BTreeMap<String, f64>,
    },
}

/// What is asked many times.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    Ask(Box<Ask>),
    Call(Box<Call>),
    Line(Line),
}

impl Way {
    /// Who has answered.
    pub(crate) fn app(&self, site: &mut Site) -> anyhow::Result<String> {
        let saw = match self {
            Self::Ask(ask) => ask.answer_of(site)?.0.json()?,
            Self::Call(call) => call.is_answered(site)?,
            Self::Line(line) => line.is_answered(site)?,
        };
        Ok(saw["app"].as_str().context("no app in the answer")?.to_owned())
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    /// `None`: any.
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    name: String,
    attached: u64,
    conditions: Vec<Condition>,
    kinds: Option<Vec<String>>,
}

impl Case {
    pub(crate) fn run(&self, site: &mut Site) -> anyhow::Result<()> {
        let applied = site.apply(&self.manifests, self.steps.iter().any(Step::changes_objects));
        let run = |(index, step): (usize, &Step)| {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let error = match step.holds(site) {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                };
                if step.changes_objects() || Instant::now() > deadline {
                    return Err(error.context(format!("step {}", index + 1)));
                }
                site.pause();
            }
        };
        let done = applied.and_then(|()| self.steps.iter().enumerate().try_for_each(run));
        site.clear()?;
        done
    }
}

impl Step {
    /// Such a step is taken once.
    const fn changes_objects(&self) -> bool {
        matches!(
            self,
            Self::Copy { .. } | Self::Delete { .. } | Self::Endpoints { .. } | Self::Patch { .. } | Self::Write { .. }
        )
    }

    fn holds(&self, site: &mut Site) -> anyhow::Result<()> {
        match self {
            Self::Addresses { gateway, values } => {
                let said = site.status("Gateway", gateway)?["addresses"].take();
                let said: Vec<_> =
                    said.as_array().into_iter().flatten().filter_map(|one| one["value"].as_str()).collect();
                let usable = site.usable().to_string();
                let values: Vec<_> =
                    values.iter().map(|one| if one == "USABLE" { usable.as_str() } else { one.as_str() }).collect();
                ensure!(said == values, "{gateway} is reached at {said:?}, not {values:?}");
                Ok(())
            }
            Self::Call(call) => call.is_answered(site).map(drop),
            Self::Line(line) => line.is_answered(site).map(drop),
            Self::Copy { kind, from, object } => site.copy(kind, from, object),
            Self::Delete { kind, object } => site.delete(kind, object),
            Self::Endpoints { object, of } => {
                let endpoints = site.endpoints_of(of)?;
                site.patch("EndpointSlice", object, &serde_json::json!({ "endpoints": endpoints }))
            }
            Self::Mirrored { ask, to, percent } => many::mirrored(site, ask, to, *percent),
            Self::Old { kind, object } => {
                let made = &site.object(kind, object)?["metadata"]["creationTimestamp"];
                let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
                ensure!(made.as_str().is_some_and(|made| made < now.as_str()), "{object} was made now: {made}");
                Ok(())
            }
            Self::OwnHeader { ask, header, times } => many::own_header(site, ask, header, *times),
            Self::Parents { kind, object, parents } => {
                let status = site.status(kind, object)?;
                let (own, _) = object.split_once('/').context("no namespace")?;
                let said = status["parents"].as_array().into_iter().flatten().map(|entry| {
                    let text =
                        |name: &str, default: &str| entry["parentRef"][name].as_str().unwrap_or(default).to_owned();
                    format!("{} {}/{}", text("kind", "Gateway"), text("namespace", own), text("name", ""))
                });
                let said: Vec<_> = said.collect();
                ensure!(said == *parents, "{object} speaks of {said:?}, not of {parents:?}");
                Ok(())
            }
            Self::Patch { kind, object, patch } => site.patch(kind, object, patch),
            Self::Serve { gateway } => site.gateway(gateway).map(drop),
            Self::Write { object } => site.write(object),
            Self::WebSocket { gateway, path, frames } => many::web_socket(site, gateway, path, frames),
            Self::Weights { way, weights } => many::are_near(weights, || way.app(site)),
            Self::Accepted { gateway, kind, routes } => {
                let (gateway, _) = gateway.split_once('#').unwrap_or((gateway, ""));
                site.gateway(gateway)?;
                let status = site.status("Gateway", gateway)?;
                let condition = |kind: &str, reason: Option<&str>| Condition {
                    kind: kind.to_owned(),
                    status: "True".to_owned(),
                    reason: reason.map(str::to_owned),
                };
                condition("Programmed", None).among(&status["conditions"]).with_context(|| gateway.to_owned())?;
                for route in routes {
                    let conditions = at_parent(&site.status(kind, route)?, route, gateway)?;
                    condition("Accepted", Some("Accepted")).among(&conditions).with_context(|| route.clone())?;
                }
                Ok(())
            }
            Self::AllListeners { kind, object, conditions, names } => {
                serve(site, kind, object, conditions)?;
                let status = site.status(kind, object)?;
                let listeners = status["listeners"].as_array().context("no listeners in the status")?;
                let named = |one: &&Value| {
                    names.as_ref().is_none_or(|names| names.iter().any(|name| one["name"] == name.as_str()))
                };
                let listeners: Vec<_> = listeners.iter().filter(named).collect();
                ensure!(!listeners.is_empty(), "no such listeners in the status of {object}");
                for listener in listeners {
                    for condition in conditions {
                        condition.among(&listener["conditions"]).with_context(|| listener["name"].to_string())?;
                    }
                }
                Ok(())
            }
            Self::AttachedSets { object, count } => {
                let said = &site.status("Gateway", object)?["attachedListenerSets"];
                ensure!(said.as_u64().unwrap_or(0) == *count, "{object} has {said} listener sets, not {count}");
                Ok(())
            }
            Self::Condition { kind, object, parent, condition } => {
                serve(site, kind, object, std::slice::from_ref(condition))?;
                let status = site.status(kind, object)?;
                let conditions = match parent {
                    Some(parent) => at_parent(&status, object, parent)?,
                    None => status["conditions"].clone(),
                };
                condition.among(&conditions).with_context(|| format!("{kind} {object}"))
            }
            Self::Latest { kind, object } => {
                let (object, status) = site.object(kind, object).map(|mut object| {
                    let status = object["status"].take();
                    (object, status)
                })?;
                let now = object["metadata"]["generation"].as_i64().unwrap_or(1);
                let mut conditions = Vec::new();
                conditions_of(&status, &mut conditions);
                ensure!(!conditions.is_empty(), "no conditions");
                let old = conditions.iter().find(|one| one["observedGeneration"] != now);
                ensure!(old.is_none(), "{old:?} is not of generation {now}");
                Ok(())
            }
            Self::Listeners { kind, object, listeners } => {
                listeners.iter().try_for_each(|listener| serve(site, kind, object, &listener.conditions))?;
                let status = site.status(kind, object)?;
                let said = status["listeners"].as_array().context("no listeners in the status")?;
                ensure!(
                    said.len() == listeners.len(),
                    "{object} has {} listeners, not {}",
                    said.len(),
                    listeners.len()
                );
                listeners.iter().try_for_each(|listener| listener.is_as_said(said).with_context(|| object.clone()))
            }
            Self::NoRoutes { object } => {
                let status = site.status("Gateway", object)?;
                let listeners = status["listeners"].as_array().map(Vec::as_slice).unwrap_or_default();
                let none = listeners.iter().all(|listener| listener["attachedRoutes"] == 0);
                ensure!(none, "{object} has routes attached: {listeners:?}");
                Ok(())
            }
            Self::NotAccepted { kind, object } => {
                let status = site.status(kind, object)?;
                let parents = status["parents"].as_array().map(Vec::as_slice).unwrap_or_default();
                for parent in parents {
                    let accepted = find(&parent["conditions"], "Accepted")?;
                    ensure!(accepted["status"] == "False", "{object} is accepted: {parent}");
                }
                Ok(())
            }
            Self::Request(ask) => ask.is_answered(site),
        }
    }
}

/// Only what a proxy serves is programmed.
fn serve(site: &mut Site, kind: &str, object: &str, conditions: &[Condition]) -> anyhow::Result<()> {
    let wanted = conditions.iter().any(|one| one.kind == "Programmed" && one.status == "True");
    if wanted && kind == "Gateway" {
        site.gateway(object)?;
    }
    Ok(())
}

impl Listener {
    fn is_as_said(&self, said: &[Value]) -> anyhow::Result<()> {
        let Some(one) = said.iter().find(|one| one["name"] == self.name.as_str()) else {
            bail!("no listener {} in the status", self.name)
        };
        ensure!(one["attachedRoutes"] == self.attached, "{}: {} routes are attached", self.name, one["attachedRoutes"]);
        for condition in &self.conditions {
            condition.among(&one["conditions"]).with_context(|| self.name.clone())?;
        }
        if let Some(wanted) = &self.kinds {
            let kinds = one["supportedKinds"].as_array().context("no supportedKinds")?;
            let kinds: Vec<_> = kinds.iter().filter_map(|kind| kind["kind"].as_str()).collect();
            // A listener may take more kinds than upstream knows of; none means none.
            let holds =
                wanted.iter().all(|kind| kinds.contains(&kind.as_str())) && wanted.is_empty() == kinds.is_empty();
            ensure!(holds, "{}: supports {kinds:?}, not {wanted:?}", self.name);
        }
        Ok(())
    }
}

impl Condition {
    fn among(&self, conditions: &Value) -> anyhow::Result<()> {
        let found = find(conditions, &self.kind)?;
        let reason = self.reason.as_ref().is_none_or(|reason| found["reason"] == reason.as_str());
        ensure!(
            found["status"] == self.status.as_str() && reason,
            "{} is {} for {}, not {} for {}",
            self.kind,
            found["status"],
            found["reason"],
            self.status,
            self.reason.as_deref().unwrap_or("any reason"),
        );
        Ok(())
    }
}

/// All of a status, wherever they are.
fn conditions_of<'a>(status: &'a Value, all: &mut Vec<&'a Value>) {
    all.extend(status["conditions"].as_array().into_iter().flatten());
    for name in ["parents", "ancestors"] {
        status[name].as_array().into_iter().flatten().for_each(|one| conditions_of(one, all));
    }
}

fn find<'a>(conditions: &'a Value, kind: &str) -> anyhow::Result<&'a Value> {
    let all = conditions.as_array().context("no conditions")?;
    all.iter().find(|one| one["type"] == kind).with_context(|| format!("no condition {kind}"))
}

/// What an object's status says of it at one parent or ancestor. The parent's namespace is the object's unless written.
fn at_parent(status: &Value, object: &str, parent: &str) -> anyhow::Result<Value> {
    let (own, _) = object.split_once('/').context("no namespace")?;
    let entries = ["parents", "ancestors"].iter().filter_map(|name| status[*name].as_array()).flatten();
    let is_meant = |entry: &&Value| {
        let reference = if entry["parentRef"].is_object() { &entry["parentRef"] } else { &entry["ancestorRef"] };
        let namespace = reference["namespace"].as_str().unwrap_or(own);
        format!("{namespace}/{}", reference["name"].as_str().unwrap_or_default()) == parent
    };
    // With several listeners named, all must hold; the one that does not is shown.
    let mut found: Vec<_> = entries.filter(is_meant).collect();
    found.sort_by_key(|entry| entry["conditions"][0]["status"] == "True");
    let first = found.first().with_context(|| format!("{object} says nothing of {parent}"))?;
    Ok(first["conditions"].clone())
}
