//! The knobs over HTTP.

use serde_json::{Value as Json, json};

use crate::demo::knobs::Knobs;
use crate::demo::script::knob_text;

use super::{AdminError, Answer, Ask};

pub(super) fn look(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    let knobs = ask.demo.knobs.now();
    let rows = Knobs::TABLE.iter().map(|knob| {
        let values = if knob.is_switch() {
            "true|false"
        } else {
            knob.values
        };
        json!({
            "name": knob.name,
            "value": knob.value(&knobs),
            "values": values,
            "point": knob.point,
            "help": knob.help,
        })
    });
    Ok(Answer::Json(Json::Array(rows.collect())))
}

pub(super) fn turn(ask: &Ask<'_>) -> Result<Answer, AdminError> {
    ask.demo.knobs.turn(|knobs| {
        let mut all = ask.fields.iter();
        all.try_for_each(|(name, value)| knobs.set(name, &knob_text(value)))
    })?;
    Ok(Answer::Done)
}
