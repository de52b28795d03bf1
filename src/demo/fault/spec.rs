//! Faults as JSON, for the admin API and scripts.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::demo::knobs::time_of;
use crate::demo::traffic::RequestKind;
use crate::model::InvalidGuid;

use super::{Chance, Effect, Fault};

/// The JSON does not describe a fault.
#[derive(Debug, thiserror::Error)]
pub(in crate::demo) enum FaultError {
    #[error("there is no request kind {0:?}")]
    UnknownKind(String),
    #[error("the fault's subject: {0}")]
    Subject(#[from] InvalidGuid),
    #[error("{field} takes a time as 150ms, 30s, 5m or 1h, not {text:?}")]
    Time { field: &'static str, text: String },
    #[error("{field} takes {values}, not {value}")]
    Number {
        field: &'static str,
        values: &'static str,
        value: String,
    },
    #[error("{0} needs a probability")]
    SeedAlone(&'static str),
    #[error("the body lacks \"effect\"")]
    NoEffect,
    #[error("effect: {0}")]
    Effect(#[from] serde_json::Error),
    #[error("effect: {kind} does not take {field:?}")]
    EffectField { kind: String, field: String },
}

/// One name or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Many(Vec<String>),
}

/// A fault as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::demo) struct FaultSpec {
    on: Option<Names>,
    subject: Option<String>,
    path: Option<String>,
    method: Option<String>,
    account: Option<String>,
    after_requests: u64,
    until_requests: Option<u64>,
    from: Option<String>,
    r#for: Option<String>,
    skip: u32,
    every: Option<u32>,
    times: Option<u32>,
    probability: Option<f64>,
    seed: Option<u64>,
    effect: Option<Json>,
}

impl FaultSpec {
    /// The fault it describes.
    pub(in crate::demo) fn fault(self) -> Result<Fault, FaultError> {
        let names = match self.on {
            None => Vec::new(),
            Some(Names::One(name)) => vec![name],
            Some(Names::Many(names)) => names,
        };
        let kind = |name: String| RequestKind::named(&name).ok_or(FaultError::UnknownKind(name));
        let effect = read_effect(&self.effect.ok_or(FaultError::NoEffect)?)?;
        let chance = match (self.probability, self.seed) {
            (Some(probability), seed) => Some(Chance {
                in_a_million: millionths(probability)?,
                seed: seed.unwrap_or(1),
            }),
            (None, Some(_)) => return Err(FaultError::SeedAlone("seed")),
            (None, None) => None,
        };
        Ok(Fault {
            kinds: names.into_iter().map(kind).collect::<Result<_, _>>()?,
            subject: self.subject.as_deref().map(str::parse).transpose()?,
            path: self.path,
            method: self.method,
            account: self.account,
            after_requests: self.after_requests,
            until_requests: self.until_requests,
            from: time("from", self.from)?.unwrap_or_default(),
            lasts: time("for", self.r#for)?,
            skip: self.skip,
            every: self.every.unwrap_or(1),
            chance,
            times: self.times,
            ..Fault::everywhere(effect)
        })
    }
}

fn time(field: &'static str, text: Option<String>) -> Result<Option<Duration>, FaultError> {
    let Some(text) = text else {
        return Ok(None);
    };
    match time_of(&text) {
        Some(time) => Ok(Some(time)),
        None => Err(FaultError::Time { field, text }),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to a million, as was checked"
)]
fn millionths(probability: f64) -> Result<u32, FaultError> {
    if (0.0..=1.0).contains(&probability) {
        Ok((probability * 1e6).round() as u32)
    } else {
        Err(FaultError::Number {
            field: "probability",
            values: "a number from 0 to 1",
            value: probability.to_string(),
        })
    }
}

/// The most bytes a length may be wrong by: what is added, or follows a body cut short, is in memory.
const MOST_BYTES: u64 = 64 << 20;
/// The most arrays in one another; no reader of JSON goes a thousandth as deep, and the text is in memory.
const MOST_ARRAYS: u32 = 10_000_000;
/// The most MiB of a huge listing, 64 GiB: more than any client can mean to read.
const MOST_MIB: u32 = 64 << 10;

/// Refuses what this process could not carry: a mistyped number must not end it.
#[rustfmt::skip]
fn bear(effect: &Effect) -> Result<(), FaultError> {
    let (field, values, value, within) = match *effect {
        Effect::WrongLength { delta } | Effect::LyingLength { delta } => {
            ("delta", "at most 64 MiB either way", delta.to_string(), delta.unsigned_abs() <= MOST_BYTES)
        }
        Effect::NestedJson { depth } => {
            ("depth", "at most 10 million arrays", depth.to_string(), depth <= MOST_ARRAYS)
        }
        Effect::HugeJson { mib } => {
            ("mib", "at most 65536 MiB", mib.to_string(), mib <= MOST_MIB)
        }
        Effect::Status { .. } | Effect::HangAfterAccept | Effect::HangAfterHeaders | Effect::StallBody { .. }
        | Effect::Truncate { .. } | Effect::ResetBody { .. } | Effect::DropConnection | Effect::ResetConnection
        | Effect::RefuseConnections | Effect::CloseConnection | Effect::Latency(_) | Effect::SlowHeaders { .. }
        | Effect::Trickle { .. } | Effect::ClockSkew { .. } | Effect::WrongRange { .. }
        | Effect::ShiftedBytes { .. } | Effect::WrongContentRange { .. } | Effect::NoContentRange
        | Effect::IgnoredRange | Effect::Gzip | Effect::SecretGzip | Effect::HtmlLogin | Effect::RedirectToLogin
        | Effect::MalformedJson | Effect::JsonNull | Effect::EmptyBody | Effect::EmptyList
        | Effect::WrongContentType { .. } | Effect::ByteOrderMark | Effect::InvalidUtf8 | Effect::DuplicateKeys
        | Effect::WrongTypes | Effect::LoopingSkipToken | Effect::RepeatedPage | Effect::ExpiredSkipToken
        | Effect::RowLost | Effect::RowTwice | Effect::RowLeftOut | Effect::RowDoubled | Effect::ChangedEtag
        | Effect::FalseNotModified | Effect::StaleAnswer => return Ok(()),
    };
    if within {
        Ok(())
    } else {
        Err(FaultError::Number { field, values, value })
    }
}

/// Reads an effect; a field that it does not have is a mistake, for effects without fields too.
fn read_effect(json: &Json) -> Result<Effect, FaultError> {
    let effect = Effect::deserialize(json)?;
    bear(&effect)?;
    let Json::Object(read) = serde_json::to_value(&effect)? else {
        return Ok(effect);
    };
    let given = json.as_object().into_iter().flatten();
    for (field, value) in given {
        if !read.contains_key(field) && !value.is_null() {
            return Err(FaultError::EffectField {
                kind: read["kind"].as_str().unwrap_or_default().to_owned(),
                field: field.clone(),
            });
        }
    }
    Ok(effect)
}

/// Whole seconds, or nothing.
pub(super) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde calls it")]
    pub(crate) fn serialize<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_secs()).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<u64>::deserialize(from)?;
        Ok(seconds.map(Duration::from_secs))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Millis {
    millis: u64,
}

/// An object with `millis`.
pub(super) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Millis;

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Millis { millis }.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let Millis { millis } = Millis::deserialize(from)?;
        Ok(Duration::from_millis(millis))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: Json) -> Result<Fault, String> {
        let spec: FaultSpec = serde_json::from_value(json).map_err(|error| error.to_string())?;
        spec.fault().map_err(|error| error.to_string())
    }

    #[test]
    fn everything_can_be_said_in_json() {
        let fault = read(json!({
            "on": ["File", "listdocuments"],
            "path": "$skip=", "method": "get", "account": "a@b.c", "after_requests": 3, "until_requests": 9,
            "from": "2m", "for": "90s", "skip": 4, "every": 5, "times": 6, "probability": 0.25, "seed": 7,
            "effect": {"kind": "status", "code": 503, "retry_after": 8},
        }));
        let expected = Fault {
            kinds: vec![RequestKind::File, RequestKind::ListDocuments],
            path: Some("$skip=".to_owned()),
            method: Some("get".to_owned()),
            account: Some("a@b.c".to_owned()),
            after_requests: 3,
            until_requests: Some(9),
            from: Duration::from_secs(120),
            lasts: Some(Duration::from_secs(90)),
            skip: 4,
            every: 5,
            times: Some(6),
            chance: Some(Chance {
                in_a_million: 250_000,
                seed: 7,
            }),
            ..Fault::everywhere(Effect::Status {
                code: 503,
                error_id: None,
                retry_after: Some(Duration::from_secs(8)),
            })
        };
        assert_eq!(fault, Ok(expected));
        let latency = read(json!({"effect": {"kind": "latency", "millis": 20}}));
        let expected = Fault::everywhere(Effect::Latency(Duration::from_millis(20)));
        assert_eq!(latency, Ok(expected));
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = |json| read(json).unwrap_err();
        assert_eq!(wrong(json!({})), "the body lacks \"effect\"");
        let hang = json!({"kind": "hang"});
        assert_eq!(
            wrong(json!({"on": "Fiel", "effect": hang})),
            "there is no request kind \"Fiel\""
        );
        assert_eq!(
            wrong(json!({"from": "soon", "effect": hang})),
            "from takes a time as 150ms, 30s, 5m or 1h, not \"soon\""
        );
        assert_eq!(
            wrong(json!({"effect": {"kind": "hang", "after": 3}})),
            "effect: hang does not take \"after\""
        );
        assert!(wrong(json!({"effect": {"kind": "hung"}})).contains("unknown variant `hung`"));
        assert!(wrong(json!({"effect": {"kind": "truncate"}})).contains("missing field `after`"));
        assert_eq!(
            wrong(json!({"probability": 2, "effect": hang})),
            "probability takes a number from 0 to 1, not 2"
        );
    }

    #[test]
    fn numbers_that_would_end_the_process_are_refused_and_the_largest_below_are_not() {
        for (kind, field, most) in [
            ("wrong_length", "delta", 64_i64 << 20),
            ("wrong_length", "delta", -(64 << 20)),
            ("lying_length", "delta", 64 << 20),
            ("lying_length", "delta", -(64 << 20)),
            ("nested_json", "depth", 10_000_000),
            ("huge_json", "mib", 65_536),
        ] {
            let effect = |number: i64| read(json!({"effect": {"kind": kind, field: number}}));
            assert!(effect(most).is_ok(), "{kind} {most}");
            let beyond = most + most.signum();
            let error = effect(beyond).unwrap_err();
            assert!(error.starts_with(&format!("{field} takes at most ")), "{error}");
            assert!(error.ends_with(&format!(", not {beyond}")), "{error}");
        }
    }
}
