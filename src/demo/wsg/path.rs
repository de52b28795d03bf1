//! Names of properties as queries write them: own ones, and related ones over any number of relationships.

use std::fmt;
use std::str::FromStr;

/// The most relationships one path may follow; no query of a real client follows more than three.
const STEPS: usize = 8;

/// The way along a relationship.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    Forward,
    Backward,
}

impl Way {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
        }
    }
}

/// One relationship followed: `DocumentParent-forward-Project`, with `!poly` for derived classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) relationship: String,
    pub(super) way: Way,
    pub(super) class: String,
    pub(super) poly: bool,
}

/// A property, maybe of a related instance: `Name`, `$id`, `A-forward-B/C-backward-D.Name`, `A-forward-B.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) steps: Vec<Step>,
    pub(super) property: String,
}

/// The text is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no property")]
pub(super) struct NotAPath(String);

impl Path {
    /// True for the `$id` of the folder an instance is in, however it is asked for.
    pub(super) fn is_parent(&self) -> bool {
        match self.steps.as_slice() {
            [] => self.property == "ParentGuid",
            [step] => {
                self.property == "$id"
                    && step.way == Way::Forward
                    && step.class == "Project"
                    && ["ProjectParent", "DocumentParent"].contains(&step.relationship.as_str())
            }
            _ => false,
        }
    }

    /// True for the instance's own `$id`.
    pub(super) fn is_id(&self) -> bool {
        self.steps.is_empty() && self.property == "$id"
    }
}

impl FromStr for Path {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Self, NotAPath> {
        let wrong = || NotAPath(text.to_owned());
        if !text.contains("-forward-") && !text.contains("-backward-") {
            let plain = |c: char| c.is_alphanumeric() || "_$.*".contains(c);
            if text.is_empty() || !text.chars().all(plain) {
                return Err(wrong());
            }
            return Ok(Self {
                steps: Vec::new(),
                property: text.to_owned(),
            });
        }
        // The last dot ends the path of classes; a class may carry its schema's name before another one.
        let (classes, property) = text.rsplit_once('.').ok_or_else(wrong)?;
        if property.is_empty() || property.contains(['/', '-', '!']) {
            return Err(wrong());
        }
        let steps: Option<Vec<_>> = classes.split('/').map(step).collect();
        let steps = steps.filter(|steps| steps.len() <= STEPS).ok_or_else(wrong)?;
        Ok(Self {
            steps,
            property: property.to_owned(),
        })
    }
}

fn step(text: &str) -> Option<Step> {
    let (relationship, rest) = text.split_once('-')?;
    let (way, class) = rest.split_once('-')?;
    let way = match way {
        "forward" => Way::Forward,
        "backward" => Way::Backward,
        _ => return None,
    };
    let (class, poly) = match class.strip_suffix("!poly") {
        Some(class) => (class, true),
        None => (class, false),
    };
    let plain = |c: char| c.is_alphanumeric() || "_.".contains(c);
    let named = |name: &str| !name.is_empty() && name.chars().all(plain);
    (named(relationship) && named(class)).then(|| Step {
        relationship: relationship.to_owned(),
        way,
        class: class.to_owned(),
        poly,
    })
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.steps.iter().enumerate() {
            if place > 0 {
                formatter.write_str("/")?;
            }
            let way = step.way.word();
            write!(formatter, "{}-{way}-{}", step.relationship, step.class)?;
            if step.poly {
                formatter.write_str("!poly")?;
            }
        }
        if !self.steps.is_empty() {
            formatter.write_str(".")?;
        }
        formatter.write_str(&self.property)
    }
}
