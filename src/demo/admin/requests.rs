//! What was asked, and who is logged in, over HTTP.

use serde_json::json;

use crate::demo::traffic::RequestKind;

use super::{AdminError, Answer, Ask, by_name};

pub(super) fn look(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    let only = ask.text("kind").map(|name| {
        RequestKind::named(name).ok_or_else(|| AdminError::Value {
            field: "kind",
            values: "a request kind (GET /admin lists them)",
            text: name.to_owned(),
        })
    });
    let only = only.transpose()?;
    let counters = ask.demo.traffic.counters();
    let log = ask.demo.traffic.log().into_iter();
    let log = log.filter(|request| only.is_none_or(|kind| request.kind == kind));
    let log: Vec<_> = log
        .map(|request| {
            json!({
                "kind": request.kind.name(),
                "subject": request.subject.map(|guid| guid.to_string()),
                "method": request.method,
                "target": request.target,
                "skip": request.skip,
                "top": request.top,
                "skip_token": request.skip_token,
                "range": request.range,
            })
        })
        .collect();
    Ok(Answer::Json(json!({
        "total": counters.total,
        "mutation_attempts": counters.mutation_attempts,
        "by_kind": by_name(counters.by_kind().map(|(kind, count)| (kind.name(), count))),
        "log": log,
    })))
}

pub(super) fn reset(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    ask.demo.traffic.reset();
    Ok(Answer::Done)
}

pub(super) fn expire(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    ask.demo.ims.grants.expire_access_tokens();
    Ok(Answer::Done)
}

pub(super) fn revoke(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    ask.demo.ims.grants.revoke_all();
    Ok(Answer::Done)
}

pub(super) fn register(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    ask.demo.ims.grants.register_redirect_uri(ask.need("uri")?);
    Ok(Answer::Done)
}
