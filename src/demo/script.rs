//! Fault scripts: how the knobs stand, what goes wrong, and what changes when, in one JSON file.
//!
//! ```json
//! { "knobs":  { "latency": "50ms" },
//!   "faults": [ { "on": "File", "effect": { "kind": "reset_body", "after": 1000 }, "times": 1 } ],
//!   "steps":  [ { "after": "30s", "faults": [ { "effect": { "kind": "drop_connection" } } ] },
//!               { "after": "10s", "clear": true },
//!               { "after_requests": 100, "knobs": { "latency": "0s" },
//!                 "world": { "command": "rename", "path": "Bridge/a.pdf", "name": "b.pdf" } } ] }
//! ```
//!
//! Knobs take text, numbers or truths; faults and world commands are written as for the admin API. A step waits
//! for its time or its number of requests (of any kind) from the step before it, or from the start; within a step
//! `clear` comes first, then knobs, faults, and the world.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::admin::Order;
use super::dispatch::Demo;
use super::fault::{Fault, FaultSpec};
use super::knobs::{KnobError, Knobs, time_of};

/// The text is not a script. Says where: the step, counted from 1, and the field.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It is not JSON, or not of this form.
    #[error("the script is not as expected: {0}")]
    Form(#[source] serde_json::Error),
    /// A part of it says something that cannot be.
    #[error("{place}: {mistake}")]
    Part {
        /// Where it stands.
        place: String,
        /// What is wrong with it.
        mistake: String,
    },
}

/// When a step happens, counted from the step before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Time(Duration),
    Requests(u64),
}

/// What is done at once.
#[derive(Debug, Clone, Default)]
struct Turn {
    clear: bool,
    knobs: Vec<(String, String)>,
    faults: Vec<Fault>,
    world: Vec<Order>,
}

/// A script that was read and makes sense.
#[derive(Debug, Clone)]
pub struct Script {
    start: Turn,
    steps: Vec<(When, Turn)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptText {
    #[serde(default)]
    knobs: BTreeMap<String, Json>,
    #[serde(default)]
    faults: Vec<Json>,
    #[serde(default)]
    steps: Vec<Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepText {
    after: Option<String>,
    after_requests: Option<u64>,
    #[serde(default)]
    clear: bool,
    #[serde(default)]
    knobs: BTreeMap<String, Json>,
    #[serde(default)]
    faults: Vec<Json>,
    #[serde(default)]
    world: Orders,
}

/// One command or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Orders {
    One(Map<String, Json>),
    Many(Vec<Map<String, Json>>),
}

impl Default for Orders {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Script {
    /// Reads a script, all of it, so that a mistake in the last step shows before the first.
    ///
    /// # Errors
    ///
    /// It is not a script; the error says where.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let text: ScriptText = serde_json::from_str(text).map_err(ScriptError::Form)?;
        let start = Turn {
            knobs: knobs("the start", &text.knobs)?,
            faults: faults("the start", text.faults)?,
            ..Turn::default()
        };
        let steps = text.steps.into_iter().zip(1..);
        let steps = steps.map(|(json, number)| step(json, number));
        Ok(Self {
            start,
            steps: steps.collect::<Result<_, _>>()?,
        })
    }

    /// Steps after the start.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }
}

fn part(place: &str, field: &str, mistake: &(impl ToString + ?Sized)) -> ScriptError {
    ScriptError::Part {
        place: format!("{place}, {field}"),
        mistake: mistake.to_string(),
    }
}

fn step(json: Json, number: usize) -> Result<(When, Turn), ScriptError> {
    let place = format!("step {number}");
    let text: StepText = serde_json::from_value(json).map_err(|error| ScriptError::Part {
        place: place.clone(),
        mistake: error.to_string(),
    })?;
    let when = match (text.after, text.after_requests) {
        (Some(after), None) => {
            let mistake = || format!("takes a time as 150ms, 30s, 5m or 1h, not {after:?}");
            When::Time(time_of(&after).ok_or_else(|| part(&place, "after", &mistake()))?)
        }
        (None, Some(count)) => When::Requests(count),
        (Some(_), Some(_)) | (None, None) => {
            let mistake = "takes exactly one of \"after\" and \"after_requests\"".to_owned();
            return Err(ScriptError::Part { place, mistake });
        }
    };
    let orders = match text.world {
        Orders::One(order) => vec![order],
        Orders::Many(orders) => orders,
    };
    let orders = orders.into_iter();
    let world = orders.map(|order| Order::read(order).map_err(|error| part(&place, "world", &error)));
    let turn = Turn {
        clear: text.clear,
        knobs: knobs(&place, &text.knobs)?,
        faults: faults(&place, text.faults)?,
        world: world.collect::<Result<_, _>>()?,
    };
    Ok((when, turn))
}

/// Reads knobs and tries them, so that a wrong value is found when the script is read.
fn knobs(place: &str, given: &BTreeMap<String, Json>) -> Result<Vec<(String, String)>, ScriptError> {
    let mut trial = Knobs::default();
    let mut read = Vec::new();
    for (name, value) in given {
        let text = knob_text(value);
        trial
            .set(name, &text)
            .map_err(|error| part(place, "knobs", &error))?;
        read.push((name.clone(), text));
    }
    Ok(read)
}

/// A knob's value as the command line writes it.
pub(super) fn knob_text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => value.to_string(),
    }
}

fn faults(place: &str, given: Vec<Json>) -> Result<Vec<Fault>, ScriptError> {
    let read = given.into_iter().zip(1..).map(|(json, number)| {
        let field = format!("fault {number}");
        let spec: FaultSpec = serde_json::from_value(json).map_err(|error| part(place, &field, &error))?;
        spec.fault().map_err(|error| part(place, &field, &error))
    });
    read.collect()
}

/// Where the script is.
#[derive(Debug, Clone, Default)]
struct Progress {
    steps: usize,
    done: usize,
    running: bool,
    /// World commands that were refused: nobody waits for their answer.
    mistakes: Vec<String>,
}

/// Runs one script at a time.
#[derive(Default)]
pub(super) struct Runner {
    state: Arc<Mutex<Progress>>,
    task: Mutex<Option<AbortHandle>>,
}

impl Runner {
    /// Starts a script in place of the one that runs. Its start is done when this returns.
    pub(super) fn run(&self, demo: &Arc<Demo>, script: Script, on: &Handle) {
        self.stop();
        *self.state.lock() = Progress {
            steps: script.steps.len(),
            running: true,
            ..Progress::default()
        };
        self.turn(demo, &script.start, "the start");
        let demo = Arc::clone(demo);
        let task = on.spawn(async move {
            let mut arrived = demo.traffic.arrived();
            for ((when, turn), number) in script.steps.iter().zip(1..) {
                match when {
                    When::Time(time) => tokio::time::sleep(*time).await,
                    When::Requests(count) => demo.traffic.until_arrived(arrived + count).await,
                }
                arrived = demo.traffic.arrived();
                demo.scripts.turn(&demo, turn, &format!("step {number}"));
                demo.scripts.state.lock().done = number;
            }
            demo.scripts.state.lock().running = false;
        });
        *self.task.lock() = Some(task.abort_handle());
    }

    /// Ends the script where it is; what it did stays.
    pub(super) fn stop(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
        self.state.lock().running = false;
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Json {
        let state = self.state.lock().clone();
        json!({
            "steps": state.steps,
            "done": state.done,
            "running": state.running,
            "mistakes": state.mistakes,
        })
    }

    fn turn(&self, demo: &Arc<Demo>, turn: &Turn, place: &str) {
        if turn.clear {
            demo.faults.clear_all();
        }
        let turned: Result<(), KnobError> = demo.knobs.turn(|knobs| {
            let mut all = turn.knobs.iter();
            all.try_for_each(|(name, text)| knobs.set(name, text))
        });
        let mut mistakes = Vec::new();
        mistakes.extend(turned.err().map(|error| error.to_string()));
        for fault in &turn.faults {
            demo.faults.inject(fault.clone());
        }
        for order in &turn.world {
            mistakes.extend(order.carry_out(demo.world()).err().map(|error| error.to_string()));
        }
        let mut state = self.state.lock();
        for mistake in mistakes {
            tracing::warn!("the script's {place}: {mistake}");
            state.mistakes.push(format!("{place}: {mistake}"));
        }
    }
}
