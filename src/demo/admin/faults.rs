//! Faults and scripts over HTTP.

#![expect(
    clippy::unnecessary_wraps,
    reason = "every command has one form, whether it can fail or not"
)]

use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::runtime::Handle;

use crate::demo::fault::{FaultId, FaultSpec};
use crate::demo::script::Script;

use super::{AdminError, Answer, Ask};

/// Every field of a fault.
pub(super) const FIELDS: &[&str] = &[
    "on",
    "subject",
    "path",
    "method",
    "account",
    "after_requests",
    "until_requests",
    "from",
    "for",
    "skip",
    "every",
    "times",
    "probability",
    "seed",
    "effect",
];

pub(super) fn look(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    let mut faults = Vec::new();
    for entry in ask.demo.faults.entries() {
        let fault = &entry.fault;
        let on: Vec<_> = fault.kinds.iter().map(|kind| kind.name()).collect();
        faults.push(json!({
            "id": entry.id.0,
            "in_force": entry.in_force(),
            "matched": entry.matched,
            "struck": entry.struck,
            "on": on,
            "subject": fault.subject.map(|guid| guid.to_string()),
            "path": fault.path,
            "method": fault.method,
            "account": fault.account,
            "after_requests": fault.after_requests,
            "until_requests": fault.until_requests,
            "from_ms": u64::try_from(fault.from.as_millis()).unwrap_or(u64::MAX),
            "for_ms": fault.lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)),
            "skip": fault.skip,
            "every": fault.every,
            "times": fault.times,
            "in_a_million": fault.chance.map(|chance| chance.in_a_million),
            "seed": fault.chance.map(|chance| chance.seed),
            "effect": serde_json::to_value(&fault.effect)?,
        }));
    }
    Ok(Answer::Json(Json::Array(faults)))
}

pub(super) fn inject(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    let fault = ask.read::<FaultSpec>()?.fault()?;
    Ok(Answer::Json(json!({ "id": ask.demo.faults.inject(fault).0 })))
}

pub(super) fn clear(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    #[derive(Deserialize)]
    struct Which {
        id: Option<u64>,
    }
    if let Some(id) = ask.read::<Which>()?.id {
        return Ok(Answer::Json(
            json!({ "found": ask.demo.faults.clear(FaultId(id)) }),
        ));
    }
    ask.demo.faults.clear_all();
    Ok(Answer::Done)
}

pub(super) fn progress(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    Ok(Answer::Json(ask.demo.scripts.progress()))
}

pub(super) fn run_script(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    let script = Script::parse(&Json::Object(ask.fields.clone()).to_string())?;
    let steps = script.steps();
    ask.demo.scripts.run(ask.demo, script, &Handle::current());
    Ok(Answer::Json(json!({ "steps": steps })))
}

pub(super) fn stop_script(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    ask.demo.scripts.stop();
    Ok(Answer::Json(ask.demo.scripts.progress()))
}

pub(super) fn reset(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    let demo = ask.demo;
    demo.scripts.stop();
    demo.faults.clear_all();
    demo.knobs.turn(|knobs| {
        knobs.clone_from(&demo.start);
        Ok::<_, AdminError>(())
    })?;
    demo.traffic.reset();
    demo.limits.reset();
    demo.platform.forget_rates();
    demo.lockout.reset();
    demo.ims.forget_wrong_passwords();
    Ok(Answer::Done)
}
