use proptest::prelude::*;

use super::*;

const FOLDER: &str = "60e9dda5-5297-4916-9739-0e40fd00a4b8";
const DOCUMENT: &str = "c6cb1111-2222-4333-8444-555566667777";

/// A row: what is pasted, and the text form of what it means, with `{F}` and `{D}` for the two GUIDs.
#[track_caller]
fn check(rows: &[(&str, &str)]) {
    let filled = |text: &str| text.replace("{F}", FOLDER).replace("{D}", DOCUMENT);
    for (pasted, meant) in rows {
        let link = DatasourceLink::parse(&filled(pasted)).unwrap_or_else(|error| panic!("{pasted}: {error}"));
        assert_eq!(link.to_string(), filled(meant), "{pasted}");
        assert_eq!(DatasourceLink::parse(&link.to_string()), Ok(link), "{pasted}");
    }
}

#[test]
fn an_address_of_a_gateway_is_read_at_any_depth() {
    const ID: &str =
        "https://acme-pw-ws.bentley.com/ws/v2.8/Repositories/Bentley.PW--acme-pw.bentley.com~3Aacme-pw-01";
    let at = |rest: &str| format!("{ID}{rest}");
    check(&[
        ("https://pw.example.com", "https://pw.example.com"),
        ("pw.example.com", "https://pw.example.com"),
        ("PW.Example.COM/", "https://pw.example.com"),
        ("pw.example.com:8443", "https://pw.example.com:8443"),
        ("pw.example.com:8443/bwsg/", "https://pw.example.com:8443/bwsg"),
        ("localhost", "https://localhost"),
        ("http://127.0.0.1:8765/ws", "http://127.0.0.1:8765/ws"),
        ("http://[::1]:8765/ws", "http://[::1]:8765/ws"),
        ("https://pw.example.com/ws", "https://pw.example.com/ws"),
        ("https://pw.example.com/ws/", "https://pw.example.com/ws"),
        ("HTTPS://pw.example.com//ws//", "https://pw.example.com/ws"),
        (
            r"https:\\pw.example.com\ws\v2.8",
            "https://pw.example.com/ws/v2.8",
        ),
        ("https:/pw.example.com/ws", "https://pw.example.com/ws"),
        ("https://pw.example.com/ws250", "https://pw.example.com/ws250"),
        (
            "https://pw.example.com/a/b/ws/V2.8/",
            "https://pw.example.com/a/b/ws/v2.8",
        ),
        ("https://pw.example.com/v1.0/ws", "https://pw.example.com/v1.0/ws"),
        (
            "https://pw.example.com/ws/v2.8/Plugins",
            "https://pw.example.com/ws/v2.8",
        ),
        (
            "https://pw.example.com/ws/sv1.1",
            "https://pw.example.com/ws/sv1.1",
        ),
        (
            "https://pw.example.com/ws/SV1.1/Repositories",
            "https://pw.example.com/ws/sv1.1",
        ),
        (
            "https://pw.example.com/ws/v2.8/repositories/?$top=1",
            "https://pw.example.com/ws/v2.8",
        ),
    ]);
    let id = at("");
    check(&[
        (&id, &id),
        (&at("/"), &id),
        (&at("/?x=1#y"), &id),
        (&at("#y"), &id),
        (&at("/PW_WSG"), &id),
        (&at("/PW_WSG/Project"), &id),
        (&at("/PW_WSG/Project!poly?$filter=Name+eq+'x'"), &id),
        (&at("/PW_WSG/Document/$query"), &id),
        (&at("/Navigation/NavNode"), &id),
        (&id.replace("Repositories", "REPOSITORIES"), &id),
        (&id.replace("~3A", ":"), &id),
        (&id.replace("~3A", "%3A"), &id),
        (&id.replace("~3A", "%3a"), &id),
        (&id.replace("~3A", "%253A"), &id),
        (&id.replace("~3A", "%7E3A"), &id),
        (&id.replace("~3A", "%257E3A"), &id),
        (&id.replace("/v2.8/Repositories/", "/v2.8%2FRepositories%2F"), &id),
        (
            &id.replace("/v2.8/Repositories/", "/v2.8%252Frepositories%252F"),
            &id,
        ),
        (&id.replace(":/", "%3A%2F").replace("//", "/%2F"), &id),
        (&encoded(&id), &id),
        (&encoded(&encoded(&id)), &id),
        (&encoded(&encoded(&encoded(&id))), &id),
    ]);
    let (folder, document) = (at("/PW_WSG/Project/{F}"), at("/PW_WSG/Document/{D}"));
    check(&[
        (&folder, &folder),
        (&at("/pw_wsg/PROJECT/{F}/"), &folder),
        (&at("/PW_WSG/Project/%7B{F}%7D"), &folder),
        (&at("/PW_WSG/Project/%257B{F}%257D"), &folder),
        (&at("/PW_WSG/Project/{F}?$select=*"), &folder),
        (&at("/PW_WSG/Project/{F}/Project"), &folder),
        (&at("/PW_WSG/Project/{F}/Document!poly?$top=500"), &folder),
        (&at("/PW_WSG/Project/{F}/PW_WSG.Document"), &folder),
        (&at("/PW_WSG.Project/{F}"), &folder),
        (&at("/PW_WSG/Project!poly/{F}"), &folder),
        (&document, &document),
        (&at("/PW_WSG/Document/{D}/$file"), &document),
        (&at("/PW_WSG/Document/{D}/%24file?x=1"), &document),
        (
            &at("/PW_WSG/Document!poly/{D}/FileAccess.FileAccessKey"),
            &document,
        ),
        (&at("/PW_WSG/Project/{F}/Document/{D}"), &document),
    ]);
}

#[test]
fn a_link_of_projectwise_is_read_in_either_slashes() {
    const ROOT: &str = "pw://pw.example.com:Main/Documents/";
    let at = |rest: &str| format!("{ROOT}{rest}");
    check(&[
        ("pw://pw.example.com:Main", ROOT),
        ("pw://pw.example.com:Main/", ROOT),
        (ROOT, ROOT),
        ("PW://pw.example.com:Main/documents", ROOT),
        ("pw:////pw.example.com:Main/Documents//", ROOT),
        (r"pw:\\pw.example.com:Main", ROOT),
        (r"pw:\\pw.example.com:Main\", ROOT),
        (r"pw:\\pw.example.com:Main\Documents\", ROOT),
        (r"pw:\\pw.example.com:Main/Documents/", ROOT),
        (r"pw://pw.example.com:Main\Documents\", ROOT),
        ("pw:%5C%5Cpw.example.com%3AMain%5CDocuments%5C", ROOT),
        ("pw%3A%2F%2Fpw.example.com%3AMain%2FDocuments%2F", ROOT),
        ("pw%3A%5C%5Cpw.example.com%3AMain", ROOT),
        ("pw://pw.example.com%3AMain/Documents", ROOT),
        ("pw://pw.example.com%253AMain/Documents", ROOT),
        ("pw://pw.example.com:Main?x=1", ROOT),
        ("pw.example.com:Main", ROOT),
        ("pw.example.com:Main/Documents", ROOT),
        (r"pw.example.com:Main\Documents", ROOT),
        ("Bentley.PW--pw.example.com~3AMain", ROOT),
        ("bentley.pw--pw.example.com:Main", ROOT),
        ("PW--pw.example.com%3AMain", ROOT),
        ("PWSERVER:Main DS", "pw://PWSERVER:Main%20DS/Documents/"),
        ("pw://PWSERVER:Main%20DS/", "pw://PWSERVER:Main%20DS/Documents/"),
        ("pw://10.0.0.5:a:b", "pw://10.0.0.5:a%3Ab/Documents/"),
        ("pw://[::1]:Main", "pw://[::1]:Main/Documents/"),
        ("pw:Main", "pw://pw:Main/Documents/"),
    ]);
    let (folder, document) = (at("P{{F}}/"), at("D{{D}}"));
    check(&[
        (&folder, &folder),
        (&at("P{{F}}"), &folder),
        (&at("p{{F}}/?x"), &folder),
        (&at("P%7B{F}%7D/"), &folder),
        (&at("P%257B{F}%257D/"), &folder),
        ("pw://pw.example.com:Main/P{{F}}", &folder),
        (r"pw:\\pw.example.com:Main\Documents\P{{F}}\", &folder),
        (&document, &document),
        (&at("D%7b{D}%7d/"), &document),
        (&at("P{{F}}/D{{D}}"), &document),
        (&at("A/B/D{{D}}"), &document),
        (r"pw:\\pw.example.com:Main\Documents\D{{D}}", &document),
    ]);
    check(&[
        (&at("Bridge"), &at("Bridge")),
        (&at("Bridge/03 Design/"), &at("Bridge/03%20Design")),
        (
            &at("Bridge/03%20Design/plan.pdf"),
            &at("Bridge/03%20Design/plan.pdf"),
        ),
        (&at("Documents/x"), &at("Documents/x")),
        (&at("a%2Fb/c%5Cd"), &at("a%2Fb/c%5Cd")),
        (
            &at("%E5%9B%B3%E9%9D%A2/Br%FCcke"),
            &at("%E5%9B%B3%E9%9D%A2/Br%C3%BCcke"),
        ),
        (&at("図面/100%"), &at("%E5%9B%B3%E9%9D%A2/100%25")),
        (&at("50%25%20off"), &at("50%25%20off")),
        (&at("Area #3/x?token=1"), &at("Area%20%233/x")),
        (
            r"pw:\\pw.example.com:Main\Documents\Bridge\03 Design\",
            &at("Bridge/03%20Design"),
        ),
        (
            r"pw:\\pw.example.com:Main\Documents\a/b\100%20",
            &at("a%2Fb/100%2520"),
        ),
        (
            "pw:%5C%5Cpw.example.com:Main%5CDocuments%5CBridge%5C03%20Design",
            &at("Bridge/03%20Design"),
        ),
    ]);
}

#[test]
fn a_link_is_found_in_what_mails_and_terminals_put_around_it() {
    const URL: &str = "https://pw.example.com/ws/v2.8";
    check(&[
        ("  https://pw.example.com/ws/v2.8\r\n\n", URL),
        (
            "\u{feff}\u{202a}https://pw.example.com/ws/v2.8\u{202c}\u{200b}",
            URL,
        ),
        ("<https://pw.example.com/ws/v2.8>", URL),
        ("< https://pw.example.com/ws/v2.8 >", URL),
        ("<URL:https://pw.example.com/ws/v2.8>", URL),
        ("url: https://pw.example.com/ws/v2.8", URL),
        ("\"https://pw.example.com/ws/v2.8\"", URL),
        ("'https://pw.example.com/ws/v2.8'", URL),
        ("“https://pw.example.com/ws/v2.8”", URL),
        ("(<https://pw.example.com/ws/v2.8>)", URL),
        ("[`https://pw.example.com/ws/v2.8`]", URL),
        ("https://pw.example.com/ws/v2.8.", URL),
        ("<https://pw.example.com/ws/v2.8>.", URL),
        ("Our ProjectWise <https://pw.example.com/ws/v2.8>, for you", URL),
        ("Datasource: https://pw.example.com/ws/v2.8", URL),
        ("<https://pw.example.com\r\n   /ws/v2.8>", URL),
        (
            "https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fpw.example.com%2Fws%2Fv2.8&data=05%7C",
            URL,
        ),
        ("<pw://h:ds/Documents/A \n B/>", "pw://h:ds/Documents/A%20B"),
        (r#""pw:\\h:ds\Documents\A B\""#, "pw://h:ds/Documents/A%20B"),
        (r"Link: pw:\\h:ds\Documents\A B", "pw://h:ds/Documents/A%20B"),
    ]);
}

#[test]
fn what_names_no_datasource_is_refused_with_a_reason() {
    for (text, reason) in [
        ("", "is empty"),
        (" \n<> ", "is empty"),
        ("https://h/ws\nThanks, Jo", "several lines"),
        ("https://h/ws see there", "a blank in it"),
        ("two words", "is not a URL"),
        ("https://", "is not a URL"),
        ("ftp://h/ws", "is not an https URL"),
        (
            "https://h/ws/v2.8/Repositories/nonsense",
            "is not a repository id",
        ),
        (
            "https://h/ws/v2.8/Repositories/pw--a~3Ab/PW_WSG/Project/60e9dda5-5297",
            "may have been cut short",
        ),
        ("pw://", "names no datasource"),
        ("pw://server", "names no datasource"),
        ("pw://server:/Documents", "names no datasource"),
        ("pw://:ds/Documents", "names no datasource"),
        ("pw://a b:ds/", "is not the name of a server"),
        ("pw://a%2Fb:ds/", "is not the name of a server"),
        ("pw://h:ds/Saved%20Searches/x", "below Documents"),
        (
            "pw://h:ds/Documents/P{60e9dda5-5297-4916-9739-0e40fd00a4b8}/x.pdf",
            "after a GUID",
        ),
    ] {
        let error = DatasourceLink::parse(text).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn what_cannot_be_read_is_shown_without_its_secrets() {
    for text in [
        "https://me:s3cret@pw.example.com/ws",
        "https%3A%2F%2Fme%3As3cret%40pw.example.com",
        "ftp%3A%2F%2Fme%3As3cret%40pw.example.com",
        "<https://me:s3cret@ho st/ws>",
        "ftp://pw.example.com/ws?token=s3cret",
        "ftp://pw.example.com/ws%3Ftoken=s3cret",
        "https://pw.example.com/ws/Repositories/x%3Fsig=s3cret",
        "https://pw.example.com/w s?sig=s3cret",
        "pw://me:s3cret@server:ds/Documents",
        "pw://me%3As3cret%40server:ds/Documents",
        r"pw:\\me:s3cret@server:ds\Documents",
        "pw://server?token=s3cret",
        "pw://ser ver:ds?token=s3cret",
        "me:s3cret@server:ds",
    ] {
        let error = DatasourceLink::parse(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
}

#[test]
fn the_gateway_of_a_server_is_looked_for_where_it_usually_is() {
    let usual = |text: &str| match DatasourceLink::parse(text).unwrap() {
        DatasourceLink::Pw(link) => link.usual_gateway().unwrap().to_string(),
        DatasourceLink::Wsg(bare) => usual_gateway(&bare).unwrap().to_string(),
    };
    for (text, address) in [
        ("pw://acme-pw.bentley.com:x", "https://acme-pw-ws.bentley.com/ws"),
        ("pw://ACME-PW.Bentley.com:x", "https://acme-pw-ws.bentley.com/ws"),
        ("pw://pw.example.com:x", "https://pw.example.com/ws"),
        ("pw://PWSERVER:x", "https://pwserver/ws"),
        ("acme-pw.bentley.com", "https://acme-pw-ws.bentley.com/ws"),
        ("acme-pw-ws.bentley.com", "https://acme-pw-ws.bentley.com/ws"),
        ("http://127.0.0.1:8765", "http://127.0.0.1:8765/ws"),
    ] {
        assert_eq!(usual(text), address, "{text}");
    }
}

#[test]
fn only_a_host_alone_is_bare() {
    for (text, bare) in [
        ("pw.example.com", true),
        ("https://pw.example.com:8443/", true),
        ("https://pw.example.com/ws", false),
        ("https://pw.example.com/v2.8", false),
        ("https://pw.example.com/Repositories/pw--a~3Ab", false),
    ] {
        let DatasourceLink::Wsg(address) = DatasourceLink::parse(text).unwrap() else {
            panic!("{text}")
        };
        assert_eq!(address.is_bare(), bare, "{text}");
    }
}

/// Text that looks like what people paste, put together wrongly.
fn almost_links() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "https://",
        "http://127.0.0.1",
        "pw:",
        "pw://",
        r"\\",
        "/",
        r"\",
        ":",
        "%",
        "%2F",
        "%5C",
        "%3A",
        "%25",
        "~3A",
        "host",
        "h.example.com",
        "8443",
        "[::1]",
        "ws",
        "v2.8",
        "sv1.1",
        "Repositories",
        "Bentley.PW--",
        "PW_WSG",
        "Project",
        "Document",
        "!poly",
        "$file",
        "Documents",
        "P{",
        "D{",
        FOLDER,
        "}",
        "<",
        ">",
        "\"",
        "'",
        " ",
        "\n",
        "?",
        "#",
        "@",
        ".",
        ",",
        "..",
        "URL:",
        "ä",
        "%FC",
        "%C3%A4",
        "\u{202e}",
        "--",
    ]);
    prop::collection::vec(pieces, 0..14).prop_map(|pieces| pieces.concat())
}

#[test]
fn a_link_is_made_of_a_location_and_read_back() {
    for location in [
        "pw.example.com:ds",
        "pw.example.com:Works at night",
        "[::1]:7",
        "h:a:b",
        "h:100%/x",
    ] {
        let link = PwLink::to(
            location,
            Place::Path(vec!["A b".to_owned(), "c\\d/e.pdf".to_owned()]),
        )
        .unwrap();
        assert_eq!(link.location(), location);
        assert_eq!(
            DatasourceLink::parse(&link.to_string()),
            Ok(DatasourceLink::Pw(link))
        );
    }
    for location in ["", "ds", ":ds", "h:", "[::1]", "a b:ds", "[x"] {
        assert_eq!(PwLink::to(location, Place::Root), None, "{location}");
    }
}

#[test]
fn a_link_is_of_a_datasource_by_its_location_whatever_the_gateway() {
    const NAME: &str = "pw.example.com:Acme at https://gate.example.com/ws";
    let name = DatasourceName::parse(NAME).unwrap();
    for (text, expected) in [
        ("pw://PW.example.com:acme/Documents/", true),
        (r"pw:\\pw.example.com:Acme\Documents\A\", true),
        ("pw.example.com:Acme", true),
        (
            "https://gate.example.com/ws/v2.8/Repositories/Bentley.PW--pw.example.com~3AAcme/PW_WSG",
            true,
        ),
        (
            "https://other.example.com/ws/Repositories/PW--pw.example.com~3AAcme",
            true,
        ),
        ("https://gate.example.com/ws", true),
        ("gate.example.com", true),
        ("pw://pw.example.com:Other/Documents/", false),
        ("pw://gate.example.com:Acme/Documents/", false),
        (
            "https://gate.example.com/ws/Repositories/Bentley.PW--pw.example.com~3AOther",
            false,
        ),
        ("https://other.example.com/ws", false),
    ] {
        let link = DatasourceLink::parse(text).unwrap();
        assert_eq!(link.leads_into(&name), expected, "{text}");
    }
    let link = DatasourceLink::Wsg(WsgAddress::parse("https://h/ws").unwrap().with_repository("odd"));
    assert!(link.leads_into(&DatasourceName::parse("odd at https://h/ws").unwrap()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_read_prints_as_what_is_read_the_same(text in prop_oneof![almost_links(), any::<String>()]) {
        if let Ok(link) = DatasourceLink::parse(&text) {
            let shown = link.to_string();
            prop_assert_eq!(DatasourceLink::parse(&shown), Ok(link), "{:?} prints as {:?}", text, shown);
        }
    }
}
