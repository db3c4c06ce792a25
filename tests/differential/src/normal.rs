//! What is not compared, because it must differ. `README.md` lists it for the authors of cases.

use serde_json::Value;

/// Headers of which only the presence is compared: times, and names that proxies give themselves.
const VALUE_OF: [&str; 3] = ["date", "x-envoy-upstream-service-time", "x-request-id"];
/// What is left of a time, and in steps of how much it is compared: whole seconds of a time-out in milliseconds, which is less
/// on later tries; whole minutes of a time in seconds.
const TIME_LEFT: [(&str, u64); 3] =
    [("x-envoy-expected-rq-timeout-ms", 1000), ("x-ratelimit-reset", 60), ("retry-after", 60)];
/// Headers that only the harness uses.
const HARNESS: [&str; 2] = ["x-case-id", "x-do"];

/// Addresses and directories that differ between the sides, with what stands for them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    whole: Vec<(String, String)>,
    /// What follows is a time in base64.
    before_time: Vec<(String, String)>,
}

/// To whole steps, from one step on.
fn round_up(value: &mut Value, step: u64) {
    let left = value.as_str().and_then(|text| text.parse::<u64>().ok());
    if let Some(left) = left.filter(|left| *left >= step) {
        *value = Value::from(left.next_multiple_of(step).to_string());
    }
}

/// How long a body is once it is coded, by the clock too where it is flushed while the origin pauses: every library has its own.
fn hide_coded_length(outcome: &mut Value) {
    if outcome["answer"]["headers"]["content-encoding"].is_string() && outcome["log"]["bytes_sent"] != 0 {
        hide(outcome.get_mut("log").and_then(|log| log.get_mut("bytes_sent")));
    }
}

fn hide(value: Option<&mut Value>) {
    if let Some(value) = value {
        *value = Value::from("(any)");
    }
}

impl Names {
    /// Everything that a step left behind.
    pub(crate) fn normal_outcome(&self, outcome: &mut Value) {
        self.normal(outcome);
        hide_coded_length(outcome);
    }

    pub(crate) fn add(&mut self, text: impl Into<String>, name: impl Into<String>) {
        self.whole.push((text.into(), name.into()));
    }

    /// `text` and the time in base64 that follows it.
    pub(crate) fn add_time(&mut self, text: impl Into<String>, name: impl Into<String>) {
        self.before_time.push((text.into(), name.into()));
    }

    fn replace(&self, text: &str) -> String {
        let text = self.before_time.iter().fold(text.to_owned(), |text, (from, to)| match text.split_once(from) {
            None => text,
            Some((before, after)) => {
                let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
                format!("{before}{to} some time){}", after.trim_start_matches(is_base64))
            }
        });
        self.whole.iter().fold(text, |text, (from, to)| text.replace(from, to))
    }

    fn normal(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.replace(text),
            Value::Array(values) => values.iter_mut().for_each(|value| self.normal(value)),
            Value::Object(map) => {
                for name in HARNESS {
                    map.shift_remove(name);
                }
                for (name, value) in map.iter_mut() {
                    let time_left = TIME_LEFT.iter().find(|(of, _)| name.eq_ignore_ascii_case(of));
                    if VALUE_OF.iter().any(|of| name.eq_ignore_ascii_case(of)) {
                        if value.is_string() {
                            *value = Value::from("(any)");
                        }
                    } else if let Some((_, step)) = time_left {
                        round_up(value, *step);
                    } else if name == "server" && matches!(value.as_str(), Some("envoy" | "leno")) {
                        *value = Value::from("(the proxy)");
                    } else {
                        self.normal(value);
                    }
                }
            }
            _ => {}
        }
    }
}
