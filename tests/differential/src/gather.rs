//! What the steps of a file left behind at origins and in access logs, found once all cases have run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{body_value, grouped, plain, spelling};
use crate::origin::Arrival;
use crate::side::{Side, StepOutcome};
use crate::stream::Headers;
use crate::stream::header;

/// Chosen: more than the second that access logs may wait in a buffer, and an end when a line never comes.
const LIMIT: Duration = Duration::from_secs(4);

/// Completes the outcomes of both sides, waiting until they have all lines and the same number of arrivals, or for `LIMIT`.
#[allow(clippy::disallowed_methods, reason = "looking again at a file needs a pause")]
pub(crate) async fn gather(sides: [&Side; 2], outcomes: &mut [Vec<Vec<StepOutcome>>; 2]) {
    let deadline = Instant::now() + LIMIT;
    let mut left = [Left::default(), Left::default()];
    loop {
        for (at, side) in sides.into_iter().enumerate() {
            left[at] = Left::read(side);
        }
        let is_done = outcomes.iter().zip(&left).all(|(outcomes, left)| left.has_all(outcomes))
            && left[0].arrivals_each() == left[1].arrivals_each();
        if is_done || Instant::now() > deadline {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (at, side) in sides.into_iter().enumerate() {
        for outcome in outcomes[at].iter_mut().flatten() {
            left[at].complete(outcome);
            side.names.normal_outcome(&mut outcome.value);
        }
    }
}

#[derive(Debug, Default)]
struct Left {
    arrivals: BTreeMap<String, Vec<Value>>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    id: Option<String>,
    peer: Option<String>,
    value: Value,
}

impl Left {
    fn read(side: &Side) -> Self {
        let mut arrivals: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut all = side.origins.arrivals();
        all.sort_by(|one, other| one.origin.cmp(&other.origin));
        for arrival in &all {
            if let Some(id) = arrival.case_id() {
                arrivals.entry(id.to_owned()).or_default().push(show(arrival));
            }
        }
        let log = std::fs::read_to_string(side.sandbox.directory().join("access.log")).unwrap_or_default();
        // A line that is still being written has no end.
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(Line::parse).collect();
        Self { arrivals, lines }
    }

    fn of<'a>(&'a self, outcome: &'a StepOutcome) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(|line| match &line.id {
            Some(id) => *id == outcome.id,
            None => line.peer.is_some() && line.peer == outcome.peer,
        })
    }

    fn has_all(&self, outcomes: &[Vec<StepOutcome>]) -> bool {
        outcomes.iter().flatten().all(|outcome| self.of(outcome).count() >= outcome.log)
    }

    /// How many came, by id; of those that are known by the client's address together.
    fn arrivals_each(&self) -> BTreeMap<&str, usize> {
        let mut each = BTreeMap::new();
        for (id, arrivals) in &self.arrivals {
            let id = if id.parse::<SocketAddr>().is_ok() { "" } else { id };
            *each.entry(id).or_default() += arrivals.len();
        }
        each
    }

    fn arrivals_of(&self, outcome: &StepOutcome) -> Option<&Vec<Value>> {
        let by_peer = || self.arrivals.get(outcome.peer.as_ref()?);
        self.arrivals.get(&outcome.id).or_else(by_peer)
    }

    fn complete(&self, outcome: &mut StepOutcome) {
        if outcome.log > 0 {
            let lines: Vec<_> = self.of(outcome).map(|line| line.value.clone()).collect();
            outcome.value["log"] = one_or_all(lines);
        }
        if outcome.has_arrivals
            && let Some(arrivals) = self.arrivals_of(outcome)
        {
            let mut arrivals = arrivals.clone();
            for arrival in &mut arrivals {
                if !outcome.has_spelling
                    && let Some(map) = arrival.as_object_mut()
                {
                    map.remove("spelling");
                }
            }
            outcome.value["arrived"] = one_or_all(arrivals);
        }
    }
}

/// Paths in outcomes are shorter when there is only one.
fn one_or_all(mut values: Vec<Value>) -> Value {
    if values.len() == 1 { values.remove(0) } else { Value::Array(values) }
}

impl Line {
    /// JSON with `id` and `peer`, or text that starts with `id=… `.
    fn parse(text: &str) -> Self {
        if let Ok(Value::Object(mut map)) = serde_json::from_str(text) {
            let mut take = |name: &str| map.shift_remove(name).and_then(|value| value.as_str().map(ToOwned::to_owned));
            let (id, peer) = (take("id"), take("peer"));
            map.sort_keys();
            return Self { id, peer, value: Value::Object(map) };
        }
        let id = text.strip_prefix("id=").and_then(|rest| rest.split_once(' '));
        let (id, text) = id.map_or((None, text), |(id, rest)| (Some(id.to_owned()), rest));
        Self { id, peer: None, value: json!(text) }
    }
}

fn show(arrival: &Arrival) -> Value {
    let headers: Headers = arrival.headers.clone();
    let mut value = json!({
        "origin": arrival.origin,
        "version": arrival.version,
        "method": arrival.method,
        "path": arrival.path,
        "headers": grouped(&headers),
        "spelling": spelling(&arrival.headers),
        "body": body_value(&plain(header(&headers, "content-encoding"), &arrival.body)),
        "trailers": grouped(&arrival.trailers),
    });
    if arrival.is_cut {
        value["is_cut"] = json!(true);
    }
    if !arrival.tls.is_null() {
        value["tls"] = arrival.tls.clone();
    }
    value
}
