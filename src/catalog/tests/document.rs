//! `docs/catalog.md` tells of every table and column, and its questions can be asked.

use std::collections::BTreeMap;

use super::*;

const DOCUMENT: &str = include_str!("../../../docs/catalog.md");

fn columns(path: &Path) -> BTreeMap<String, Vec<String>> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection
        .prepare(
            "SELECT s.name, c.name FROM sqlite_schema s, pragma_table_info(s.name) c
                WHERE s.type = 'table' AND s.name NOT LIKE 'sqlite%'",
        )
        .unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    for row in rows {
        let (table, column) = row.unwrap();
        found.entry(table).or_default().push(column);
    }
    found
}

/// The sections of a part of the document, by table.
fn sections(heading: &str) -> BTreeMap<String, &'static str> {
    let part = DOCUMENT.split(heading).nth(1).unwrap();
    let part = part.split("\n## ").next().unwrap();
    let sections = part.split("\n### ").skip(1);
    sections
        .map(|section| {
            let (table, text) = section.split_once('\n').unwrap();
            (table.to_owned(), text)
        })
        .collect()
}

#[test]
fn the_document_tells_of_every_table_and_column() {
    let bench = Bench::new();
    let files = Files::of(&places(bench.dir.path()), &account());
    for (path, heading, tables) in [
        (&files.catalog, "## The catalog's tables", schema::CATALOG.tables),
        (&files.journal, "## The journal's tables", schema::JOURNAL.tables),
    ] {
        let found = columns(path);
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            tables,
            "what is looked for when it is opened"
        );
        let told = sections(heading);
        assert_eq!(told.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
        for (table, columns) in found {
            for column in columns {
                assert!(told[&table].contains(&format!("`{column}`")), "{table}.{column}");
            }
        }
    }
}

#[test]
fn the_documents_questions_can_be_asked() {
    let mut bench = Bench::new();
    bench.list(dir(1), vec![Entry::Document(file(2, "plan.dgn"))], &[]);
    let files = Files::of(&places(bench.dir.path()), &account());
    let questions: Vec<&str> = DOCUMENT
        .split("```sql\n")
        .skip(1)
        .map(|question| question.split("```").next().unwrap())
        .collect();
    assert_eq!(questions.len(), 3);
    let answers = |path: &Path, question: &str| {
        let connection = rusqlite::Connection::open(path).unwrap();
        let mut statement = connection.prepare(question).unwrap();
        statement.query_map([], |_| Ok(())).unwrap().count()
    };
    assert_eq!(answers(&files.catalog, questions[0]), 1);
    assert_eq!(answers(&files.catalog, questions[1]), 1);
    let guid = questions[2].replace("0123456789ABCDEF0123456789ABCDEF", &"02".repeat(16));
    assert_eq!(answers(&files.journal, &guid), 1);
}
