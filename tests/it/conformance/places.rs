//! What the names in braces stand for. The README has the list, with what to take on a server of one's own.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pwfs::demo::DemoServer;
use regex::{Captures, Regex};

use super::percent;

/// One brace may hold another: `{base64 {form {web}}:{form {web_secret}}}`.
const DEPTH: usize = 3;

/// A name starts with a letter, so `{8}` of a regular expression and `{"a": 1}` are none.
static BRACES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{([A-Za-z][^{}]*)\}").unwrap());

/// Names and their values; one value, or a list.
#[derive(Clone, Default)]
pub struct Places(BTreeMap<String, Vec<String>>);

impl Places {
    pub fn of(server: &DemoServer) -> Self {
        let mut places = Self::default();
        let base = server.base_url().trim_end_matches('/').to_owned();
        let (web, secret) = server.web_client();
        places.set("platform", &base);
        places.set("ims", server.issuer().trim_end_matches('/'));
        places.set("gateway", server.wsg_url().trim_end_matches('/'));
        places.set("R", server.datasource_url().trim_end_matches('/'));
        places.set("repository", &server.repository_id());
        places.set("native", &server.native_client_id());
        places.set("web", &web);
        places.set("web_secret", &secret);
        let (service, service_secret) = server.service_client();
        places.set("spa", &server.spa_client_id());
        places.set("service", &service);
        places.set("service_secret", &service_secret);
        places.set("redirect_uri", "http://localhost:3301/signin-callback");
        places.set("scope", "projectwise:read offline_access");
        places.set("scope_plus", "projectwise:read+offline_access");
        places.set("user", "demo.engineer");
        // The fact sheet does not give its form; this is how Windows writes one.
        places.set("windows_user", "OFFICE\\demo.engineer");
        places.set("email", "demo.engineer@example.com");
        places.set("password", "leven-bridge");
        places.set("stranger", "new.starter@example.com");
        world(server, &mut places);
        places
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), vec![value.to_owned()]);
    }

    pub fn set_list(&mut self, name: &str, values: Vec<String>) {
        self.0.insert(name.to_owned(), values);
    }

    pub fn append(&mut self, name: &str, values: Vec<String>) {
        self.0.entry(name.to_owned()).or_default().extend(values);
    }

    /// With the names of `other`, which win.
    pub fn with(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.0.extend(other.0.clone());
        all
    }

    pub fn list(&self, name: &str) -> Result<&Vec<String>, String> {
        self.0.get(name).ok_or_else(|| format!("nothing gave {{{name}}}"))
    }

    /// `text` with every name in braces replaced.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        self.replace(text, str::to_owned)
    }

    /// As `fill`, for a regular expression: a value stands for itself.
    pub fn fill_pattern(&self, pattern: &str) -> Result<String, String> {
        self.replace(pattern, regex::escape)
    }

    fn replace(&self, text: &str, written: impl Fn(&str) -> String) -> Result<String, String> {
        let mut text = text.to_owned();
        let mut unknown = None;
        for _ in 0..DEPTH {
            let next = BRACES.replace_all(&text, |found: &Captures<'_>| match self.value(&found[1]) {
                Ok(value) => written(&value),
                Err(failure) => {
                    unknown = Some(failure);
                    String::new()
                }
            });
            if let Some(failure) = unknown {
                return Err(failure);
            }
            if next == text {
                break;
            }
            text = next.into_owned();
        }
        Ok(text)
    }

    fn value(&self, name: &str) -> Result<String, String> {
        if let Some(text) = name.strip_prefix("base64 ") {
            return Ok(STANDARD.encode(text));
        }
        if let Some(text) = name.strip_prefix("form ") {
            return Ok(percent::form_text(text));
        }
        if let Some(list) = name.strip_prefix("quoted ") {
            let quoted = self
                .list(list)?
                .iter()
                .map(|value| format!("'{}'", value.replace('\'', "''")));
            return Ok(quoted.collect::<Vec<_>>().join(","));
        }
        if let Some(list) = name.strip_prefix("count ") {
            return Ok(self.list(list)?.len().to_string());
        }
        self.list(name)?
            .first()
            .cloned()
            .ok_or_else(|| format!("{{{name}}} is empty"))
    }
}

/// The folders and documents that rows ask for.
fn world(server: &DemoServer, places: &mut Places) {
    let world = server.world();
    let folders = world.folders();
    let folder = |path: &[&str]| {
        let found = folders.iter().find(|folder| folder.path == path);
        found
            .unwrap_or_else(|| panic!("no folder {path:?}"))
            .guid
            .to_string()
    };
    let root = "Leven Estuary Crossing";
    for (name, path) in [
        ("root", &[root][..]),
        ("parent", &[root, "03 Design", "Piers"]),
        ("folder", &[root, "03 Design", "Piers", "Drawings"]),
        ("general", &[root, "00 General"]),
        ("big", &[root, "04 Correspondence", "Incoming"]),
        ("closed_folder", &[root, "09 Commercial in Confidence"]),
    ] {
        let guid = folder(path);
        let children = folders.iter().filter(|child| {
            child.listed
                && child
                    .parent
                    .as_ref()
                    .is_some_and(|parent| parent.to_string() == guid)
        });
        places.set_list(
            &format!("{name}_folders"),
            children.map(|child| child.guid.to_string()).collect(),
        );
        places.set(name, &guid);
        places.set(&format!("{name}_name"), path.last().unwrap());
    }
    let roots = folders
        .iter()
        .filter(|folder| folder.parent.is_none() && folder.listed);
    places.set_list("roots", roots.map(|folder| folder.guid.to_string()).collect());

    let documents = world.documents();
    let listed = |wanted: &dyn Fn(&[String], bool, bool) -> bool| {
        let found = documents.iter().filter(|document| {
            document.listed && wanted(&document.path, document.active, document.file_name.is_some())
        });
        found
            .map(|document| document.guid.to_string())
            .collect::<Vec<String>>()
    };
    let piers = [root, "03 Design", "Piers"];
    let drawings = [root, "03 Design", "Piers", "Drawings"];
    let general = [root, "00 General"];
    let big = [root, "04 Correspondence", "Incoming"];
    places.set_list("folder_documents", listed(&|path, _, _| path == drawings));
    places.set_list(
        "folder_active",
        listed(&|path, active, _| path == drawings && active),
    );
    places.set_list(
        "parent_subtree",
        listed(&|path, _, _| path.iter().zip(piers).filter(|(a, b)| a == b).count() == 3),
    );
    places.set_list("general_documents", listed(&|path, _, _| path == general));
    places.set_list("general_files", listed(&|path, _, file| path == general && file));
    places.set_list("big_documents", listed(&|path, _, _| path == big));
    for (name, file) in [
        ("document", "LEC-GEN-RPT-0002.pdf"),
        ("empty_document", "LEC-GEN-LOG-0000.txt"),
        ("denied_document", "LEC-LEG-ADV-0001.pdf"),
    ] {
        let found = documents
            .iter()
            .find(|document| document.file_name.as_deref() == Some(file));
        let document = found.unwrap_or_else(|| panic!("no document {file}"));
        places.set(name, &document.guid.to_string());
        places.set(&format!("{name}_name"), &document.name);
        places.set(&format!("{name}_file"), file);
        places.set(&format!("{name}_size"), &document.size.to_string());
    }
    let placeholder = documents
        .iter()
        .find(|document| document.name == "doc00001")
        .unwrap();
    places.set("placeholder", &placeholder.guid.to_string());
}

/// What is in a document's file.
pub fn content(server: &DemoServer, guid: &str) -> Vec<u8> {
    let world = server.world();
    let documents = world.documents();
    let document = documents
        .iter()
        .find(|document| document.guid.to_string() == guid);
    let document = document.unwrap_or_else(|| panic!("no document {guid}"));
    world.content(document.guid).unwrap().to_vec()
}
