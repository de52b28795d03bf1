use std::time::Duration;

use super::*;
use crate::auth::{AuthKind, StoreKind};
use crate::http::Network;
use crate::remote::wsg::{BlobRedirect, PageMode, QueryStyle, RangeMode, WsgOptions};

fn parse(text: &str) -> Result<ConfigFile, ConfigError> {
    ConfigFile::parse(Path::new("/x/config.toml"), text.to_owned())
}

fn full() -> Profile {
    Profile {
        auth: AuthKind::Native,
        issuer: "https://qa-ims.bentley.com".to_owned(),
        client_id: "app-1".to_owned(),
        scopes: vec!["projectwise:read".to_owned()],
        redirect_uri: "http://localhost:9/cb".to_owned(),
        username: None,
        token_file: None,
        credentials: StoreKind::File,
        datasource: Some("https://h/ws/v2.8/Repositories/Bentley.PW--h~3Ads".to_owned()),
        folders: vec![
            FolderChoice {
                folder: "Design/Ünïcode \"x\"".to_owned(),
                alias: Some("design".to_owned()),
                comment: None,
            },
            FolderChoice {
                folder: "60e9dda5-5297-4916-9739-0e40fd00a4b8".to_owned(),
                alias: None,
                comment: Some("Bridge/03 Design".to_owned()),
            },
        ],
        wsg: WsgOptions {
            query_style: QueryStyle::Path,
            page_mode: PageMode::Skip,
            page_size: 100,
            ranges: RangeMode::WholeFiles,
            blob_redirect: BlobRedirect::Allow,
            api_version: Some("2.5".parse().unwrap()),
        },
        network: Network {
            ca_bundle: Some("/etc/ssl/office.pem".into()),
            client_certificate: Some("/home/anna/client.pem".into()),
            client_key: Some("/home/anna/client.key".into()),
            proxy: Some("http://proxy.office:3128".to_owned()),
            no_proxy: Some(".office,10.0.0.0/8".to_owned()),
            allow_plain_http: true,
            pace: Some(crate::http::pace::Pace::Gentle),
        },
        freshness: freshness::Freshness {
            preset: Some(freshness::Preset::Pipeline),
            how: Some(freshness::HowFresh::Strict),
            metadata_ttl: Some(Duration::from_secs(90)),
            on_outage: Some(freshness::Outage::Stale),
            max_stale: Some(Duration::from_hours(36)),
            refresh_interval: Some(Duration::from_secs(20)),
        },
        reading: reading::Reading {
            never_download: vec!["!tumblerd".to_owned(), "indexer".to_owned()],
            read_ahead: Some(4 << 20),
            exec: true,
            sha256: true,
        },
        max_cache_size: Some(size::Size(3 << 29)),
    }
}

#[test]
fn a_time_that_cannot_be_read_is_told_with_its_key() {
    let error = parse("[profiles.work]\nmetadata_ttl = \"soon\"\n").unwrap_err();
    assert!(error.to_string().contains("metadata_ttl is \"soon\""), "{error}");
    let error = parse("[profiles.work]\nrefresh_interval = \"0s\"\n").unwrap_err();
    assert!(error.to_string().contains("longer than 0s"), "{error}");
}

#[test]
fn a_size_that_cannot_be_read_is_told_with_its_key() {
    let error = parse("[profiles.work]\nmax_cache_size = \"much\"\n").unwrap_err();
    assert!(
        error.to_string().contains("max_cache_size is \"much\""),
        "{error}"
    );
}

#[test]
fn a_profile_is_read_back_as_it_was_written() {
    for profile in [Profile::default(), full()] {
        let mut file = parse("").unwrap();
        file.set_profile("work", &profile).unwrap();
        let text = file.text();
        assert_eq!(parse(&text).unwrap().profile("work").unwrap(), profile, "{text}");
    }
    for (style, mode) in [
        (QueryStyle::ParentGuid, PageMode::SkipToken),
        (QueryStyle::Relationship, PageMode::Auto),
    ] {
        let mut profile = Profile::default();
        (profile.wsg.query_style, profile.wsg.page_mode) = (style, mode);
        let mut file = parse("").unwrap();
        file.set_profile("work", &profile).unwrap();
        assert_eq!(parse(&file.text()).unwrap().profile("work").unwrap(), profile);
    }
}

#[test]
fn each_way_to_sign_in_keeps_the_keys_it_needs_and_no_others() {
    let all = Profile {
        username: Some("anna".to_owned()),
        token_file: Some("/run/token".into()),
        ..full()
    };
    for (word, auth) in AuthKind::ALL {
        let mut file = parse("").unwrap();
        file.set_profile("work", &Profile { auth, ..all.clone() })
            .unwrap();
        let text = file.text();
        let has = |key: &str| text.lines().any(|line| line.starts_with(&format!("{key} = ")));
        assert!(text.contains(&format!("auth = {word:?}\n")), "{text}");
        assert_eq!(has("client_id"), auth.has_app(), "{text}");
        assert_eq!(has("issuer"), auth.has_app(), "{text}");
        assert_eq!(has("scopes"), auth.has_app(), "{text}");
        assert_eq!(has("redirect_uri"), auth.has_browser(), "{text}");
        assert_eq!(has("username"), auth.has_password(), "{text}");
        assert_eq!(has("token_file"), auth.has_token_file(), "{text}");
        assert_eq!(has("credentials"), !auth.has_token_file(), "{text}");
        assert_eq!(file.profile("work").unwrap().auth, auth);
    }
    let service = parse("[profiles.a]\nauth = \"service\"")
        .unwrap()
        .profile("a")
        .unwrap();
    assert_eq!(service.scopes, ["projectwise:read"], "nothing to refresh");
}

#[test]
fn a_comment_is_one_line_whatever_the_folder_is_called() {
    let profile = Profile {
        folders: vec![FolderChoice {
            folder: "60e9dda5-5297-4916-9739-0e40fd00a4b8".to_owned(),
            alias: None,
            comment: Some("a\nproxy = \"http://evil\"\r # b".to_owned()),
        }],
        ..Profile::default()
    };
    let mut file = parse("").unwrap();
    file.set_profile("work", &profile).unwrap();
    let read = parse(&file.text()).unwrap().profile("work").unwrap();
    assert_eq!(read.network.proxy, None, "{}", file.text());
    assert_eq!(
        read.folders[0].comment.as_deref(),
        Some("aproxy = \"http://evil\" # b")
    );
}

#[test]
fn an_empty_table_is_the_default_profile() {
    assert_eq!(
        parse("[profiles.a]").unwrap().profile("a").unwrap(),
        Profile::default()
    );
    let text = parse("[profiles.a]\nscopes = \"itwin-platform  offline_access\"").unwrap();
    assert_eq!(
        text.profile("a").unwrap().scopes,
        ["itwin-platform", "offline_access"]
    );
}

#[test]
fn comments_order_and_unchanged_keys_survive_a_change() {
    let text = "# my notes\ndefault_profile = \"work\" # mine\n\n[profiles.work]\n# the app of the office\nclient_id = 'app-1' # old\nscopes = [ \"projectwise:read\",   \"offline_access\" ]\n\n[profiles.home]\nclient_id = \"x\"\n\n[[profiles.home.folders]]\nfolder = \"A\" # keep\n";
    let mut file = parse(text).unwrap();
    let mut profile = file.profile("work").unwrap();
    profile.client_id = "app-2".to_owned();
    file.set_profile("work", &profile).unwrap();
    assert_eq!(file.text(), text.replace("'app-1' # old", "\"app-2\" # old"));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    for (text, line, key, nearest) in [
        (
            "defualt_profile = \"a\"",
            1,
            "defualt_profile",
            Some("default_profile"),
        ),
        (
            "[profiles.a]\n\nclientid = \"x\"",
            3,
            "profiles.a.clientid",
            Some("client_id"),
        ),
        ("[profiles.a]\nzzz_zzz = 1", 2, "profiles.a.zzz_zzz", None),
        (
            "[[profiles.a.folders]]\nfolder = \"A\"\nalais = \"b\"",
            3,
            "profiles.a.folders.alais",
            Some("alias"),
        ),
        (
            "[profiles.a]\nfolders = [{ folder = \"A\", name = \"b\" }]",
            2,
            "profiles.a.folders.name",
            None,
        ),
    ] {
        match parse(text).unwrap_err() {
            ConfigError::UnknownKey {
                line: at,
                key: found,
                nearest: offered,
                ..
            } => assert_eq!(
                (at, found.as_str(), offered.as_deref()),
                (line, key, nearest),
                "{text}"
            ),
            other => panic!("{text}: {other}"),
        }
    }
}

#[test]
fn a_wrong_value_is_an_error_that_names_its_key() {
    for (text, key) in [
        ("profiles = 1", "profiles"),
        ("default_profile = 1", "default_profile"),
        ("[profiles.a]\nclient_id = 1", "client_id"),
        ("[profiles.a]\ncredentials = \"paper\"", "keyring, file"),
        ("[profiles.a]\npage_size = 1", "page_size"),
        ("[profiles.a]\npage_size = \"500\"", "page_size"),
        ("[profiles.a]\napi_version = \"2\"", "api_version"),
        ("[profiles.a]\nscopes = [1]", "scopes"),
        ("[profiles.a]\nscopes = []", "scopes"),
        ("[profiles.a]\nfolders = [\"A\"]", "folders"),
        ("[profiles.a]\nfolders = [{ alias = \"A\" }]", "folder"),
        ("[profiles.\"../x\"]", "profile"),
        ("[profiles.a\n", "line 1"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(
            error.contains(key) && error.contains("/x/config.toml"),
            "{text}: {error}"
        );
    }
}

#[test]
fn the_default_profile_is_the_named_the_only_or_the_one_called_default() {
    assert_eq!(
        parse("default_profile = \"b\"\n[profiles.a]")
            .unwrap()
            .default_profile(),
        "b"
    );
    assert_eq!(parse("[profiles.a]").unwrap().default_profile(), "a");
    assert_eq!(
        parse("[profiles.a]\n[profiles.b]").unwrap().default_profile(),
        "default"
    );
    assert!(matches!(
        parse("[profiles.a]").unwrap().profile("b").unwrap_err(),
        ConfigError::NoProfile { known, .. } if known == ["a"]
    ));
}

#[test]
fn a_saved_file_is_private_whole_and_never_overwrites_another_hand() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let path = AppDirs::under(root.path()).config_file();
    let mut file = ConfigFile::load(&path).unwrap();
    file.set_profile("work", &full()).unwrap();
    file.set_default_profile("work");
    file.save().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(
        fs::read_dir(path.parent().unwrap()).unwrap().count(),
        1,
        "no temporary file is left"
    );

    let mut other = ConfigFile::load(&path).unwrap();
    assert_eq!(other.profile("work").unwrap(), full());
    assert!(other.remove_profile("work") && !other.remove_profile("work"));
    other.save().unwrap();
    file.set_default_profile("x");
    assert!(matches!(
        file.save().unwrap_err(),
        ConfigError::ChangedMeanwhile(_)
    ));
    assert!(ConfigFile::load(&path).unwrap().profile_names().is_empty());
}

#[test]
fn the_environment_stands_in_for_the_system_directories() {
    let overrides = DirOverrides::from_variables(|name| match name {
        "PWFS_CONFIG_DIR" => Some("/a".into()),
        "PWFS_CACHE_DIR" => Some("/b".into()),
        "PWFS_STATE_DIR" => Some("".into()),
        _ => None,
    });
    assert_eq!(overrides.state, None, "an empty variable is none");
    let dirs = AppDirs::new(DirOverrides {
        state: Some("/c".into()),
        ..overrides
    })
    .unwrap();
    assert_eq!(
        (dirs.config.as_path(), dirs.cache.as_path(), dirs.state.as_path()),
        (Path::new("/a"), Path::new("/b"), Path::new("/c"))
    );
}
