use super::*;

const GUID: &str = "9d8a7a70-254f-4494-bfe8-9c312e33a662";
const PARENT: &str = "87d25a9c-e00a-45ce-8946-1854ac221ab3";

#[track_caller]
fn rows(instances: &str) -> Vec<Instance<ObjectProperties>> {
    parse(format!(r#"{{"instances":{instances}}}"#).as_bytes()).unwrap()
}

#[track_caller]
fn document(properties: &str) -> Document {
    let mut rows = rows(&format!(
        r#"[{{"instanceId":"{GUID}","className":"Document","properties":{properties}}}]"#
    ));
    match rows.remove(0).into_entry(Asked::Documents, None).unwrap() {
        Entry::Document(document) => document,
        other @ Entry::Folder(_) => panic!("{other:?}"),
    }
}

#[track_caller]
fn time(text: &str) -> Option<String> {
    parse_time(text).unwrap().map(|time| time.to_string())
}

#[test]
fn a_full_document_is_read() {
    let document = document(&format!(
        r#"{{"Name":"A-101 Ground Floor","FileName":"A-101.dgn","Description":"d","Version":"B","IsLatest":true,
           "FileSize":1048576,"FileUpdateTime":"2025-03-04T10:11:12.000Z","FileUpdatedBy":"jdoe",
           "UpdateTime":"2025-03-04T10:11:13.000Z","CreateTime":"2024-11-01T08:00:00.000Z","ParentGuid":"{PARENT}",
           "Unknown":{{"deep":[1,2]}}}}"#
    ));
    assert_eq!(document.name, "A-101 Ground Floor");
    assert_eq!(document.file_name.as_deref(), Some("A-101.dgn"));
    assert_eq!(document.version, "B");
    assert_eq!(document.kind, DocumentKind::File);
    assert_eq!(document.size, Some(1_048_576));
    assert_eq!(document.file_updated.unwrap().to_string(), "2025-03-04T10:11:12Z");
    assert_eq!(document.updated.unwrap().to_string(), "2025-03-04T10:11:13Z");
    assert_eq!(document.folder.unwrap().to_string(), PARENT);
    assert!(document.active);
}

#[test]
fn missing_and_null_properties_are_absent() {
    for properties in [
        "null",
        "{}",
        r#"{"Name":null,"FileName":null,"Version":null,"IsLatest":null,"FileSize":null,"UpdateTime":null}"#,
    ] {
        let document = document(properties);
        assert_eq!(document.kind, DocumentKind::Placeholder);
        assert_eq!(
            (document.size, document.updated, document.folder),
            (None, None, None)
        );
        assert_eq!(document.version, "");
        assert!(document.active, "an absent IsLatest means the active version");
    }
}

#[test]
fn sizes_and_booleans_may_come_as_other_types() {
    for (json, size) in [
        ("0", Some(0)),
        ("\"1048576\"", Some(1_048_576)),
        ("\" 12 \"", Some(12)),
        ("12.0", Some(12)),
        ("\"12.0\"", Some(12)),
        ("18446744073709551615", Some(u64::MAX)),
        ("-1", None),
        ("12.5", None),
        ("\"many\"", None),
        ("true", None),
        ("[1]", None),
    ] {
        assert_eq!(
            document(&format!(r#"{{"FileSize":{json}}}"#)).size,
            size,
            "{json}"
        );
    }
    for (json, active) in [
        ("false", false),
        ("\"False\"", false),
        ("0", false),
        ("\"true\"", true),
        ("1", true),
        ("\"?\"", true),
    ] {
        assert_eq!(
            document(&format!(r#"{{"IsLatest":{json}}}"#)).active,
            active,
            "{json}"
        );
    }
    assert_eq!(document(r#"{"Version":2}"#).version, "2");
}

#[test]
fn documents_without_a_file_are_placeholders_and_sets_are_sets() {
    for name in ["null", "\"\"", "\"null\"", "\"  \""] {
        let document = document(&format!(r#"{{"FileName":{name}}}"#));
        assert_eq!(
            (document.kind, document.file_name),
            (DocumentKind::Placeholder, None),
            "{name}"
        );
    }
    for class in ["LogicalSet", "FlatSet", "Set"] {
        let mut rows = rows(&format!(
            r#"[{{"instanceId":"{GUID}","className":"{class}","properties":{{"FileName":"x.dgn"}}}}]"#
        ));
        let entry = rows.remove(0).into_entry(Asked::Documents, None).unwrap();
        assert!(
            matches!(&entry, Entry::Document(set) if set.kind == DocumentKind::Set && set.file_name.is_none()),
            "{entry:?}"
        );
    }
}

#[test]
fn a_folder_is_read_and_its_parent_filled_in() {
    let parent = FolderId(PARENT.parse().unwrap());
    let mut rows = rows(&format!(
        r#"[{{"instanceId":"{{{GUID}}}","className":"Project","eTag":"\"t\"",
             "properties":{{"Name":"Design","IsRichProject":"true"}}}},
            {{"instanceId":"{GUID}","properties":{{"Label":"by label","ParentGuid":"{GUID}"}}}},
            {{"instanceId":"{GUID}","className":"Custom_Project"}}]"#
    ));
    let Entry::Folder(folder) = rows.remove(0).into_entry(Asked::Folders, Some(parent)).unwrap() else {
        panic!("not a folder");
    };
    assert_eq!(
        (folder.name.as_str(), folder.work_area, folder.parent),
        ("Design", true, Some(parent))
    );
    assert_eq!(folder.etag.as_deref(), Some("\"t\""));
    let Entry::Folder(folder) = rows.remove(0).into_entry(Asked::Folders, Some(parent)).unwrap() else {
        panic!("a row without a class is what was asked for");
    };
    assert_eq!(
        (folder.name.as_str(), folder.parent.unwrap().to_string().as_str()),
        ("by label", GUID)
    );
    let derived = rows.remove(0).into_entry(Asked::Folders, None);
    assert!(matches!(derived, Ok(Entry::Folder(_))), "{derived:?}");
}

#[test]
fn a_row_without_a_usable_id_fails_by_name() {
    let mut rows = rows(
        r#"[{"instanceId":"17","className":"Document","properties":{"Name":"A-101"}},{"className":"Project"}]"#,
    );
    let error = rows
        .remove(0)
        .into_entry(Asked::Documents, None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("A-101") && error.contains("17"), "{error}");
    assert!(rows.remove(0).into_entry(Asked::Folders, None).is_err());
}

#[test]
fn an_answer_without_instances_is_never_an_empty_one() {
    for body in [
        "{}",
        "[]",
        "null",
        "",
        "<html>",
        r#"{"instances":null}"#,
        r#"{"instances":{}}"#,
        r#"{"value":[]}"#,
    ] {
        assert!(parse::<ObjectProperties>(body.as_bytes()).is_err(), "{body}");
    }
    assert!(
        parse::<ObjectProperties>(b"\xEF\xBB\xBF{\"instances\":[]}")
            .unwrap()
            .is_empty()
    );
    assert!(
        parse::<ObjectProperties>(br#"{"instances":[{"instanceId":"a"},{"instanceId":"#).is_err(),
        "cut short"
    );
}

#[test]
fn times_are_read_in_every_form() {
    for (text, expected) in [
        ("2025-03-04T10:11:12Z", Some("2025-03-04T10:11:12Z")),
        ("2025-03-04T10:11:12.123Z", Some("2025-03-04T10:11:12.123Z")),
        (
            "2020-05-03T11:05:11.0133549Z",
            Some("2020-05-03T11:05:11.0133549Z"),
        ),
        (
            "2020-05-03T11:05:11.01335491234567Z",
            Some("2020-05-03T11:05:11.013354912Z"),
        ),
        ("2020-05-03T13:05:11.5+02:00", Some("2020-05-03T11:05:11.5Z")),
        ("2020-05-03T11:05:11", Some("2020-05-03T11:05:11Z")),
        ("2020-05-03 11:05:11.25", Some("2020-05-03T11:05:11.25Z")),
        (" 2020-05-03T11:05:11Z ", Some("2020-05-03T11:05:11Z")),
        ("/Date(1741083072000)/", Some("2025-03-04T10:11:12Z")),
        ("/Date(1741083072000+0100)/", Some("2025-03-04T10:11:12Z")),
        ("0001-01-01T00:00:00", None),
        ("0001-01-01T00:00:00Z", None),
    ] {
        assert_eq!(time(text).as_deref(), expected, "{text}");
    }
    for text in [
        "yesterday",
        "04.03.2025 10:11",
        "2025-13-40T00:00:00Z",
        "/Date(x)/",
        "ä.ä",
    ] {
        assert_eq!(parse_time(text), Err(UnknownTime), "{text}");
    }
    assert_eq!(document(r#"{"UpdateTime":"yesterday"}"#).updated, None);
}

#[test]
fn nodes_give_folders_whatever_the_form_of_their_key() {
    let doubled = GUID.replace('-', "--");
    for (key, id) in [
        (GUID.to_owned(), String::new()),
        (format!("PW_WSG.02.04-Project-{doubled}"), String::new()),
        (
            String::new(),
            format!("StandardDisplayItemTypes--PW_WSG.02.04-Project-{doubled}"),
        ),
        (String::new(), format!("ECObjects--PW_WSG-Project-{GUID}")),
    ] {
        let body = format!(
            r#"{{"instances":[{{"instanceId":"{id}","className":"NavNode","properties":
               {{"Key_ClassName":"Project","Key_InstanceId":"{key}","Label":"Design"}}}}]}}"#
        );
        let node = parse::<NodeProperties>(body.as_bytes()).unwrap().remove(0);
        let folder = node.into_folder().unwrap().unwrap();
        assert_eq!(
            (folder.name.as_str(), folder.id.to_string().as_str()),
            ("Design", GUID),
            "{key} {id}"
        );
    }
    let body = br#"{"instances":[{"properties":{"Key_ClassName":"SavedSearchDefinition","Key_InstanceId":"12"}},
                                 {"properties":{"Key_ClassName":"Project","Key_InstanceId":"12","Label":"x"}}]}"#;
    let mut nodes = parse::<NodeProperties>(body).unwrap();
    assert_eq!(nodes.remove(0).into_folder(), Ok(None));
    assert!(
        nodes.remove(0).into_folder().is_err(),
        "a root folder must never be dropped silently"
    );
}

#[test]
fn a_datasource_fills_its_gaps_from_its_id() {
    let body = br#"{"instances":[
        {"instanceId":"Bentley.PW--acme-pw.bentley.com~3Aacme-pw-01","className":"RepositoryIdentifier",
         "properties":{"ECPluginID":"Bentley.PW","Location":"acme-pw.bentley.com:acme-pw-01","DisplayLabel":"ACME"}},
        {"instanceId":"pw--h~3Ads"}, {"instanceId":""}]}"#;
    let found: Vec<_> = parse::<RepositoryProperties>(body)
        .unwrap()
        .into_iter()
        .filter_map(Instance::into_datasource)
        .collect();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].label, "ACME");
    assert_eq!(
        (
            found[1].plugin.as_str(),
            found[1].location.as_str(),
            found[1].label.as_str()
        ),
        ("pw", "h:ds", "h:ds")
    );
}
