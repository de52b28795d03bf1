//! `setup` as a person goes through it, at a terminal: from nothing to a mounted folder.
//!
//! The first test goes the whole way; the others go it once for each kind of sign-in. What is kept in the end is
//! compared with a file in `setup/`, in which the server's address and the redirect URI, which change with each run,
//! have names.

use std::fs;
use std::path::Path;

use pwfs::demo::DemoOptions;
use url::Url;

use crate::harness::small;
use crate::program::{Stage, visit};
use crate::terminal::{Terminal, tmux_is_here};

/// Wide enough for a page of options, and as high as a usual window.
const SIZE: (u16, u16) = (110, 40);

/// What the bottom line of the folder picker begins with.
const PICKER: &str = "Space mark";

/// A redirect URI on a port that nobody else of this test run has.
fn free_redirect() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!(
        "http://localhost:{}/signin-callback",
        listener.local_addr().unwrap().port()
    )
}

/// A stage with one terminal in it.
struct Desk {
    stage: Stage,
    redirect: String,
}

impl Desk {
    fn new(options: DemoOptions) -> Self {
        let stage = Stage::with(options);
        let redirect = free_redirect();
        stage.server.register_redirect_uri(&redirect);
        Self { stage, redirect }
    }

    /// Runs `pwfs` with these arguments at the terminal.
    fn at(&self, args: &str) -> Terminal {
        let home = self.stage.home.path();
        let command = format!(
            "env -i HOME='{home}' PATH=\"$PATH\" TERM=screen-256color LANG=C.UTF-8 \
             DBUS_SESSION_BUS_ADDRESS='unix:path={home}/no-bus' '{program}' {args}",
            home = home.display(),
            program = env!("CARGO_BIN_EXE_pwfs"),
        );
        Terminal::run(&command, home, SIZE)
    }

    fn setup(&self, more: &str) -> Terminal {
        let issuer = self.stage.server.issuer();
        self.at(&format!(
            "setup --issuer {issuer} --no-browser --credentials file {more}"
        ))
    }

    /// Opens the printed address in a browser that says yes to everything.
    fn sign_in(terminal: &Terminal) {
        let screen = terminal.until("address to open", |screen| {
            screen.contains("Waiting for the browser") && screen.contains("/connect/authorize?")
        });
        let address = screen
            .split_whitespace()
            .rfind(|word| word.contains("/connect/authorize?"))
            .unwrap();
        visit(&Url::parse(address).unwrap());
    }

    /// The configuration equals the golden file of this name.
    #[track_caller]
    fn is_golden(&self, name: &str) {
        let written = fs::read_to_string(self.stage.config_file())
            .unwrap()
            .replace(&self.stage.server.issuer(), "{server}")
            .replace(&self.redirect, "{redirect}");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/setup/{name}.toml"));
        let golden = fs::read_to_string(&path).unwrap();
        assert_eq!(written, golden, "{} differs", path.display());
    }

    /// Mounts what was set up, and looks at its top.
    fn mounts_with(&self, names: &[&str]) {
        let dir = self.stage.home.path().join("ProjectWise");
        fs::create_dir(&dir).unwrap();
        let mut mount = self.stage.start(&["mount", dir.to_str().unwrap()]);
        mount.wait_for_line(|line| line.contains("is mounted at"));
        let mut found: Vec<String> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, names);
        self.stage.run(&["unmount", dir.to_str().unwrap()]).succeeds();
        mount.finish().succeeds();
    }
}

/// Waits for the picker to list the present folder, which has this name in it.
#[track_caller]
fn picker_shows(terminal: &Terminal, name: &str) {
    terminal.until(name, |_| {
        let shown = terminal.visible();
        shown.contains(PICKER) && shown.contains(name)
    });
}

/// Filters the present level down to one name, and puts the cursor on it.
fn filter(terminal: &Terminal, text: &str, row: &str) {
    terminal.types("/").types(text);
    terminal.shows(&format!("/{text}"));
    terminal.press("Down");
    terminal.until(row, |_| {
        terminal
            .visible()
            .lines()
            .any(|line| line.starts_with('>') && line.contains(row))
    });
}

/// Marks two folders in different branches, the second by a search below the first's; leaves, comes back, marks a third
/// under another name, and is done. The screen of the end.
fn choose_three(desk: &Desk, terminal: &Terminal, flags: &str) -> String {
    picker_shows(terminal, "Leven Estuary Crossing/");
    filter(terminal, "leven", "Leven Estuary Crossing");
    terminal.press("Enter");
    picker_shows(terminal, "00 General");
    filter(terminal, "00 gen", "00 General");
    terminal.press("Space");
    marked_with(terminal, "00 General");
    // All of this level again, and then what is below it.
    terminal.press("/").press("Escape");
    terminal.press("/").types("cofferdams").press("Enter");
    terminal.shows("done:");
    terminal.press("Space");
    marked_with(terminal, "Cofferdams");
    // Left in the middle of choosing, and found again.
    terminal.types("q");
    terminal.shows("Leave?");
    terminal.types("y");
    let (status, told) = terminal.ends();
    assert_eq!(status, 75, "{told}");
    assert!(told.contains("`pwfs setup` goes on with: the folders"), "{told}");

    let terminal = desk.at(&format!("setup {flags}"));
    terminal.shows("Where to begin?");
    terminal.press("Enter");
    picker_shows(&terminal, "Company Standards/");
    filter(&terminal, "company", "Company Standards");
    terminal.types("a");
    terminal.shows("Alias");
    terminal.answers("Standards");
    marked_with(&terminal, "as Standards");
    terminal.types("s");
    let (status, told) = terminal.ends();
    assert_eq!(status, 0, "{told}");
    assert!(told.contains(" 0 failed"), "{told}");
    assert!(told.contains("pwfs mount ~/ProjectWise"), "{told}");
    told
}

/// Waits for the row of this name to have the mark.
#[track_caller]
fn marked_with(terminal: &Terminal, name: &str) {
    terminal.until(name, |_| {
        terminal
            .visible()
            .lines()
            .any(|line| line.contains("[x]") && line.contains(name))
    });
}

#[test]
fn a_web_app_is_set_up_left_and_resumed_and_mounted() {
    if !tmux_is_here() {
        return;
    }
    let desk = Desk::new(small());
    let (id, secret) = desk.stage.server.web_client();
    let terminal = desk.setup("");
    terminal.shows("How does pwfs sign in?");
    terminal.press("Enter");
    terminal.shows("Redirect URI");
    // What is offered stands there already; Ctrl-U would take it away, an answer replaces it.
    terminal.answers(&desk.redirect);
    let told = terminal.shows("? Client ID");
    for words in [
        "https://developer.bentley.com/my-apps/",
        "Web App",
        "projectwise:read",
        &desk.redirect,
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    terminal.answers(&id);
    terminal.shows("Client Secret");
    terminal.answers(&secret);
    Desk::sign_in(&terminal);
    let told = terminal.shows("When it is allowed, go on.");
    assert!(told.contains("Signed in as Demo Engineer"), "{told}");
    assert!(
        told.contains("Send this to your ProjectWise administrator"),
        "{told}"
    );
    assert!(told.contains(&id) && !told.contains(&secret), "{told}");
    // The administrator takes days.
    terminal.press("Escape");
    let (status, told) = terminal.ends();
    assert_eq!(status, 75, "{told}");
    assert!(told.contains("`pwfs setup` goes on with"), "{told}");

    let terminal = desk.setup("");
    terminal.shows("Where to begin?");
    terminal.press("Enter");
    terminal.shows("When it is allowed, go on.");
    terminal.press("Enter");
    terminal.shows("Which datasource?");
    terminal.press("Enter");
    // A work area is found by a word of its name.
    terminal.shows("Which work area?");
    terminal.press("Up");
    terminal.shows("> None of these");
    terminal.press("Enter");
    terminal.shows("? Datasource URL");
    terminal.answers(&desk.stage.server.datasource_url());
    let told = choose_three(&desk, &terminal, "");
    assert!(!told.contains(&secret), "{told}");
    desk.is_golden("web");
    desk.mounts_with(&["00 General", "Cofferdams", "Standards"]);

    // A profile that is set up may be changed, or looked at.
    let terminal = desk.setup("");
    terminal.shows("Which profile?");
    terminal.press("Enter");
    terminal.shows("What should change?");
    terminal.press("Escape");
    assert_eq!(terminal.ends().0, 75);
}

#[test]
fn a_native_app_is_set_up_through_its_work_areas() {
    if !tmux_is_here() {
        return;
    }
    let desk = Desk::new(small());
    let terminal = desk.setup("");
    terminal.shows("How does pwfs sign in?");
    terminal.types("Mobile").press("Enter");
    terminal.shows("Redirect URI");
    terminal.answers(&desk.redirect);
    terminal.shows("? Client ID");
    // Nothing, and a sentence, are no Client ID.
    terminal.press("Enter");
    terminal.shows("a Client ID is one word");
    terminal.answers(&desk.stage.server.native_client_id());
    Desk::sign_in(&terminal);
    terminal.shows("When it is allowed, go on.");
    terminal.press("Enter");
    terminal.shows("Which datasource?");
    terminal.press("Enter");
    terminal.shows("Which work area?");
    terminal.press("Enter");
    // The work area that was chosen is marked already; its folders are wanted one by one.
    picker_shows(&terminal, "Leven Estuary Crossing/");
    marked_with(&terminal, "Leven Estuary Crossing");
    filter(&terminal, "leven", "Leven Estuary Crossing");
    terminal.press("Space").press("/").press("Escape");
    terminal.shows("nothing marked");
    choose_three(&desk, &terminal, "");
    desk.is_golden("native");
    desk.mounts_with(&["00 General", "Cofferdams", "Standards"]);
}

#[test]
fn a_service_is_set_up_with_a_secret_that_was_wrong_at_first() {
    if !tmux_is_here() {
        return;
    }
    let desk = Desk::new(small());
    let terminal = desk.setup("--service --client-id service-pwfs-demo");
    terminal.shows("? Client Secret");
    terminal.answers("mistyped");
    let told = terminal.shows("What next?");
    assert!(told.contains("Client Secret") && told.contains("Hint:"), "{told}");
    assert!(!told.contains("mistyped"), "{told}");
    terminal.types("Change").press("Enter");
    terminal.shows("? Client Secret");
    terminal.answers("demo-service+secret/==");
    terminal.shows("When it is allowed, go on.");
    terminal.press("Enter");
    terminal.shows("Which datasource?");
    terminal.types("Paste").press("Enter");
    terminal.shows("? Datasource URL");
    terminal.answers(&format!("<{}>", desk.stage.server.datasource_url()));
    choose_three(&desk, &terminal, "");
    desk.is_golden("service");
    desk.mounts_with(&["00 General", "Cofferdams", "Standards"]);
}

#[test]
fn an_on_premises_account_is_set_up_without_an_app() {
    if !tmux_is_here() {
        return;
    }
    let desk = Desk::new(small());
    let terminal = desk.at("setup --credentials file");
    terminal.shows("How does pwfs sign in?");
    terminal.types("On-premises account").press("Enter");
    terminal.shows("? Datasource URL");
    terminal.answers(&desk.stage.server.datasource_url());
    terminal.shows("? User name");
    terminal.answers("demo.engineer");
    terminal.shows("? Password");
    terminal.answers("leven-bridge");
    let told = choose_three(&desk, &terminal, "");
    assert!(!told.contains("leven-bridge"), "{told}");
    desk.is_golden("basic");
    desk.mounts_with(&["00 General", "Cofferdams", "Standards"]);
}

#[test]
fn what_a_flag_says_is_not_asked() {
    if !tmux_is_here() {
        return;
    }
    let desk = Desk::new(small());
    let url = desk.stage.server.datasource_url();
    let terminal = desk.at(&format!(
        "setup --credentials file --datasource '{url}' --username demo.engineer --windows"
    ));
    let told = terminal.shows("? Password");
    for asked in ["How does pwfs sign in?", "Datasource URL", "User name"] {
        assert!(!told.contains(asked), "{asked}: {told}");
    }
    terminal.press("Escape");
    assert_eq!(terminal.ends().0, 75);

    let token = desk.stage.home.path().join("token");
    fs::write(&token, "nobody-gave-it").unwrap();
    let terminal = desk.at(&format!(
        "setup --datasource '{url}' --token-file '{}'",
        token.display()
    ));
    // It is tried at once, and refused.
    let told = terminal.shows("What next?");
    assert!(
        !told.contains("? File") && !told.contains("nobody-gave-it"),
        "{told}"
    );
}

#[test]
fn without_a_terminal_the_flags_are_told_and_do_the_same() {
    let desk = Desk::new(small());
    let words = desk.stage.run(&["setup"]).fails(2);
    for flag in [
        "--client-id",
        "--datasource",
        "--folder",
        "pwfs login",
        "pwfs doctor",
    ] {
        assert!(words.contains(flag), "{flag}: {words}");
    }
    let secret = desk.stage.home.path().join("secret");
    fs::write(&secret, "demo-service+secret/==\n").unwrap();
    let issuer = desk.stage.server.issuer();
    let datasource = desk.stage.server.datasource_url();
    desk.stage
        .run(&[
            "setup",
            "--service",
            "--client-id",
            "service-pwfs-demo",
            "--client-secret-file",
            secret.to_str().unwrap(),
            "--issuer",
            &issuer,
            "--credentials",
            "file",
            "--datasource",
            &datasource,
            "--folder",
            "Leven Estuary Crossing/00 General",
            "--folder",
            "Leven Estuary Crossing/07 Temporary Works/Cofferdams",
            "--folder",
            "Company Standards=Standards",
            "--preset",
            "pipeline",
        ])
        .succeeds();
    desk.is_golden("pipeline");
}
