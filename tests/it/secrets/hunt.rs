//! The hunt: every form a secret may hide in, and every place it may hide.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// What must be found nowhere, and what was said and written.
#[derive(Default)]
pub struct Hunt {
    /// Each form of each secret, with the secret's name and how it is written.
    forms: BTreeMap<String, String>,
    /// Where it was looked, and the text that was there.
    places: Vec<(String, String)>,
}

/// Shorter text is found by chance.
const SHORTEST: usize = 8;

impl Hunt {
    /// Adds a secret in every form it may be written in. A new kind of secret is one such line.
    pub fn secret(&mut self, name: &str, value: &str) {
        assert!(value.len() >= SHORTEST, "{name} is too short to be hunted for");
        self.form(name, "as it is", value.to_owned());
        let form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        self.form(name, "as a form has it", form);
        let percent = |escape: fn(&mut String, u8)| {
            let mut text = String::new();
            for byte in value.bytes() {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                    text.push(char::from(byte));
                } else {
                    escape(&mut text, byte);
                }
            }
            text
        };
        let upper = percent(|text, byte| write!(text, "%{byte:02X}").unwrap());
        let lower = percent(|text, byte| write!(text, "%{byte:02x}").unwrap());
        self.form(name, "percent-encoded", upper);
        self.form(name, "percent-encoded in lower case", lower);
        self.form(
            name,
            "as JSON and Rust quote it",
            format!("{value:?}").trim_matches('"').to_owned(),
        );
        // Wherever it stands in what was encoded: alone, as `user:secret`, within a form.
        for before in 0..3 {
            let mut bytes = vec![b' '; before];
            bytes.extend(value.as_bytes());
            for (engine, alphabet) in [(&STANDARD, "base64"), (&URL_SAFE, "base64 of URLs")] {
                let text = engine.encode(&bytes);
                // The first and the last characters hold bits of what stands beside it.
                let from = [0, 2, 3][before];
                let behind = [0, 3, 2][bytes.len() % 3];
                let inner = text.get(from..text.len() - behind).unwrap_or_default();
                self.form(
                    name,
                    &format!("as {alphabet} behind {before} bytes"),
                    inner.to_owned(),
                );
            }
        }
        // What stands between the dots of a JWT is a secret of its own: it tells who and what, and the last part makes it valid.
        let parts: Vec<&str> = value.split('.').collect();
        if let [_, payload, signature] = parts[..]
            && signature.len() >= SHORTEST
        {
            self.form(name, "by its middle part", payload.to_owned());
            self.form(name, "by its signature", signature.to_owned());
        }
    }

    fn form(&mut self, name: &str, how: &str, text: String) {
        if text.len() >= SHORTEST {
            self.forms.entry(text).or_insert_with(|| format!("{name}, {how}"));
        }
    }

    /// Looks at text that a program said or the system shows.
    pub fn look(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.places.push((place.into(), text.into()));
    }

    /// Looks at every file below a directory, but for those that are meant to hold a secret.
    pub fn look_below(&mut self, dir: &Path, but_for: &[&Path]) {
        let mut waiting = vec![dir.to_owned()];
        while let Some(dir) = waiting.pop() {
            for entry in fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                let kind = fs::symlink_metadata(&path).unwrap().file_type();
                self.look(
                    format!("the name of {}", path.display()),
                    path.display().to_string(),
                );
                if kind.is_dir() {
                    waiting.push(path);
                } else if kind.is_file() && !but_for.contains(&path.as_path()) {
                    let bytes = fs::read(&path).unwrap();
                    self.look(path.display().to_string(), String::from_utf8_lossy(&bytes));
                }
            }
        }
    }

    /// Looks at what the system shows of a process to everybody (proc(5)): its command line and its mounts.
    ///
    /// Its environment is its user's alone, who put there what is in it; a process that holds a login closes even that.
    pub fn look_at_process(&mut self, pid: i32) {
        for name in ["cmdline", "comm", "mountinfo", "status"] {
            let path = format!("/proc/{pid}/{name}");
            let bytes = fs::read(&path).unwrap();
            self.look(path, String::from_utf8_lossy(&bytes));
        }
    }

    /// Everything that was found, each with its place; never the secret itself.
    pub fn found(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (form, what) in &self.forms {
            for (place, text) in &self.places {
                if text.contains(form.as_str()) {
                    found.insert(format!("{what}: in {place}"));
                }
            }
        }
        found
    }

    /// How many secrets' forms, and how many places.
    pub fn extent(&self) -> (usize, usize) {
        (self.forms.len(), self.places.len())
    }
}
